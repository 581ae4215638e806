from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.components import compiled, find_runs, label_components
from napari_unet.errors import AxesError, SettingsError


def first_pixels(labels):
    ids, first = np.unique(labels, return_index=True)
    return first[ids > 0]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_components_equal_scipy_and_are_numbered_in_raster_order(ndim, connectivity):
    rng = np.random.default_rng(ndim + 10 * connectivity)
    structure = ndimage.generate_binary_structure(ndim, min(connectivity, ndim))
    for _ in range(30):
        mask = rng.random(rng.integers(1, 13, ndim)) < rng.choice([0.2, 0.5, 0.8])
        labels = label_components(mask, connectivity=connectivity)
        truth, count = ndimage.label(mask, structure)
        assert labels.dtype == np.int32
        assert labels.max(initial=0) == count
        pairs = np.unique(np.stack([labels.ravel(), truth.ravel()]), axis=1)
        assert pairs.shape[1] == np.unique(truth).size
        assert (np.diff(first_pixels(labels)) > 0).all()


def test_runs_cover_the_mask_and_know_their_sizes():
    mask = np.random.default_rng(0).random((5, 6, 7)) < 0.5
    runs = find_runs(mask, connectivity=1)
    again = np.zeros((30, 7), bool)
    for row, start, stop in zip(runs.row, runs.start, runs.stop, strict=True):
        again[row, start:stop] = True
    np.testing.assert_array_equal(again.reshape(mask.shape), mask)
    labels = label_components(mask)
    np.testing.assert_array_equal(runs.sizes, np.bincount(labels.ravel())[1:])
    assert runs.n_components == labels.max()


def test_small_components_are_left_out():
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 1]], bool)
    labels = label_components(mask, min_size=2)
    assert labels.tolist() == [[0, 0, 1, 1, 0, 2, 2, 2]]


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (3, 0, 2)])
def test_an_empty_array_has_no_components(shape):
    assert label_components(np.zeros(shape, bool)).shape == shape


def test_axes_of_length_one_change_nothing():
    mask = np.random.default_rng(1).random((9, 8)) < 0.5
    flat = label_components(mask, connectivity=2)
    for axis in range(3):
        thick = label_components(np.expand_dims(mask, axis), connectivity=2)
        np.testing.assert_array_equal(thick.squeeze(axis), flat)


def test_arguments_are_neither_changed_nor_required_to_be_contiguous():
    mask = np.random.default_rng(2).random((9, 8)) < 0.5
    mask.flags.writeable = False
    np.testing.assert_array_equal(
        label_components(mask.T), label_components(mask.T.copy())
    )


def test_kernels_work_where_nothing_can_be_cached(monkeypatch):
    njit = numba.njit

    def refuse_cache(*, cache, **options):
        if cache:
            raise RuntimeError("no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", refuse_cache)
    assert compiled(lambda x: x + 1)(2) == 3


def test_impossible_arguments_are_refused():
    with pytest.raises(SettingsError, match="connectivity of 0"):
        label_components(np.ones((2, 2), bool), connectivity=0)
    with pytest.raises(AxesError, match="more than three"):
        label_components(np.ones((2, 2, 2, 2), bool))
