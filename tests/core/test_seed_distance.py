from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.components import as_volume, find_runs
from napari_unet.core.seed_distance import (
    DISTANCE_MASK,
    SEED_BIT,
    Box,
    steps,
    subtract_distances,
)
from napari_unet.core.seed_tree import nearest_point, plant_tree, squared_distance


def measure(mask, seeds, field):
    """Squared distances of all pixels of `mask` to `seeds`, 0 elsewhere."""
    mask, seeds = as_volume(mask), as_volume(seeds)
    size = tuple(int(n) for n in mask.shape)
    margin = int(size[1] > 1)
    box = Box((0, 0, 0), size, size[1], margin)
    plane, line = steps(box)
    padded = np.zeros((size[0] + 2, plane // line, line), np.int64)
    inner = (slice(1, -1), slice(margin, size[1] + margin), slice(1, -1))
    padded[inner] = np.where(mask, DISTANCE_MASK | (SEED_BIT * seeds), 0)
    flat = padded.ravel()
    subtract_distances(flat, find_runs(mask, connectivity=1), box, field)
    result = flat.reshape(padded.shape)[inner]
    assert ((result & SEED_BIT > 0) == seeds).all()
    return np.where(mask, DISTANCE_MASK - (result & DISTANCE_MASK), 0)


def brute_force(mask, seeds):
    points = np.argwhere(as_volume(seeds))
    result = np.zeros(as_volume(mask).shape, np.int64)
    for pixel in np.argwhere(as_volume(mask)):
        result[tuple(pixel)] = ((points - pixel) ** 2).sum(1).min()
    return result


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("field", [np.int32, np.int64, None])
def test_distances_are_exact(ndim, field):
    rng = np.random.default_rng(ndim)
    for _ in range(25):
        shape = rng.integers(1, {1: 60, 2: 25, 3: 9}[ndim], ndim)
        mask = rng.random(shape) < rng.choice([0.3, 0.7, 1])
        seeds = mask & (rng.random(shape) < rng.choice([0.01, 0.1, 0.6]))
        if not seeds.any():
            continue
        scratch = np.empty(0 if field is None else mask.size, field or np.int32)
        found = measure(mask, seeds, scratch)
        np.testing.assert_array_equal(found, brute_force(mask, seeds))


def test_distances_beyond_32_bits():
    mask = np.ones((1, 60_000), bool)
    seeds = np.zeros_like(mask)
    seeds[0, 0] = True
    truth = np.arange(60_000, dtype=np.int64) ** 2
    for field in (np.empty(60_000, np.int64), np.empty(0, np.int64)):
        np.testing.assert_array_equal(measure(mask, seeds, field).ravel(), truth)
        along = measure(mask.T[:, None], seeds.T[:, None], field)
        np.testing.assert_array_equal(along.ravel(), truth)


def test_the_tree_finds_the_nearest_of_many_points():
    rng = np.random.default_rng(3)
    points = np.unique(rng.integers(0, 40, (900, 3)), axis=0)
    truth = points.copy()
    axes = plant_tree(points)
    np.testing.assert_array_equal(np.unique(points, axis=0), truth)
    for pixel in rng.integers(-20, 60, (300, 3)):
        at = tuple(pixel)
        guess = int(rng.integers(len(points)))
        found = squared_distance(points, nearest_point(points, axes, at, guess), at)
        assert found == ((truth - pixel) ** 2).sum(1).min()
