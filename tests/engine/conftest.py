"""One worker process for all tests of this folder that do not kill it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.engine.client import Engine
from napari_unet.pipeline.model_card import ModelCard


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    shared = Engine()
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def card(engine: Engine) -> ModelCard:
    return engine.card("nuclei-fast")


@pytest.fixture(scope="session")
def nuclei() -> np.ndarray:
    """40 nuclei in 288 x 320 px."""
    image, _ = simulate(Simulation(shape=(288, 320), n_cells=40, random_seed=3))
    return image
