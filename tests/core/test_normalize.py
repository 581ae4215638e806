"""Intensity: percentiles against NumPy's, scaling against the plain formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core import normalize
from napari_unet.core.normalize import IntensityRange, block_regions
from napari_unet.errors import AxesError
from napari_unet.settings import Normalization

quick = settings(deadline=None, max_examples=60)

SMALL_TYPES = [bool, np.uint8, np.int8, np.uint16, np.int16, ">u2", ">i2"]
LARGE_INTEGERS = [np.uint32, np.int32, np.uint64, np.int64]
LARGE_TYPES = [*LARGE_INTEGERS, np.float16, np.float32, np.float64, ">f4"]


def random_image(dtype, shape, random_seed=0):
    """Values over the whole range of the type (floats: around 1000)."""
    rng = np.random.default_rng(random_seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.3
    if kind.kind == "f":
        return (1000 + 100 * rng.standard_normal(shape)).astype(dtype)
    info = np.iinfo(kind)
    native = kind.newbyteorder("=")
    return rng.integers(info.min, info.max, shape, native, endpoint=True).astype(kind)


def reader_of(image):
    return lambda region: image[(slice(None), *region)]


def pixels_of(region):
    return math.prod(part.stop - part.start for part in region)


def measure(images, normalization, chunks=None):
    """Measure (C, ...) images jointly."""
    images = images if isinstance(images, list) else [images]
    return normalize.measure_intensity(
        map(reader_of, images),
        images[0].shape[1:],
        images[0].dtype,
        normalization,
        chunks=chunks,
    )


def by_numpy(images, normalization):
    """The percentiles of all pixels at once."""
    images = images if isinstance(images, list) else [images]
    flat = np.concatenate([i.reshape(len(i), -1) for i in images], axis=1)
    flat = flat.astype(np.float64)
    if normalization.joint_channels:
        flat = np.broadcast_to(flat.ravel(), (len(flat), flat.size))
    ends = [normalization.low, normalization.high]
    return [np.percentile(row[np.isfinite(row)], ends, method="linear") for row in flat]


def assert_is(found, expected, tolerance=1e-9):
    ends = np.array([found.low, found.high]).T
    largest = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(ends, expected, rtol=0, atol=tolerance * largest)


# -- measuring ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SMALL_TYPES + LARGE_TYPES)
@pytest.mark.parametrize("joint", [False, True])
def test_percentiles_are_those_of_numpy(dtype, joint):
    for low, high in ((1.0, 99.8), (0.0, 100.0), (33.3, 66.6)):
        normalization = Normalization(low=low, high=high, joint_channels=joint)
        image = random_image(dtype, (2, 23, 31))
        image[1] = image[1] / 3
        assert_is(measure(image, normalization), by_numpy(image, normalization))
        several = [random_image(dtype, (3, 4, 5, 6), seed) for seed in range(3)]
        assert_is(measure(several, normalization), by_numpy(several, normalization))


@quick
@given(
    dtype=st.sampled_from([bool, np.uint8, np.int8, np.uint16, np.int16]),
    n=st.integers(1, 40),
    low=st.floats(0, 99),
    width=st.floats(0.5, 100),
    random_seed=st.integers(0, 99),
)
def test_the_histogram_is_exact(dtype, n, low, width, random_seed):
    normalization = Normalization(low=low, high=min(100.0, low + width))
    image = random_image(dtype, (1, n), random_seed)
    assert_is(measure(image, normalization), by_numpy(image, normalization))


@quick
@given(
    dtype=st.sampled_from(SMALL_TYPES + LARGE_TYPES),
    chunks=st.one_of(st.none(), st.tuples(*(st.integers(1, n) for n in (7, 12, 9)))),
    n_pixels=st.integers(1, 900),
    joint=st.booleans(),
)
def test_chunks_do_not_matter(dtype, chunks, n_pixels, joint):
    image = random_image(dtype, (2, 7, 12, 9))
    normalization = Normalization(joint_channels=joint)
    whole = measure(image, normalization)
    regions = list(block_regions((7, 12, 9), chunks, n_pixels=n_pixels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalize, "block_regions", lambda *_: regions)
        assert measure(image, normalization, chunks) == whole


@quick
@given(
    shape=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    data=st.data(),
    n_pixels=st.integers(1, 3000),
)
def test_blocks_partition_and_follow_the_chunks(shape, data, n_pixels):
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    count = np.zeros(shape, int)
    for region in block_regions(tuple(shape), chunks, n_pixels=n_pixels):
        count[region] += 1
        assert pixels_of(region) <= max(n_pixels, math.prod(chunks))
        assert all(p.start % c == 0 for p, c in zip(region, chunks, strict=True))
    assert (count == 1).all()


def test_nothing_large_is_read_at_once():
    regions = block_regions((50, 30_000, 40_000), (1, 512, 512))
    sizes = [pixels_of(region) for region in regions]
    assert max(sizes) <= 2**22
    assert sum(sizes) == 50 * 30_000 * 40_000


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, object, "U3", "M8[s]"])
def test_what_is_no_real_number_is_refused(dtype):
    with pytest.raises(AxesError, match="cannot be segmented") as caught:
        measure(np.zeros((1, 4, 4), dtype), Normalization())
    assert caught.value.remedy


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_and_inf_are_left_out_and_counted(dtype):
    image = random_image(dtype, (2, 50, 50))
    image[0, :3, 0] = [np.nan, np.inf, -np.inf]
    image[1, 7] = np.nan
    for joint in (False, True):
        normalization = Normalization(joint_channels=joint)
        found = measure(image, normalization)
        assert found.n_invalid == 53
        assert_is(found, by_numpy(image, normalization))


def test_nothing_but_nan():
    image = np.full((2, 4, 4), np.nan, np.float32)
    image[1] = 7
    found = measure(image, Normalization())
    assert (found.low, found.high, found.n_invalid) == ((0, 7), (0, 7), 16)
    assert not found.apply(image, Normalization()).any()


# -- larger than LARGEST_EXACT -------------------------------------------------------


class Spy:
    """Readers that note which regions they gave."""

    def __init__(self, images):
        self.images, self.regions = images, []

    def readers(self):
        def read(index, region):
            self.regions.append((index, region))
            return self.images[index][(slice(None), *region)]

        return [
            lambda region, index=index: read(index, region)
            for index in range(len(self.images))
        ]

    def n_read(self):
        return sum(pixels_of(region) for _, region in self.regions)


def spied(monkeypatch, images, chunks=None, largest=2**12, block=2**6):
    monkeypatch.setattr(normalize, "LARGEST_EXACT", largest)
    monkeypatch.setattr(normalize, "BLOCK_PIXELS", block)
    spy = Spy(images)
    image = images[0]
    found = normalize.measure_intensity(
        spy.readers(), image.shape[1:], image.dtype, Normalization(), chunks=chunks
    )
    return found, spy


@pytest.mark.parametrize(
    ("n_images", "shape"),
    [
        (1, (200, 300)),
        (1, (3, 20_000)),
        (1, (12, 3000)),
        (1, (4, 100, 150)),
        (1, (40, 41, 42)),
        (2, (70, 80)),
        (50, (30, 40)),
        (5000, (4, 4)),
    ],
)
def test_large_images_are_sampled_evenly(monkeypatch, n_images, shape):
    images = [random_image(np.float32, (1, *shape), s) for s in range(n_images)]
    found, spy = spied(monkeypatch, images)
    assert 2**11 <= spy.n_read() <= 2**13
    again, other = spied(monkeypatch, images, chunks=(1,) * len(shape))
    assert again == found
    assert other.regions == spy.regions
    # No pixel counts twice, and both ends of each axis are seen alike.
    assert len({repr(region) for region in spy.regions}) == len(spy.regions)
    for axis, n in enumerate(shape):
        parts = [region[axis] for _, region in spy.regions]
        margins = min(p.start for p in parts), n - max(p.stop for p in parts)
        assert max(margins) <= n // 3
        assert abs(margins[0] - margins[1]) <= 1
        starts = sorted({part.start for part in parts})
        size = parts[0].stop - parts[0].start
        assert all(b - a >= size for a, b in itertools.pairwise(starts))
    assert_is(found, by_numpy(images, Normalization()), tolerance=0.05)


def test_the_sample_depends_on_the_shape_alone(monkeypatch):
    images = [random_image(np.float32, (1, 100, 120), s) for s in range(2)]
    _, one = spied(monkeypatch, images[:1])
    _, two = spied(monkeypatch, images[1:])
    assert one.regions == two.regions


def test_small_integers_are_never_sampled(monkeypatch):
    image = random_image(np.uint16, (1, 100, 120))
    found, spy = spied(monkeypatch, [image])
    assert spy.n_read() == image.size
    assert_is(found, by_numpy(image, Normalization()))


def test_up_to_the_limit_every_pixel_counts(monkeypatch):
    image = random_image(np.float32, (2, 64, 64))
    found, spy = spied(monkeypatch, [image])
    assert spy.n_read() == 2**12
    assert_is(found, by_numpy(image, Normalization()))


# -- applying -----------------------------------------------------------------------


def plain(image, found, normalization):
    """The formula, in double precision."""
    shape = (-1,) + (1,) * (image.ndim - 1)
    low, high = (np.reshape(end, shape) for end in (found.low, found.high))
    scaled = (image.astype(np.float64) - low) / (high - low)
    if normalization.clip:
        scaled = scaled.clip(0, 1)
    return 1 - scaled if normalization.invert else scaled


@pytest.mark.parametrize("dtype", SMALL_TYPES + LARGE_TYPES)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("invert", [False, True])
def test_scaling(dtype, clip, invert):
    normalization = Normalization(high=95, clip=clip, invert=invert)
    image = random_image(dtype, (3, 20, 30))
    found = measure(image, normalization)
    before = image.copy()
    scaled = found.apply(image, normalization)
    assert scaled.dtype == np.float32
    assert np.array_equal(image, before)
    expected = plain(image, found, normalization)
    assert np.abs(scaled - expected).max() <= 2e-6 * max(1, np.abs(expected).max())
    if clip:
        assert scaled.min() == 0
        assert scaled.max() == 1


@quick
@given(
    dtype=st.sampled_from(SMALL_TYPES + LARGE_TYPES),
    invert=st.booleans(),
    start=st.tuples(st.integers(0, 20), st.integers(0, 40)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 40)),
)
def test_a_tile_has_the_values_of_the_whole(dtype, invert, start, size):
    normalization = Normalization(invert=invert)
    image = random_image(dtype, (2, 40, 80))
    found = measure(image, normalization)
    tile = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    key = slice(None), *tile
    whole = found.apply(image, normalization)
    assert np.array_equal(found.apply(image[key], normalization), whole[key])


@pytest.mark.parametrize("offset", [2**31, 10**15])
def test_large_numbers_keep_their_digits(offset):
    values = np.arange(101, dtype=np.int64).reshape(1, 1, 101)
    normalization = Normalization(low=0, high=100)
    for dtype in (np.uint32, np.float64) if offset < 2**32 else (np.int64, np.float64):
        image = (offset + values).astype(dtype)
        found = measure(image, normalization)
        scaled = found.apply(image, normalization)
        assert np.abs(scaled - values / 100).max() < 1e-7


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float64])
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_constant_channels_become_zero(dtype, invert, clip):
    normalization = Normalization(invert=invert, clip=clip)
    image = random_image(dtype, (2, 5, 6))
    image[1] = 1
    scaled = measure(image, normalization).apply(image, normalization)
    assert not scaled[1].any()
    assert scaled[0].any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_and_inf_become_the_ends(dtype):
    image = np.array([[[np.nan, -np.inf, np.inf, 5, 10, 15]]], dtype)
    found = IntensityRange((5.0,), (15.0,))
    for clip in (False, True):
        scaled = found.apply(image, Normalization(clip=clip))
        assert scaled.ravel().tolist() == [0, 0, 1, 0, 0.5, 1]
        scaled = found.apply(image, Normalization(clip=clip, invert=True))
        assert scaled.ravel().tolist() == [0, 1, 0, 1, 0.5, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fill_values_do_not_overflow(dtype):
    most = np.finfo(dtype).max
    image = np.array([[[-most, most, 0, 1e-3]]], dtype)
    found = IntensityRange((0.0,), (1e-3,))
    scaled = found.apply(image, Normalization())
    expected = [-normalize.FARTHEST, normalize.FARTHEST, 0, 1]
    np.testing.assert_allclose(scaled.ravel(), expected, rtol=1e-6)
