"""Separation in blocks against separation in memory, bit for bit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.separation import separate_instances
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.records import Records
from napari_unet.engine.separating import SampleSeparation, separate_blocks
from napari_unet.engine.survey import Task
from napari_unet.settings import Separation

CHANNELS = ("background", "interior", "boundary")
LOOSE = {"seed_threshold": 0.55, "mask_threshold": 0.3, "min_seed_size": 2}


def plateaus(
    rng: np.random.Generator, shape: tuple[int, ...], levels: int = 6
) -> np.ndarray:
    """Probabilities with few values, smoothed a little: plateaus and touching cells."""
    from scipy.ndimage import uniform_filter

    noise = rng.random((3, *shape))
    smooth = np.stack([uniform_filter(c, 3) for c in noise])
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    coarse = np.round(smooth * levels) / levels
    return np.round(coarse * 65535 / 2).astype(np.uint16) * 2


def in_blocks(
    stored: np.ndarray, separation: Separation, size: tuple[int, ...], folder: Path
) -> np.ndarray:
    blocks = Blocks(stored.shape[1:], size)
    steps = SampleSeparation(blocks, Task(CHANNELS, separation), Records(folder))
    labels = np.full(stored.shape[1:], -1, np.int32)
    for region, found in separate_blocks(stored, steps):
        labels[region] = found
    return labels


def check(
    stored: np.ndarray, size: tuple[int, ...], folder: Path, **settings: Any
) -> int:
    separation = Separation(**{**LOOSE, **settings})
    expected = separate_instances(stored, CHANNELS, separation)
    found = in_blocks(stored, separation, size, folder)
    np.testing.assert_array_equal(found, expected)
    return int(expected.max())


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("size", [(7, 9), (16, 16), (1, 40), (40, 5)])
def test_random_plateaus_2d(
    size: tuple[int, int], connectivity: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    for trial in range(6):
        stored = plateaus(rng, (40, 37), levels=3 + 2 * trial)
        for fill, keep in itertools.product((False, True), repeat=2):
            folder = tmp_path / f"{trial}{fill}{keep}"
            check(
                stored,
                size,
                folder,
                connectivity=connectivity,
                fill_holes=fill,
                keep_unseeded=keep,
                min_size=(0, 5, 12)[trial % 3],
            )


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 5, 6), (12, 3, 20)])
def test_random_plateaus_3d(
    size: tuple[int, ...],
    connectivity: int,
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    for trial in range(3):
        stored = plateaus(rng, (12, 14, 15), levels=4 + trial)
        check(
            stored,
            size,
            tmp_path / str(trial),
            connectivity=connectivity,
            keep_unseeded=True,
        )
