"""Warps against slicing, SciPy, and literal sums over the neighbours."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_unet.core.warp import Elastic, Warp, resample
from napari_unet.core.warp_draw import turn

quick = settings(deadline=None, max_examples=40)


def eye(ndim):
    return tuple(tuple(float(i == j) for j in range(ndim)) for i in range(ndim))


def tuples(matrix):
    return tuple(tuple(float(value) for value in row) for row in matrix)


def places(warp):
    """Places in the image by the definition, with SciPy's spline for the elastic."""
    p = np.indices(warp.patch_shape).astype(float)
    ndim = len(p)
    p -= (np.array(warp.patch_shape).reshape(-1, *(1,) * ndim) - 1) / 2
    if warp.elastic is not None:
        p = p + displacements(warp.elastic, p)
    moved = np.einsum("ij,j...->i...", np.array(warp.matrix), p)
    return moved + np.array(warp.middle).reshape(-1, *(1,) * ndim)


def displacements(elastic, p):
    grid = np.array(elastic.nodes.shape[1:])
    steps = np.array(elastic.spacing)
    shape = (-1, *(1,) * len(grid))
    at = p / steps.reshape(shape) + ((grid - 1) / 2).reshape(shape)
    return np.array(
        [map_coordinates(part, at, order=3, mode="mirror") for part in elastic.nodes]
    )


def some_warp(rng, patch_shape, *, elastic=True, middle=None):
    ndim = len(patch_shape)
    matrix = turn(33.0, (1.0,) * ndim) / 1.2
    nodes = rng.normal(0, 3, (ndim, *(3,) * ndim))
    return Warp(
        patch_shape,
        middle or tuple(rng.uniform(10, 14, ndim)),
        tuples(matrix),
        Elastic(nodes, tuple(rng.uniform(9, 14, ndim))) if elastic else None,
    )


# Whole pixels are copied


@quick
@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=3),
    st.data(),
)
def test_a_plain_warp_is_a_crop_of_the_mirrored_image(patch_shape, data):
    rng = np.random.default_rng(0)
    shape = [data.draw(st.integers(2, 8)) for _ in patch_shape]
    first = [data.draw(st.integers(-9, 9)) for _ in patch_shape]
    image = rng.random((2, *shape), dtype=np.float32)
    middle = tuple(f + (n - 1) / 2 for f, n in zip(first, patch_shape, strict=True))
    padded = np.pad(image, [(0, 0)] + [(9, 17)] * len(shape), mode="reflect")
    window = [slice(f + 9, f + 9 + n) for f, n in zip(first, patch_shape, strict=True)]
    for how in ("cubic", "linear", "nearest"):
        patch = resample(image, Warp(tuple(patch_shape), middle, eye(len(shape))), how)
        np.testing.assert_array_equal(patch, padded[(slice(None), *window)])


@pytest.mark.parametrize("signs", list(product((1.0, -1.0), repeat=3)))
def test_flips_are_numpys(rng, signs):
    image = rng.random((1, 4, 5, 6), dtype=np.float32)
    matrix = tuples(np.diag(signs))
    patch = resample(image, Warp((4, 5, 6), (1.5, 2.0, 2.5), matrix), "cubic")
    axes = [1 + axis for axis, sign in enumerate(signs) if sign < 0]
    np.testing.assert_array_equal(patch, np.flip(image, axes))


@pytest.mark.parametrize("quarters", [-3, -2, -1, 0, 1, 2, 3])
def test_quarter_turns_are_numpys(rng, quarters):
    image = rng.random((2, 6, 6), dtype=np.float32)
    matrix = tuples(turn(90.0 * quarters, (1.0, 1.0)))
    warp = Warp((6, 6), (2.5, 2.5), matrix)
    assert warp.steps is not None
    expected = np.rot90(image, quarters, axes=(1, 2))
    np.testing.assert_array_equal(resample(image, warp, "linear"), expected)


def test_a_quarter_turn_of_planes_that_are_not_square(rng):
    image = rng.random((1, 3, 5, 7), dtype=np.float32)
    warp = Warp((3, 7, 5), (1.0, 2.0, 3.0), tuples(turn(90.0, (1.0, 1.0, 1.0))))
    expected = np.rot90(image, 1, axes=(2, 3))
    np.testing.assert_array_equal(resample(image, warp, "nearest"), expected)


def test_a_copy_is_independent_of_the_image():
    image = np.zeros((1, 8, 8), np.float32)
    patch = resample(image, Warp((4, 4), (3.5, 3.5), eye(2)), "cubic")
    patch += 1
    assert image.max() == 0


