"""Fixtures for the tests of files: random pixels, and the folder of real images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def shared_data() -> Path:
    folder = os.environ.get("NAPARI_UNET_SHARED")
    if not folder:
        pytest.skip("NAPARI_UNET_SHARED is not set")
    return Path(folder) / "data"
