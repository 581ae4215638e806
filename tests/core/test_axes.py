"""Axes: every layout of an image, read and written back against its coordinates."""

from __future__ import annotations

import itertools

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import AXES, check_axes, guess_axes, plan_axes
from napari_unet.errors import AxesError

quick = settings(deadline=None, max_examples=150)

ALL_AXES = [
    "".join(order)
    for n in range(4)
    for extra in itertools.combinations("TCZ", n)
    for order in itertools.permutations([*extra, "Y", "X"])
]
# Each pixel's value tells where it is: one decimal digit per axis.
DIGIT = {letter: 10**place for place, letter in enumerate("XYZCT")}


def coordinates(axes, shape):
    """An image whose values spell the position of each pixel."""
    grids = np.indices(shape)
    total = sum(DIGIT[a] * grid for a, grid in zip(axes, grids, strict=True))
    return total.astype(np.int32)


def expected_region(sample, region, spatial, n_channels):
    """What `read` must return, computed from positions alone."""
    positions = [np.arange(n_channels), *(np.arange(r.start, r.stop) for r in region)]
    weights = [DIGIT["C"], *(DIGIT[a] for a in spatial)]
    grids = np.meshgrid(*positions, indexing="ij")
    offset = sum(DIGIT[a] * at for a, at in sample.items())
    return offset + sum(w * g for w, g in zip(weights, grids, strict=True))


def round_trip(image, axes, ndim, region=None):
    """Read every sample and place it again; return (labels, probabilities)."""
    plan = plan_axes(axes, image.shape, ndim=ndim)
    labels = np.full(plan.labels_shape, -1)
    stacked = np.full((plan.n_channels, *plan.labels_shape), -1)
    region = region or tuple(slice(0, n) for n in plan.spatial_shape)
    for sample in plan.samples():
        pixels = plan.read(image, sample, region)
        want = expected_region(sample, region, plan.spatial, plan.n_channels)
        assert np.array_equal(pixels, want)
        plan.labels_view(labels, sample)[region] = pixels[0]
        plan.probabilities_view(stacked, sample)[(slice(None), *region)] = pixels
    return plan, labels, stacked


def channels_first(image, axes):
    if "C" not in axes:
        return image[None]
    return np.moveaxis(image, axes.index("C"), 0)


def test_there_are_212_layouts():
    assert len(ALL_AXES) == len(set(ALL_AXES)) == 212


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_layout_comes_back(ndim):
    size = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
    for axes in ALL_AXES:
        if ndim == 3 and "Z" not in axes:
            continue
        image = coordinates(axes, [size[a] for a in axes])
        plan, labels, stacked = round_trip(image, axes, ndim)
        source = channels_first(image, axes)
        assert np.array_equal(stacked, source)
        assert np.array_equal(labels, source[0])
        assert plan.labels_axes == axes.replace("C", "")
        assert plan.sample_axes == "".join(
            a for a in axes if a == "T" or (a == "Z" and ndim == 2)
        )


@st.composite
def layouts(draw):
    ndim = draw(st.sampled_from([2, 3]))
    axes = draw(st.sampled_from([a for a in ALL_AXES if ndim == 2 or "Z" in a]))
    shape = tuple(draw(st.integers(1, 5)) for _ in axes)
    plan = plan_axes(axes, shape, ndim=ndim)
    spans = [
        sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
        for n in plan.spatial_shape
    ]
    return axes, shape, ndim, tuple(slice(*span) for span in spans)


@quick
@given(layouts())
def test_any_region_of_any_layout_lands_where_it_came_from(layout):
    axes, shape, ndim, region = layout
    image = coordinates(axes, shape)
    plan, labels, stacked = round_trip(image, axes, ndim, region)
    at = dict(zip(plan.spatial, region, strict=True))
    inside = tuple(at.get(a, slice(None)) for a in plan.labels_axes)
    source = channels_first(image, axes)
    assert np.array_equal(labels[inside], source[0][inside])
    assert np.array_equal(stacked[(slice(None), *inside)], source[:, *inside])
    n_outside = labels.size - labels[inside].size
    assert np.count_nonzero(labels == -1) == n_outside


