"""Fixtures for foreign formats: a skip where an extra is missing, tiny models."""

from __future__ import annotations

import pytest

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bioimageio_extra import require_bioimageio


@pytest.fixture
def bioimageio() -> None:
    """Skip where bioimageio.core is missing or cannot work."""
    try:
        require_bioimageio()
    except CheckpointError as error:
        pytest.skip(str(error))