@pytest.mark.parametrize("middle", [(3.5, 3.5), (3.6, 3.5)])
def test_images_become_float32_and_labels_keep_their_type(rng, middle):
    warp = Warp((4, 4), middle, eye(2))
    half = rng.random((1, 8, 8)).astype(np.float16)
    assert resample(half, warp, "cubic").dtype == np.float32
    assert resample(half.astype(float), warp, "linear").dtype == np.float32
    ids = rng.integers(0, 9, (1, 8, 8))
    for dtype in (np.uint8, np.int32):
        assert resample(ids.astype(dtype), warp, "nearest").dtype == dtype


def test_half_a_pixel_is_interpolated():
    image = np.array([[[0, 1, 2, 3, 4, 5]] * 3], np.float32)
    warp = Warp((1, 3), (1.0, 2.5), eye(2))
    assert warp.steps is None
    patch = resample(image, warp, "linear")
    np.testing.assert_array_equal(patch, [[[1.5, 2.5, 3.5]]])


# Between pixels


@pytest.mark.parametrize("shape", [(30, 26), (24, 20, 28)])
@pytest.mark.parametrize("elastic", [False, True])
def test_places_follow_the_definition(rng, shape, elastic):
    warp = some_warp(rng, shape, elastic=elastic)
    ndim = len(shape)
    found = warp.offsets[-ndim:].reshape(ndim, *shape)
    found = found + np.array(warp.middle).reshape(-1, *(1,) * ndim)
    np.testing.assert_allclose(found, places(warp), atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 26), (12, 20, 18)])
def test_linear_and_nearest_are_scipys(rng, shape):
    ndim = len(shape)
    image = rng.random((2, *(25,) * ndim), dtype=np.float32)
    warp = some_warp(rng, shape)
    at = places(warp)
    found = resample(image, warp, "linear")
    for channel, patch in zip(image, found, strict=True):
        expected = map_coordinates(channel, at, order=1, mode="mirror")
        np.testing.assert_allclose(patch, expected, atol=1e-4)
    ids = rng.integers(-1, 90, (1, *image.shape[1:])).astype(np.int32)
    nearest = resample(ids, warp, "nearest")
    assert nearest.dtype == np.int32
    far_from_ties = (np.abs(at % 1 - 0.5) > 1e-3).all(axis=0)
    expected = map_coordinates(ids[0], at, order=0, mode="mirror")
    np.testing.assert_array_equal(nearest[0][far_from_ties], expected[far_from_ties])


def keys(distance):
    """Keys 1981, eq. 15: the cubic kernel with a = -1/2."""
    s = abs(distance)
    if s <= 1:
        return 1.5 * s**3 - 2.5 * s**2 + 1
    return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0


@pytest.mark.parametrize("shape", [(7, 6), (3, 5, 4)])
def test_cubic_is_the_literal_sum(rng, shape):
    ndim = len(shape)
    margin = 12
    image = rng.random((1, *(12,) * ndim), dtype=np.float32)
    padded = np.pad(image[0].astype(float), margin, mode="reflect")
    warp = some_warp(rng, shape, middle=(5.0, 1.0, 4.0)[:ndim])
    found = resample(image, warp, "cubic")[0]
    at = places(warp)
    for index in np.ndindex(shape):
        place = at[(slice(None), *index)]
        base = np.floor(place).astype(int)
        expected = sum(
            math.prod(keys(p - q) for p, q in zip(place, base + step, strict=True))
            * padded[tuple(base + step + margin)]
            for step in product((-1, 0, 1, 2), repeat=ndim)
        )
        assert found[index] == pytest.approx(expected, abs=2e-4)


def test_cubic_reproduces_a_quadratic():
    y, x = np.indices((40, 40)).astype(np.float32) / 10
    image = (1 + y - 2 * x + 0.5 * x * y + 0.3 * x**2 - 0.2 * y**2)[None]
    warp = Warp((10, 10), (20.3, 18.7), tuples(turn(20.0, (1.0, 1.0))))
    y, x = places(warp) / 10
    expected = 1 + y - 2 * x + 0.5 * x * y + 0.3 * x**2 - 0.2 * y**2
    np.testing.assert_allclose(resample(image, warp, "cubic")[0], expected, atol=1e-4)


