"""Mirroring against numpy.pad, and never a pixel that does not exist."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.mirror import mirrored_indices, read_mirrored

quick = settings(deadline=None, max_examples=200)


def padded(image, spans):
    """The same region cut out of numpy's reflection of the whole image."""
    before = [max(0, -start) for start, _ in spans]
    after = [
        max(0, stop - n) for (_, stop), n in zip(spans, image.shape[1:], strict=True)
    ]
    width = [(0, 0), *zip(before, after, strict=True)]
    whole = np.pad(image, width, mode="reflect")
    parts = [
        slice(start + left, stop + left)
        for (start, stop), left in zip(spans, before, strict=True)
    ]
    return whole[(slice(None), *parts)]


class Spy:
    """A reader that refuses pixels outside the image and notes what it gave."""

    def __init__(self, image):
        self.image, self.regions = image, []

    def __call__(self, region):
        for part, n in zip(region, self.image.shape[1:], strict=True):
            assert 0 <= part.start < part.stop <= n
        self.regions.append(region)
        return self.image[(slice(None), *region)]


@pytest.mark.parametrize("n", range(1, 8))
def test_indices_are_those_of_numpy(n):
    line = np.arange(n)
    far = 4 * n + 3
    whole = np.pad(line, far, mode="reflect")
    for start in range(-far, n + far):
        for stop in range(start + 1, n + far + 1):
            found = mirrored_indices((start, stop), n)
            assert np.array_equal(found, whole[start + far : stop + far])


@st.composite
def regions(draw):
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    spans = []
    for n in shape:
        start = draw(st.integers(-3 * n - 4, 4 * n + 4))
        spans.append((start, start + draw(st.integers(1, 5 * n))))
    return tuple(shape), tuple(spans)


@quick
@given(regions())
def test_regions_are_those_of_numpy(region):
    shape, spans = region
    image = np.random.default_rng(0).integers(0, 9999, (2, *shape))
    spy = Spy(image)
    found = read_mirrored(spy, spans, shape)
    assert np.array_equal(found, padded(image, spans))
    assert len(spy.regions) == 1


def test_inside_only_the_span_is_read():
    image = np.arange(2 * 20 * 30).reshape(2, 20, 30)
    spy = Spy(image)
    found = read_mirrored(spy, ((3, 9), (0, 30)), (20, 30))
    assert spy.regions == [(slice(3, 9), slice(0, 30))]
    assert np.array_equal(found, image[:, 3:9])


def test_at_the_edge_only_what_is_reflected_is_read():
    image = np.arange(100)[None]
    spy = Spy(image)
    found = read_mirrored(spy, ((-10, 5),), (100,))
    assert spy.regions == [(slice(0, 11),)]
    assert found[0].tolist() == [*range(10, 0, -1), *range(5)]
    read_mirrored(spy, ((95, 103),), (100,))
    assert spy.regions[1] == (slice(95, 100),)


def test_the_type_stays():
    for dtype in (bool, np.uint8, np.float16, np.int64):
        image = np.ones((1, 3, 3), dtype)
        assert read_mirrored(Spy(image), ((-2, 4), (0, 3)), (3, 3)).dtype == dtype
