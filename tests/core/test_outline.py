"""Outlines against skimage, which tests each pixel against each edge."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_unet.core.outline import as_lists, make_outline
from napari_unet.errors import SettingsError

SHAPE = (50, 64)
ALL = (slice(0, 50), slice(0, 64))


def star(rng: np.random.Generator, n: int) -> np.ndarray:
    """Corners all around the middle, near and far, some beyond the image."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = rng.uniform(5, 45, n)
    return np.stack([25 + radius * np.sin(angles), 30 + radius * np.cos(angles)], 1)


def crossing(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-20, 80, (n, 2))


# Where two edges cross right in a centre, which skimage takes for outside, ours say the
# same as of every edge; so what crosses itself has no whole numbers here.
@pytest.mark.parametrize(("shape", "decimals"), [(star, 0), (star, 2), (crossing, 2)])
@pytest.mark.parametrize("n_corners", [3, 4, 9, 40])
def test_pixels_inside_are_those_of_skimage(shape, decimals, n_corners):
    rng = np.random.default_rng(n_corners)
    for _ in range(8):
        points = shape(rng, n_corners).round(decimals)
        outline = make_outline(points)
        found = outline.inside(ALL)
        np.testing.assert_array_equal(found, polygon2mask(SHAPE, points))
        assert outline.meets(ALL) == found.any()
        outside = found.copy()
        outside[tuple(slice(max(0, s.start), s.stop) for s in outline.box)] = False
        assert not outside.any()


def test_a_part_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    outline = make_outline([star(rng, 30), crossing(rng, 5) + 1000])
    whole = outline.inside(ALL)
    assert 0 < whole.sum() < whole.size
    for _ in range(200):
        y, x = np.sort(rng.integers(0, 50, 2)), np.sort(rng.integers(0, 64, 2))
        part = slice(int(y[0]), int(y[1])), slice(int(x[0]), int(x[1]))
        np.testing.assert_array_equal(outline.inside(part), whole[part])
        assert outline.meets(part) == whole[part].any()


def test_polygons_are_joined_and_edges_belong_to_them():
    square = [(10, 10), (10, 20), (20, 20), (20, 10)]
    right = [(15, 20), (15, 30), (25, 30), (25, 20)]
    expected = np.zeros(SHAPE, bool)
    expected[10:21, 10:21] = expected[15:26, 20:31] = True
    joined = make_outline([square, right])
    np.testing.assert_array_equal(joined.inside(ALL), expected)
    assert joined.box == (slice(10, 26), slice(10, 31))
    np.testing.assert_array_equal(
        make_outline(square).inside(ALL), make_outline([square]).inside(ALL)
    )
    below = make_outline(np.asarray(square) + 0.004)
    assert as_lists(below) == as_lists(make_outline(square)), "two decimals count"


def test_a_long_outline_of_many_rows_is_exact():
    """A thin slanted band, a megapixel wide, by the formula of its two sides."""
    outline = make_outline([(0, 0), (0, 3), (10**6, 10**6 + 3), (10**6, 10**6)])
    part = slice(999_000, 999_020), slice(999_000, 999_030)
    y, x = np.mgrid[part]
    np.testing.assert_array_equal(outline.inside(part), (x >= y) & (x <= y + 3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([(0, 0), (5, 5)], "2 points encloses nothing"),
        ([[(0, 0), (5, 5), (0, 5)], [(1, 2)]], "1 points encloses nothing"),
        ([(0, 0, 0), (1, 1, 1), (2, 2, 2)], "not made of points"),
        ([1, 2, 3], "not made of points"),
        ([], "not made of points"),
        (7, "not made of points"),
        ("square", "not made of points"),
        ([(0, 0), (5, np.nan), (0, 5)], "no place in an image"),
        ([(0, 0), (5, 1e9), (0, 5)], "no place in an image"),
    ],
)
def test_what_is_no_outline_is_refused(given, said):
    with pytest.raises(SettingsError, match=said):
        make_outline(given)