@pytest.mark.parametrize("axes", ["XYC", "CTZYX", "YX", "ZCXTY"])
def test_lazy_arrays_are_read_like_numpy(axes):
    shape = tuple({"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 7}[a] for a in axes)
    image = coordinates(axes, shape)
    stored = zarr.create_array(
        {}, shape=shape, dtype=image.dtype, chunks=(2,) * len(shape)
    )
    stored[...] = image
    for lazy in (da.from_array(image, chunks=2), stored):
        _, labels, stacked = round_trip(lazy, axes, 2)
        assert np.array_equal(stacked, channels_first(image, axes))
        assert np.array_equal(labels, channels_first(image, axes)[0])


class Spy:
    """An array that remembers what was asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.keys = []

    def __getitem__(self, key):
        self.keys.append(key)
        return self.array[key]


def test_only_the_region_is_asked_for():
    image = Spy(coordinates("TYCX", (2, 6, 3, 7)))
    plan = plan_axes("TYCX", image.shape, ndim=2)
    plan.read(image, {"T": 1}, (slice(2, 4), slice(0, 5)))
    assert image.keys == [(1, slice(2, 4), slice(None), slice(0, 5))]


def test_views_write_through():
    plan = plan_axes("XTY", (3, 2, 4), ndim=2)
    labels, stacked = np.zeros((3, 2, 4), int), np.zeros((2, 3, 2, 4), int)
    for index, sample in enumerate(plan.samples(), start=1):
        plan.labels_view(labels, sample)[...] = index
        plan.probabilities_view(stacked, sample)[1] = index
    assert (labels[:, 0] == 1).all()
    assert (labels[:, 1] == 2).all()
    assert np.array_equal(stacked[1], labels)
    assert not stacked[0].any()


def test_samples_follow_the_images_order():
    plan = plan_axes("ZTYX", (2, 2, 1, 1), ndim=2)
    assert [tuple(s.items()) for s in plan.samples()] == [
        (("Z", z), ("T", t)) for z in range(2) for t in range(2)
    ]
    assert list(plan_axes("YX", (3, 3), ndim=2).samples()) == [{}]


def test_types_stay():
    for dtype in (bool, np.uint8, np.int64, np.float16, ">u2"):
        image = np.zeros((3, 4), dtype)
        region = (slice(0, 2), slice(1, 2))
        pixels = plan_axes("YX", (3, 4), ndim=2).read(image, {}, region)
        assert pixels.dtype == image.dtype
        assert pixels.shape == (1, 2, 1)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("YXS", (2, 3, 4), r"unknown letters \['S'\]"),
        ("Y X", (2, 3, 4), r"unknown letters \[' '\]"),
        ("YXY", (2, 3, 4), "name an axis twice"),
        ("YyX", (2, 3, 4), "name an axis twice"),
        ("YX", (2, 3, 4), r"name 2 axes, but the array has 3: \(2, 3, 4\)"),
        ("TZYX", (2, 3, 4), "name 4 axes, but the array has 3"),
        ("TZX", (2, 3, 4), "lack Y or X"),
        ("CZY", (2, 3, 4), "lack Y or X"),
        ("", (), "lack Y or X"),
        ("ZYX", (2, 0, 4), r"shape \(2, 0, 4\) holds no pixels"),
    ],
)
def test_axes_that_do_not_fit_are_refused(axes, shape, message):
    for check in (check_axes, lambda *given: plan_axes(*given, ndim=2)):
        with pytest.raises(AxesError, match=message) as caught:
            check(axes, shape)
        assert caught.value.remedy


def test_every_wrong_string_of_three_letters_is_refused():
    good = {a for a in ALL_AXES if len(a) == 3}
    for letters in itertools.product(AXES + "Q", repeat=3):
        axes = "".join(letters)
        if axes in good:
            assert check_axes(axes.lower(), (1, 1, 1)) == axes
        else:
            with pytest.raises(AxesError):
                check_axes(axes, (1, 1, 1))


def test_a_3d_model_needs_z():
    with pytest.raises(AxesError, match="3-D, but the image with axes TYX has no Z"):
        plan_axes("tyx", (2, 3, 4), ndim=3)


@pytest.mark.parametrize(
    ("shape", "rgb", "axes"),
    [
        ((4, 5), False, "YX"),
        ((3, 4, 5), False, "ZYX"),
        ((2, 3, 4, 5), False, "TZYX"),
        ((2, 3, 4, 5, 6), False, "TCZYX"),
        ((4, 5, 3), True, "YXC"),
        ((2, 4, 5, 4), True, "ZYXC"),
        ((2, 2, 4, 5, 3), True, "TZYXC"),
    ],
)
def test_guesses(shape, rgb, axes):
    assert guess_axes(shape, rgb=rgb) == axes
    assert check_axes(axes, shape) == axes


@pytest.mark.parametrize("shape", [(), (4,), (1,) * 6])
def test_no_guess(shape):
    with pytest.raises(AxesError, match="cannot be guessed"):
        guess_axes(shape)


@pytest.mark.parametrize("shape", [(3,), (5, 3), (1, 1, 1, 1, 5, 3)])
def test_no_guess_of_colour(shape):
    with pytest.raises(AxesError, match="cannot be guessed"):
        guess_axes(shape, rgb=True)
