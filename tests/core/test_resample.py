"""Resampling: any region is the whole's; ramps, constants, noise and round trips."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.resample import (
    AxisResampling,
    inverse,
    plan_resampling,
    resample_nearest,
    resample_stored,
    resampled_reader,
    resampled_shape,
)

quick = settings(deadline=None, max_examples=150)


def reader_of(image):
    return lambda region: image[(slice(None), *region)]


def whole(image, resampling):
    shape = resampled_shape(resampling)
    return resampled_reader(reader_of(image), resampling)(
        tuple(slice(0, n) for n in shape)
    )


def literal(line, n_out):
    """The formula for one line, tap by tap, in double precision."""
    n_in = len(line)
    step = n_in / n_out
    reach = max(1.0, step)
    out = []
    for index in range(n_out):
        centre = (index + 0.5) * step - 0.5
        total = weights = 0.0
        for source in range(-2 * n_in - 2, 3 * n_in + 2):
            weight = max(0.0, 1 - abs(source - centre) / reach)
            total += weight * line[min(max(source, 0), n_in - 1)]
            weights += weight
        out.append(total / weights)
    return np.array(out)


@pytest.mark.parametrize("n_in", [1, 2, 3, 10, 17])
@pytest.mark.parametrize("n_out", [1, 2, 5, 10, 17, 40])
def test_one_line_is_the_formula(n_in, n_out):
    line = np.random.default_rng(0).random(n_in)
    found = whole(line[None], (AxisResampling(n_in, n_out),))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], literal(line, n_out), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n_in", "n_out"), [(10, 23), (10, 20), (1, 4), (7, 7)])
def test_enlarging_is_numpys_interpolation(n_in, n_out):
    line = np.random.default_rng(0).random(n_in)
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    found = whole(line[None], (AxisResampling(n_in, n_out),))
    expected = np.interp(centres, np.arange(n_in), line)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


@st.composite
def regions(draw):
    ndim = draw(st.integers(1, 3))
    most = 60 if ndim < 3 else 20
    resampling, region = [], []
    for _ in range(ndim):
        axis = AxisResampling(draw(st.integers(1, most)), draw(st.integers(1, most)))
        start = draw(st.integers(0, axis.n_out - 1))
        resampling.append(axis)
        region.append(slice(start, draw(st.integers(start + 1, axis.n_out))))
    return tuple(resampling), tuple(region)


class Spy:
    """A reader that notes its regions and refuses pixels that do not exist."""

    def __init__(self, image):
        self.image, self.regions = image, []

    def __call__(self, region):
        for part, n in zip(region, self.image.shape[1:], strict=True):
            assert 0 <= part.start < part.stop <= n
        self.regions.append(region)
        return self.image[(slice(None), *region)]


@quick
@given(regions(), st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]))
def test_a_region_has_the_values_of_the_whole(case, dtype):
    resampling, region = case
    shape = tuple(axis.n_in for axis in resampling)
    image = (np.random.default_rng(1).random((2, *shape)) * 250).astype(dtype)
    spy = Spy(image)
    found = resampled_reader(spy, resampling)(region)
    assert np.array_equal(found, whole(image, resampling)[(slice(None), *region)])
    # No more is read than the support of the first and of the last pixel asked for.
    (read,) = spy.regions
    for axis, wanted, part in zip(resampling, region, read, strict=True):
        step = axis.n_in / axis.n_out
        reach = max(1.0, step)
        first, last = (
            (index + 0.5) * step - 0.5 for index in (wanted.start, wanted.stop - 1)
        )
        assert part.start >= min(axis.n_in - 1, math.floor(first - reach))
        assert part.stop - 1 <= max(0, math.ceil(last + reach))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_same_size_is_the_identity(dtype):
    image = (np.random.default_rng(2).random((2, 9, 11)) * 99).astype(dtype)
    same = (AxisResampling(9, 9), AxisResampling(11, 11))
    assert np.array_equal(whole(image, same), image)
    mixed = (AxisResampling(9, 9), AxisResampling(11, 5))
    rows = [
        whole(image[:, [row]], (AxisResampling(1, 1), mixed[1])) for row in range(9)
    ]
    assert np.array_equal(whole(image, mixed), np.concatenate(rows, axis=1))


@quick
@given(
    n=st.integers(2, 50),
    factor=st.floats(0.05, 20),
    slope=st.floats(-3, 3),
    offset=st.floats(-10, 10),
)
def test_ramps_stay_ramps_inside(n, factor, slope, offset):
    n_out = max(1, round(n * factor))
    step = n / n_out
    centres = (np.arange(n_out) + 0.5) * step - 0.5
    line = offset + slope * np.arange(n)
    found = whole(line[None], (AxisResampling(n, n_out),))[0]
    reach = max(1.0, step)
    inside = (centres - reach >= -1) & (centres + reach <= n)
    # Between whole factors a sampled triangle is off its centre by up to 0.086 px.
    uneven = 0.09 * abs(slope) if n_out < n else 0.0
    error = np.abs(found - (offset + slope * centres))[inside]
    assert error.max(initial=0) <= uneven + 1e-4


@quick
@given(regions(), st.integers(0, 65535))
def test_a_constant_stays(case, value):
    resampling, _ = case
    image = np.full((1, *(axis.n_in for axis in resampling)), value, np.uint16)
    assert np.allclose(whole(image, resampling), value, rtol=1e-6, atol=0)
    assert (resample_stored(image, resampling) == value).all()


def test_shrinking_smooths_noise_and_keeps_its_mean():
    noise = np.random.default_rng(3).normal(100, 20, (1, 600, 600))
    small = whole(noise, (AxisResampling(600, 150),) * 2)
    assert abs(small.mean() - noise.mean()) < 0.2
    # A triangle of half width 4 has weights of sum of squares 2.75 / 16 an axis.
    assert small.std() == pytest.approx(20 * 2.75 / 16, rel=0.1)
    assert small.std() < 0.25 * noise[:, ::4, ::4].std()


def test_a_fine_stripe_pattern_does_not_alias():
    stripes = np.tile([0.0, 100.0], 300)[None]
    small = whole(stripes, (AxisResampling(600, 90),))[0, 3:-3]
    assert np.abs(small - 50).max() < 3


@quick
@given(regions())
def test_labels_take_the_pixel_in_which_a_centre_lies(case):
    resampling, _ = case
    shape = tuple(axis.n_in for axis in resampling)
    labels = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    found = resample_nearest(np.stack([labels, -labels]), resampling)
    lines = [
        [
            math.floor(Fraction((2 * i + 1) * a.n_in, 2 * a.n_out))
            for i in range(a.n_out)
        ]
        for a in resampling
    ]
    assert np.array_equal(found[0], labels[np.ix_(*lines)])
    assert np.array_equal(found[1], -found[0])
    assert found.dtype == labels.dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stored_probabilities_go_there_and_back(dtype):
    scale = np.iinfo(dtype).max
    y, x = np.mgrid[:90, :70]
    smooth = (np.sin(y / 15) * np.cos(x / 12) + 1) / 2
    stored = np.rint(np.stack([smooth, 1 - smooth]) * scale).astype(dtype)
    there = plan_resampling((90, 70), (2.0, 2.5))
    large = resample_stored(stored, there)
    assert (large.shape, large.dtype) == ((2, 180, 175), dtype)
    back = resample_stored(large, inverse(there))
    assert (back.shape, back.dtype) == (stored.shape, dtype)
    assert np.abs(back.astype(float) - stored).max() <= 0.02 * scale
    # Both extremes survive without wrapping round.
    ends = np.zeros((1, 8, 8), dtype)
    ends[:, 2:6] = scale
    large = resample_stored(ends, (AxisResampling(8, 33), AxisResampling(8, 5)))
    assert large.min() == 0
    assert large.max() == scale


@pytest.mark.parametrize("shape", [(3000, 2500), (5, 900, 900)])
@pytest.mark.parametrize("factor", [0.4, 1.3])
def test_stored_in_blocks_is_stored_at_once(shape, factor):
    stored = np.random.default_rng(4).integers(0, 256, (1, *shape)).astype(np.uint8)
    resampling = plan_resampling(shape, (factor,) * len(shape))
    expected = np.rint(whole(stored, resampling))
    assert np.array_equal(resample_stored(stored, resampling), expected)


@pytest.mark.parametrize(
    ("shape", "factors", "expected"),
    [
        ((100, 100), (1.0, 1.0), None),
        ((100, 100), (1.009, 0.991), None),
        ((100, 100), (2.0, 1.005), (200, 100)),
        ((100, 101), (0.5, 0.5), (50, 50)),
        ((3, 100), (0.1, 0.1), (1, 10)),
        ((10,), (1.04,), None),
        ((1, 7), (3.0, 3.0), (3, 21)),
    ],
)
def test_plans(shape, factors, expected):
    plan = plan_resampling(shape, factors)
    if expected is None:
        assert plan is None
        return
    assert resampled_shape(plan) == expected
    assert resampled_shape(inverse(plan)) == shape
    assert inverse(inverse(plan)) == plan