@pytest.mark.parametrize("how", ["cubic", "linear"])
def test_planes_that_are_kept_are_not_mixed(rng, how):
    image = rng.random((1, 7, 20, 20), dtype=np.float32)
    nodes = rng.normal(0, 2, (3, 3, 3, 3))
    nodes[0] = 0
    matrix = tuples(turn(25.0, (1.0, 1.0, 1.0)))
    warp = Warp((5, 8, 8), (3.0, 9.3, 9.8), matrix, Elastic(nodes, (4.0, 6.0, 6.0)))
    assert warp.keeps_planes
    tilted = Warp(warp.patch_shape, (3.0 + 1e-9, 9.3, 9.8), matrix, warp.elastic)
    assert not tilted.keeps_planes
    found = resample(image, warp, how)
    np.testing.assert_allclose(found, resample(image, tilted, how), atol=1e-5)
    other = image.copy()
    other[:, 3] = 0
    differs = (resample(other, warp, how) != found).any(axis=(0, 2, 3))
    np.testing.assert_array_equal(differs, [False, False, True, False, False])


def test_only_the_region_that_is_needed_is_read(rng):
    image = np.full((1, 200, 200), np.nan, np.float32)
    warp = some_warp(rng, (20, 20), middle=(100.0, 100.0))
    window = tuple(slice(*span) for span in warp.spans)
    image[(slice(None), *window)] = 1
    assert all(span[1] - span[0] < 60 for span in warp.spans)
    np.testing.assert_allclose(resample(image, warp, "cubic"), 1, rtol=1e-6)


def test_far_beyond_a_tiny_image_the_mirror_goes_on(rng):
    image = rng.random((1, 3, 2), dtype=np.float32)
    warp = some_warp(rng, (40, 40), middle=(60.0, -70.0))
    expected = map_coordinates(image[0], places(warp), order=1, mode="mirror")
    found = resample(image, warp, "linear")[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_one_warp_is_the_affine_and_then_the_elastic(rng):
    image = gaussian_filter(rng.random((1, 160, 160), dtype=np.float32), (0, 4, 4))
    image /= image.std()
    whole = some_warp(rng, (40, 40), middle=(80.0, 80.0))
    affine = Warp((80, 80), (80.0, 80.0), whole.matrix)
    elastic = Warp((40, 40), (39.5, 39.5), eye(2), whole.elastic)
    in_turn = resample(resample(image, affine, "cubic"), elastic, "cubic")
    at_once = resample(image, whole, "cubic")
    assert np.abs(in_turn - at_once).max() < 0.01
    assert np.abs(at_once - resample(image, affine, "cubic")[:, 20:60, 20:60]).max() > 1


# Elastic


def bspline(t):
    """The cubic B-spline by its recursion (Cox and de Boor), centred on 0."""

    def basis(k, u):
        if k == 0:
            return 1.0 if 0 <= u < 1 else 0.0
        return (u * basis(k - 1, u) + (k + 1 - u) * basis(k - 1, u - 1)) / k

    return basis(3, t + 2)


def test_displacements_are_the_literal_sum_of_b_splines(rng):
    elastic = Elastic(rng.normal(0, 10, (2, 3, 5)), (16.0, 7.0))
    warp = Warp((33, 29), (0.0, 0.0), eye(2), elastic)
    p = np.indices((33, 29)) - np.array([16, 14]).reshape(2, 1, 1)
    moved = warp.offsets[1:].reshape(2, 33, 29) - p
    coefficients = elastic.coefficients((0, 0))
    for y, x in product(range(0, 33, 4), range(0, 29, 4)):
        expected = sum(
            bspline(p[0, y, x] / 16 + 1 - (i - 1))
            * bspline(p[1, y, x] / 7 + 2 - (j - 1))
            * coefficients[:, i, j]
            for i, j in np.ndindex(coefficients.shape[1:])
        )
        np.testing.assert_allclose(moved[:, y, x], expected, atol=1e-4)


def test_displacements_pass_through_the_nodes(rng):
    nodes = rng.normal(0, 10, (3, 3, 3, 3))
    warp = Warp((9, 17, 33), (0.0, 0.0, 0.0), eye(3), Elastic(nodes, (4.0, 8.0, 16.0)))
    p = np.indices((9, 17, 33)) - np.array([4, 8, 16]).reshape(3, 1, 1, 1)
    moved = warp.offsets.reshape(3, 9, 17, 33) - p
    np.testing.assert_allclose(moved[:, ::4, ::8, ::16], nodes, atol=1e-4)


def test_elastic_compares_and_prints_its_values():
    nodes = np.zeros((2, 3, 3))
    nodes[:, 1, 1] = (3, 4)
    same = Elastic(nodes, (128.0, 128.0))
    assert same == Elastic(nodes.copy(), (128.0, 128.0))
    assert same != Elastic(nodes + 1, (128.0, 128.0))
    assert repr(same) == "Elastic(3 x 3 nodes, 128 x 128 px apart, up to 5.0 px)"
