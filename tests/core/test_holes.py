from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.holes import fill_holes


def fill_one_by_one(labels, connectivity):
    """Fill each component of the background that touches one label and no border."""
    ndim = labels.ndim
    outside = ndim if connectivity == 1 else 1
    structure = ndimage.generate_binary_structure(ndim, outside)
    parts, count = ndimage.label(labels == 0, structure)
    inner = np.zeros(labels.shape, bool)
    inner[(slice(1, -1),) * ndim] = True
    faces = ndimage.generate_binary_structure(ndim, 1)
    filled = labels.copy()
    for part in range(1, count + 1):
        hole = parts == part
        around = labels[ndimage.binary_dilation(hole, faces) & ~hole]
        if not (hole & ~inner).any() and np.unique(around[around > 0]).size == 1:
            filled[hole] = around.max()
    return filled


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_holes_equal_filling_one_by_one(ndim, connectivity):
    rng = np.random.default_rng(ndim * connectivity)
    changed = 0
    for _ in range(30):
        shape = rng.integers(3, 9, ndim)
        labels = rng.integers(1, 3, shape) * (rng.random(shape) < 0.75)
        labels = np.where(rng.random(shape) < 0.8, labels.max(), labels)
        labels = labels.astype(np.int32)
        filled = fill_holes(labels, connectivity=connectivity)
        np.testing.assert_array_equal(filled, fill_one_by_one(labels, connectivity))
        changed += (filled != labels).any()
    assert changed > 5


def ring(size=7):
    labels = np.zeros((size, size), np.int32)
    labels[1:-1, 1:-1] = 4
    labels[2:-2, 2:-2] = 0
    return labels


def test_a_ring_is_filled_and_its_argument_kept():
    labels = ring()
    filled = fill_holes(labels)
    assert (filled == 4).sum() == 25
    assert (labels == 4).sum() == 16


def test_a_hole_between_two_objects_stays():
    labels = ring()
    labels[:, 4:][labels[:, 4:] > 0] = 5
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_a_ring_around_another_object_stays():
    labels = ring()
    labels[3, 3] = 9
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_a_bay_at_the_border_stays():
    labels = ring()[2:]
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_a_diagonal_gap_opens_a_ring_only_for_faces():
    labels = ring()
    labels[1, 1] = 0
    labels[1, 2] = labels[2, 1] = 4
    open_ring = np.where(labels > 0, 4, 0).astype(np.int32)
    open_ring[2, 2] = 0
    np.testing.assert_array_equal(fill_holes(open_ring), open_ring)
    assert (fill_holes(open_ring, connectivity=2) == 4).sum() == 24


def test_one_plane_of_a_stack_is_filled_like_a_picture():
    np.testing.assert_array_equal(fill_holes(ring()[None]), fill_holes(ring())[None])


def test_nothing_and_everything():
    for labels in (np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)):
        np.testing.assert_array_equal(fill_holes(labels), labels)
    assert fill_holes(np.zeros((0, 4), np.int32)).shape == (0, 4)
