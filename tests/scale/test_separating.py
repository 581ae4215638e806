"""Separation in blocks against separation in memory, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from napari_unet.core.separation import separate_instances
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.records import Records
from napari_unet.engine.separating import SampleSeparation, separate_blocks
from napari_unet.engine.survey import Task
from napari_unet.settings import Separation

CHANNELS = ("background", "interior", "boundary")
LOOSE = {"mask_threshold": 0.3, "min_seed_size": 2}


def plateaus(
    rng: np.random.Generator, shape: tuple[int, ...], levels: int = 6
) -> np.ndarray:
    """Probabilities with few values, smoothed a little: plateaus and touching cells."""
    noise = rng.random((3, *shape))
    smooth = np.stack([uniform_filter(c, 3) for c in noise])
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    coarse = np.round(smooth * levels) / levels
    return np.round(coarse * 65535 / 2).astype(np.uint16) * 2


def thresholds(stored: np.ndarray) -> dict[str, float]:
    """Many small seeds in large connected regions."""
    interior, boundary = stored[1].astype(int), stored[2].astype(int)
    return {
        "seed_threshold": float(np.quantile(interior - boundary, 0.8)) / 65535,
        "mask_threshold": min(
            0.95, float(np.quantile(interior + boundary, 0.3)) / 65535
        ),
    }


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


@pytest.mark.parametrize(
    ("size", "connectivity"), [((7, 9), 1), ((16, 16), 2), ((4, 33), 1), ((30, 5), 2)]
)
def test_random_plateaus_2d(
    size: tuple[int, int], connectivity: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    n_objects = 0
    for trial in range(4):
        stored = plateaus(rng, (30, 33), levels=4 + 3 * trial)
        n_objects += check(
            stored,
            size,
            tmp_path / str(trial),
            **thresholds(stored),
            connectivity=connectivity,
            fill_holes=trial != 1,
            keep_unseeded=trial % 2 == 0,
            min_size=(0, 5, 12)[trial % 3],
        )
    assert n_objects > 20


@pytest.mark.parametrize(
    ("size", "connectivity"), [((4, 5, 6), 1), ((6, 9, 9), 3), ((12, 3, 20), 2)]
)
def test_random_plateaus_3d(
    size: tuple[int, ...],
    connectivity: int,
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    for trial in range(2):
        stored = plateaus(rng, (9, 12, 13), levels=5 + 3 * trial)
        assert check(
            stored,
            size,
            tmp_path / str(trial),
            **thresholds(stored),
            connectivity=connectivity,
            keep_unseeded=True,
        )


def test_one_component_spans_everything(tmp_path: Path) -> None:
    """Constant mask and height: seeds share one plateau by distance alone."""
    interior = np.full((41, 44), 40000, np.uint16)
    for y, x in ((3, 3), (20, 19), (21, 40), (38, 5), (7, 31)):
        interior[y : y + 2, x : x + 2] = 60000
    stored = np.stack([65535 - interior, interior, np.zeros_like(interior)])
    n = check(stored, (8, 11), tmp_path, seed_threshold=0.8)
    assert n == 5


def test_seed_far_from_most_blocks(tmp_path: Path) -> None:
    """Both seeds in one corner: blocks far away measure distances to them."""
    interior = np.full((6, 90), 40000, np.uint16)
    interior[2, 2:4], interior[4, 4:6] = 60000, 60000
    stored = np.stack([65535 - interior, interior, np.zeros_like(interior)])
    assert check(stored, (3, 7), tmp_path, seed_threshold=0.8) == 2


def test_holes_across_blocks(tmp_path: Path) -> None:
    """A ring over many blocks is filled; one that two cells enclose is not."""
    yy, xx = np.mgrid[:40, :64]
    ring = np.abs(np.hypot(yy - 20, xx - 18) - 12) < 3
    pair = np.abs(np.hypot(yy - 20, xx - 48) - 10) < 3
    interior = np.where(ring | pair, 40000, 0).astype(np.uint16)
    interior[8, 17:20] = 60000
    interior[10, 47:50], interior[30, 47:50] = 60000, 60000
    stored = np.stack([65535 - interior, interior, np.zeros_like(interior)])
    for size in ((9, 10), (40, 13)):
        folder = tmp_path / str(size[0])
        assert check(stored, size, folder, seed_threshold=0.8) == 3
