"""Any axes in any order: each sample is what it would be alone, in its own place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.errors import AxesError


def arranged(image, axes, order):
    return image.transpose([axes.index(a) for a in order])


@pytest.mark.parametrize("order", ["YX", "XY"])
def test_planes(threshold_model, scene, components, order):
    image = scene((48, 60))
    seg = nu.segment(arranged(image, "YX", order), threshold_model(), axes=order)
    assert (seg.axes, seg.spatial, seg.labels.dtype) == (order, "YX", np.int32)
    assert np.array_equal(arranged(seg.labels, order, "YX"), components(image))


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("TZYX")])
def test_every_order_of_four_axes(threshold_model, scene, components, order):
    image = np.stack(
        [[scene((24, 36), seed=2 * t + z) for z in range(2)] for t in range(2)]
    )
    seg = nu.segment(arranged(image, "TZYX", order), threshold_model(), axes=order)
    labels = arranged(seg.labels, order, "TZYX")
    assert seg.labels.shape == tuple(image.shape["TZYX".index(a)] for a in order)
    for t, z in np.ndindex(2, 2):
        assert np.array_equal(labels[t, z], components(image[t, z]))


@pytest.mark.parametrize("order", ["TCZYX", "CTYXZ", "YXCZT"])
def test_channels_are_picked_and_leave_the_labels(
    threshold_model, scene, components, order
):
    image = np.stack([scene((24, 36), seed=s) for s in range(3)])[None, :, None]
    model = threshold_model()
    turned = arranged(image, "TCZYX", order)
    seg = nu.segment(turned, model, axes=order, channels=(1,))
    kept = order.replace("C", "")
    assert (seg.axes, seg.probabilities.shape[0]) == (kept, 3)
    labels = arranged(seg.labels, kept, "TZYX")[0, 0]
    assert np.array_equal(labels, components(image[0, 1, 0]))
    two = threshold_model(in_channels=2)
    seg = nu.segment(turned, two, axes=order, channels=(0, 2))  # it looks at the last
    labels = arranged(seg.labels, kept, "TZYX")[0, 0]
    assert np.array_equal(labels, components(image[0, 2, 0]))


@pytest.mark.parametrize("order", ["ZYX", "XZY", "YZX"])
def test_volumes(threshold_model, scene, components, order):
    image = scene((24, 24, 36))
    seg = nu.segment(arranged(image, "ZYX", order), threshold_model(ndim=3), axes=order)
    assert seg.spatial == "ZYX"
    assert np.array_equal(arranged(seg.labels, order, "ZYX"), components(image))


def test_a_volume_per_frame(threshold_model, scene, components):
    image = np.stack([scene((24, 24, 24), seed=s) for s in range(2)])
    seg = nu.segment(image, threshold_model(ndim=3), axes="TZYX")
    for frame, labels in zip(image, seg.labels, strict=True):
        assert np.array_equal(labels, components(frame))


@pytest.mark.parametrize("link", ["", "Z", "T", "TZ", "ZT"])
def test_linking_over_z_and_t(threshold_model, scene, components, link):
    """Where the first object is missing all numbers shift, unless they are linked."""
    full = scene((36, 36))
    less = np.where(components(full) == 1, 0, full)
    image = np.stack([[full, less], [less, full]])
    separation = nu.Separation(link=link)
    seg = nu.segment(image, threshold_model(), axes="TZYX", separation=separation)
    both = seg.labels[..., less > 0]
    assert np.array_equal(seg.labels > 0, image > 0)
    assert np.array_equal(both[:, 0], both[:, 1]) == ("Z" in link)
    assert np.array_equal(both[0], both[1]) == ("T" in link)
    if not link:
        assert np.array_equal(seg.labels[0, 1], components(less))


def test_linking_over_an_axis_that_is_not_there(threshold_model, scene):
    separation = nu.Separation(link="T")
    with pytest.raises(AxesError, match="cannot be linked over T"):
        nu.segment(scene(), threshold_model(), axes="YX", separation=separation)


def test_guesses_are_notes(threshold_model, scene):
    seg = nu.segment(scene(), threshold_model())
    assert "The axes were guessed to be YX." in seg.notes
    colour = np.repeat(scene()[..., None], 3, axis=-1)
    seg = nu.segment(colour, threshold_model())
    assert seg.axes == "YX"
    assert any("turned to grey" in note for note in seg.notes)
    assert nu.segment(scene(), threshold_model(), axes="YX").notes == ()


def test_singleton_axes_stay(threshold_model, scene, components):
    image = scene()[None, :, None, :, None]
    seg = nu.segment(image, threshold_model(), axes="TYZXC")
    assert seg.labels.shape == (1, 48, 1, 60)
    assert np.array_equal(seg.labels[0, :, 0], components(scene()))


def test_what_does_not_fit_is_refused_before_running(threshold_model, scene):
    image = scene()
    with pytest.raises(AxesError, match="3-D, but the image with axes YX has no Z"):
        nu.segment(image, threshold_model(ndim=3), axes="YX")
    with pytest.raises(AxesError, match="takes 2 channel"):
        nu.iter_segment(image, threshold_model(in_channels=2), axes="YX")
    with pytest.raises(AxesError, match="name 3 axes, but the array has 2"):
        nu.segment(image, threshold_model(), axes="ZYX")


@pytest.mark.parametrize(
    "dtype", [bool, "u1", "i2", "u2", ">u2", "u4", "i8", "f2", "f4", "f8"]
)
def test_any_type_of_pixels(threshold_model, scene, components, dtype):
    image = (scene() > 0).astype(dtype)
    seg = nu.segment(image, threshold_model(), axes="YX")
    assert np.array_equal(seg.labels, components(scene()))


def test_nan_and_infinite_pixels_are_told(threshold_model, scene, components):
    image = scene().astype(np.float32)
    image[0, 0], image[0, 1] = np.nan, -np.inf
    seg = nu.segment(image, threshold_model(), axes="YX")
    assert np.array_equal(seg.labels, components(scene()))
    assert any(note.startswith("2 pixel(s) are NaN or infinite") for note in seg.notes)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5)])
def test_constant_and_tiny_images_are_valid(random_model, shape):
    for value in (0, 7):
        seg = nu.segment(np.full(shape, value, np.uint8), random_model(), axes="YX")
        assert seg.labels.shape == shape
