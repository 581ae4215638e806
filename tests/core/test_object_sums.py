"""Sums over bands: the height of the bands does not show, and nothing is read whole."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core import object_sums
from napari_unet.core.measure import measure_objects, measure_stack


class Lazy:
    """An array that notes the largest piece that was read of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, key):
        found = self.array[key]
        self.largest = max(self.largest, found.size)
        return found


@pytest.fixture
def scene(rng):
    labels = rng.integers(0, 9, (3, 40, 30)).astype(np.uint16)
    image = rng.random((2, 3, 40, 30)) * 1000
    image[0, 1, 5, 5] = np.nan
    return labels, image


def equal(first, second):
    assert list(first) == list(second)
    for name, column in first.items():
        assert np.array_equal(column, second[name], equal_nan=column.dtype.kind == "f")


@pytest.mark.parametrize("pixels", [1, 30, 100, 10**6])
@pytest.mark.parametrize("axes", ["ZYX", "YX"])
def test_the_height_of_the_bands_does_not_show(scene, monkeypatch, pixels, axes):
    labels, image = scene
    if axes == "YX":
        labels, image = labels[0], image[:, 0]
    whole = measure_objects(labels, image, axes=axes)
    monkeypatch.setattr(object_sums, "BAND_PIXELS", pixels)
    equal(measure_objects(labels, image, axes=axes), whole)


def test_lazy_arrays_are_read_in_bands(scene, monkeypatch):
    labels, image = scene
    options = {"axes": "TYX", "spatial_axes": "YX"}
    whole = measure_stack(labels, image, **options)
    monkeypatch.setattr(object_sums, "BAND_PIXELS", 100)
    lazy_labels, lazy_image = Lazy(labels), Lazy(image)
    equal(measure_stack(lazy_labels, lazy_image, **options), whole)
    assert lazy_labels.largest <= 100
    assert lazy_image.largest <= 2 * 100


def test_nan_stays_where_it_is(scene):
    labels, image = scene
    table = measure_objects(labels, image, axes="ZYX")
    struck = table["label"] == labels[1, 5, 5]
    assert struck.sum() == 1
    for name in ("mean", "min", "max"):
        found = np.isnan(table[f"intensity_{name}_0"])
        assert np.array_equal(found, struck)
        assert not np.isnan(table[f"intensity_{name}_1"]).any()
