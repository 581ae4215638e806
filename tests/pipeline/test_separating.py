"""`separate`: probabilities of any network, over the samples of any image."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

import napari_unet as nu
from napari_unet.core.fixed_point import to_fixed_point
from napari_unet.core.separation import separate_instances
from napari_unet.errors import AxesError, SettingsError

NAMES = ("background", "interior", "boundary")


def softmax(shape, seed=0):
    """Smooth random probabilities (3, *shape), float32."""
    from scipy import ndimage

    logits = np.random.default_rng(seed).normal(size=(3, *shape))
    smooth = ndimage.gaussian_filter(logits, (0, *(2,) * len(shape))) * 20
    values = np.exp(smooth - smooth.max(axis=0))
    return (values / values.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 50), (10, 20, 20)])
def test_one_sample(shape):
    values = softmax(shape)
    labels = nu.separate(values)
    wanted = separate_instances(to_fixed_point(values), NAMES, nu.Separation())
    assert wanted.max() > 2
    assert labels.dtype == np.int32
    assert np.array_equal(labels, wanted)


@pytest.mark.parametrize("axes", ["TYX", "YTX", "YXT"])
def test_samples_are_separated_one_by_one(axes):
    frames = [softmax((30, 40), seed) for seed in range(3)]
    stack = np.moveaxis(np.stack(frames), 0, 1 + axes.index("T"))
    labels = np.moveaxis(nu.separate(stack, axes=axes), axes.index("T"), 0)
    for frame, found in zip(frames, labels, strict=True):
        assert np.array_equal(found, nu.separate(frame))


def test_slices_as_volume_or_plane_by_plane():
    volume = softmax((4, 30, 30))
    planes = nu.separate(volume, spatial="YX")
    for z in range(4):
        assert np.array_equal(planes[z], nu.separate(volume[:, z]))
    whole = nu.separate(volume)
    assert not np.array_equal(whole, planes)


def test_linked_slices_share_numbers():
    plane = softmax((30, 30))
    stack = np.stack([plane] * 3, axis=1)
    labels = nu.separate(stack, nu.Separation(link="Z"), spatial="YX")
    assert np.array_equal(labels, np.stack([nu.separate(plane)] * 3))


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint16", "uint8"])
def test_types_of_numbers(dtype):
    values = softmax((40, 50))
    if dtype.startswith("u"):
        values = np.rint(values * np.iinfo(dtype).max)
    given = values.astype(dtype)
    labels = nu.separate(given)
    stored = to_fixed_point(given)
    wanted = separate_instances(stored, NAMES, nu.Separation())
    assert np.array_equal(labels, wanted)


class ReadBySample:
    """A lazy array that refuses to be read whole."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        found = self.array[key]
        assert found.size <= self.array.size // self.shape[1]
        return found


def test_lazy_arrays_are_read_one_sample_at_a_time():
    stack = np.stack([softmax((30, 40), seed) for seed in range(3)], axis=1)
    wanted = nu.separate(stack, axes="TYX")
    assert np.array_equal(nu.separate(ReadBySample(stack), axes="TYX"), wanted)
    lazy = dask.array.from_array(stack, chunks=(3, 1, 16, 16))
    assert np.array_equal(nu.separate(lazy, axes="TYX"), wanted)
    assert np.array_equal(nu.separate(stack.tolist(), axes="TYX"), wanted)


def test_classes():
    values = softmax((20, 20))
    stored = to_fixed_point(values)
    found = nu.separate(values, channels=("sky", "road", "car"))
    assert np.array_equal(found, stored.argmax(axis=0))
    assert np.array_equal(nu.separate(values, semantic=True), stored.argmax(axis=0))
    one = nu.separate(values[:1], channels=("tumour",))
    assert np.array_equal(one, stored[0] > 32767)


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (np.zeros((9, 9)), {}, AxesError, "have no channels"),
        (np.zeros((5, 9, 9)), {}, AxesError, "5 channels of probabilities, but 0"),
        (np.zeros((3, 9, 9)), {"channels": ("interior",)}, AxesError, "but 1 names"),
        (np.zeros((3, 9, 9)), {"axes": "CYX"}, AxesError, "name the channels"),
        (np.zeros((3, 9, 9)), {"axes": "TYX"}, AxesError, "name 3 axes, but"),
        (np.zeros((3, 9, 9)), {"spatial": "ZYX"}, AxesError, "no Z axis"),
        (np.full((3, 9, 9), 7.0), {}, SettingsError, "lie between 0 and 1"),
        (np.zeros((3, 9, 9), complex), {}, SettingsError, "cannot be of type complex"),
    ],
)
def test_refusals(values, options, error, message):
    with pytest.raises(error, match=message):
        nu.separate(values, **options)
