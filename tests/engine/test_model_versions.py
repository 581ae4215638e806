"""A file that is written anew while tiles are computed does not mix two models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.engine import worker_tasks
from napari_unet.engine.worker_tasks import NetworkUse
from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import save_model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Prediction, Recipe

ARCHITECTURE = Architecture(depth=1, base_channels=2)
CROP = (slice(0, 16),) * 2


def write(path, seed):
    torch.manual_seed(seed)
    recipe = Recipe(
        architecture=ARCHITECTURE, channels=("background", "interior", "boundary")
    )
    save_model(path, UNet(ARCHITECTURE), recipe)


def use_of(card):
    return NetworkUse(card.source, Prediction(), "cpu", card.sha256)


def test_a_file_that_is_replaced_between_two_tiles(tmp_path):
    path = tmp_path / "mine.safetensors"
    pixels = np.random.default_rng(0).random((1, 16, 16), np.float32)
    write(path, 1)
    before = use_of(worker_tasks.describe(str(path)))
    first = worker_tasks.predict_tile(before, pixels, CROP)
    write(path, 2)
    np.testing.assert_array_equal(
        worker_tasks.predict_tile(before, pixels, CROP), first
    )
    after = use_of(worker_tasks.describe(str(path)))
    assert after.sha256 != before.sha256
    second = worker_tasks.predict_tile(after, pixels, CROP)
    assert (second != first).any()
    worker_tasks._load_version.cache_clear()  # as on a worker that was started again
    with pytest.raises(CheckpointError, match=r"mine\.safetensors is another"):
        worker_tasks.predict_tile(before, pixels, CROP)
    found = worker_tasks.predict_tile(after, pixels, CROP)
    np.testing.assert_array_equal(found, second)
