"""Stitching: blended tiles against a weighted mean written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.stitching import LEAST_WEIGHT, Blender, gaussian_window
from napari_unet.core.tiling import AxisGeometry, make_grid

quick = settings(deadline=None, max_examples=60)

PADDED = AxisGeometry(4, (5, 6), (0, 0), 4)
VALID = AxisGeometry(4, (6, 6), (6, 6), 16)
EXACT = AxisGeometry(4, (0, 0), (0, 0), 4)


def output_shape(tile, geometry):
    spans = zip(tile.read, geometry, strict=True)
    return tuple(stop - start - sum(a.crop) for (start, stop), a in spans)


def blended(grid, geometry, outputs, dtype=np.uint16):
    """Add every tile's output and store the mean."""
    n_channels = len(outputs[0])
    blender = Blender(n_channels, grid, geometry)
    for tile, output in zip(grid.tiles, outputs, strict=True):
        blender.add(tile, output)
    out = np.zeros((n_channels, *grid.shape), dtype)
    blender.store(out)
    return out


def literal(grid, geometry, outputs):
    """The weighted mean, in double precision, tile pixel by tile pixel."""
    total = np.zeros((len(outputs[0]), *grid.shape))
    weight = np.zeros(grid.shape)
    for tile, output in zip(grid.tiles, outputs, strict=True):
        first = [s + a.crop[0] for (s, _), a in zip(tile.read, geometry, strict=True)]
        window = gaussian_window(output.shape[1:]).astype(np.float64)
        for at in np.ndindex(*output.shape[1:]):
            where = tuple(f + i for f, i in zip(first, at, strict=True))
            if all(0 <= w < n for w, n in zip(where, grid.shape, strict=True)):
                total[(slice(None), *where)] += output[(slice(None), *at)] * window[at]
                weight[where] += window[at]
    assert (weight > 0).all()
    return total / weight


@st.composite
def grids(draw, *, most=40):
    ndim = draw(st.integers(1, 2))
    geometry = (draw(st.sampled_from([PADDED, VALID, EXACT])),) * ndim
    shape = tuple(draw(st.integers(1, most)) for _ in range(ndim))
    tile = tuple(draw(st.integers(1, 24)) for _ in range(ndim))
    border = draw(st.sampled_from(["network", "mirror"]))
    return make_grid(shape, tile, geometry, border=border), geometry


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (96, 64), (1, 300), (9, 16, 33)])
def test_weights_are_positive_and_largest_in_the_middle(shape):
    window = gaussian_window(shape)
    assert window.dtype == np.float32
    assert window.shape == shape
    assert window.min() >= np.float32(LEAST_WEIGHT)
    assert window.max() <= 1
    middle = tuple(n // 2 for n in shape)
    assert window[middle] == window.max()
    for axis in range(window.ndim):
        np.testing.assert_array_equal(window, np.flip(window, axis))


def test_the_window_is_a_gaussian():
    window = gaussian_window((65, 129))
    y, x = np.mgrid[:65, :129]
    exponent = ((y - 32) / (65 / 8)) ** 2 + ((x - 64) / (129 / 8)) ** 2
    expected = np.maximum(np.exp(-exponent / 2), LEAST_WEIGHT)
    np.testing.assert_allclose(window, expected, rtol=1e-6)


@quick
@given(grids(), st.integers(0, 255))
def test_a_constant_network_stays_constant(case, value):
    grid, geometry = case
    outputs = [
        np.full((2, *output_shape(tile, geometry)), value / 255, np.float32)
        for tile in grid.tiles
    ]
    assert (blended(grid, geometry, outputs, np.uint8) == value).all()
    assert (blended(grid, geometry, outputs) == value * 257).all()


@settings(deadline=None, max_examples=25)
@given(grids(most=25), st.integers(0, 99))
def test_blending_is_the_weighted_mean(case, random_seed):
    grid, geometry = case
    rng = np.random.default_rng(random_seed)
    outputs = [
        rng.random((2, *output_shape(tile, geometry)), np.float32)
        for tile in grid.tiles
    ]
    found = blended(grid, geometry, outputs) / 65535
    assert np.abs(found - literal(grid, geometry, outputs)).max() <= 1e-5


@quick
@given(grids())
def test_a_network_of_positions_comes_out_in_place(case):
    """Each output pixel says where it belongs; blending equals keeps it."""
    grid, geometry = case
    outputs = []
    for tile in grid.tiles:
        first = [s + a.crop[0] for (s, _), a in zip(tile.read, geometry, strict=True)]
        at = np.indices(output_shape(tile, geometry), np.float32)
        shift = np.reshape(first, (-1,) + (1,) * len(grid.shape))
        outputs.append(((at + shift) / 255).clip(0, 1).astype(np.float32))
    found = blended(grid, geometry, outputs, np.uint8)
    assert np.array_equal(found, np.indices(grid.shape))


def test_the_same_order_gives_the_same_bits():
    geometry = (PADDED,) * 2
    grid = make_grid((50, 60), (16, 16), geometry)
    rng = np.random.default_rng(0)
    outputs = [
        rng.random((1, *output_shape(tile, geometry)), np.float32)
        for tile in grid.tiles
    ]
    totals = []
    for _ in range(2):
        blender = Blender(1, grid, geometry)
        for tile, output in zip(grid.tiles, outputs, strict=True):
            blender.add(tile, output)
        totals.append((blender.total.tobytes(), blender.weight.tobytes()))
    assert totals[0] == totals[1]


def test_tall_images_are_stored_in_parts():
    geometry = (PADDED,) * 2
    grid = make_grid((9000, 600), (9000, 600), geometry)
    shape = output_shape(grid.tiles[0], geometry)
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)
    output = np.broadcast_to(rows[:, None], (1, *shape))
    found = blended(grid, geometry, [output])
    expected = np.rint(rows[:9000] * 65535)
    assert np.abs(found[0].astype(float) - expected[:, None]).max() <= 1


def test_the_outputs_are_left_alone():
    grid = make_grid((8,), (4,), (EXACT,))
    output = np.ones((1, 4), np.float32)
    Blender(1, grid, (EXACT,)).add(grid.tiles[0], output)
    assert (output == 1).all()
