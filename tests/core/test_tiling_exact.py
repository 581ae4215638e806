"""Exact tiling: small networks of integers, tile by tile and on the whole image.

Integers leave no room for rounding: every pixel must be the same. The networks are
padded, valid, partly padded, and of odd sizes only; none is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.mirror import read_mirrored
from napari_unet.core.tiling import AxisGeometry, make_grid


def size_of(span):
    return span[1] - span[0]


def reader_of(image):
    return lambda region: image[(slice(None), *region)]


def along(x, axis, part):
    return x[(*(slice(None),) * axis, part)]


def convolve(x, *, padded):
    """A 3-tap convolution along each axis, without symmetry; zero padding or valid."""
    for axis in range(1, x.ndim):
        if padded:
            x = np.pad(x, [(0, 0)] * axis + [(1, 1)] + [(0, 0)] * (x.ndim - axis - 1))
        n = x.shape[axis]
        taps = [along(x, axis, slice(k, n - 2 + k)) for k in range(3)]
        x = 3 * taps[0] + taps[1] + 2 * taps[2]
    return x


def pool(x, factor, reduce):
    for axis in range(1, x.ndim):
        assert x.shape[axis] % factor == 0
        cut = (*x.shape[:axis], -1, factor, *x.shape[axis + 1 :])
        x = reduce(x.reshape(cut), axis=axis + 1)
    return x


def grow(x, factor):
    for axis in range(1, x.ndim):
        x = x.repeat(factor, axis=axis)
    return x


def like(x, small):
    """Crop `x` centrally to the size of `small`."""
    cut = [(a - b) // 2 for a, b in zip(x.shape[1:], small.shape[1:], strict=True)]
    parts = [slice(c, x.shape[i + 1] - c) for i, c in enumerate(cut)]
    return x[(slice(None), *parts)]


def padded_unet(x, reduce=np.max):
    skip = convolve(x, padded=True)
    deep = convolve(pool(skip, 2, reduce), padded=True)
    return convolve(grow(deep, 2) + skip, padded=True)


def valid_unet(x, reduce=np.max):
    return unpadded(convolve(x, padded=False), reduce)


def mixed_unet(x, reduce=np.max):
    """Its first convolution is padded, the others are valid."""
    return unpadded(convolve(x, padded=True), reduce)


def unpadded(top, reduce):
    middle = convolve(pool(top, 2, reduce), padded=False)
    up = grow(convolve(pool(middle, 2, reduce), padded=False), 2)
    up = convolve(up + like(middle, up), padded=False)
    up = grow(up, 2)
    return convolve(up + like(top, up), padded=False)


def strided(x, reduce=np.max):
    """Stride 2 with padding 1, and back by inserting zeros: takes odd sizes only."""
    del reduce
    assert all(n % 2 for n in x.shape[1:])
    every = tuple(slice(None, None, 2) for _ in x.shape[1:])
    deep = convolve(convolve(x, padded=True)[(slice(None), *every)], padded=True)
    wide = np.zeros_like(x)
    wide[(slice(None), *every)] = deep
    return convolve(convolve(wide, padded=True), padded=True)


@dataclass(frozen=True)
class Toy:
    network: object
    divisor: int
    crop: int
    smallest: int

    def geometry(self):
        """Halo from impulses: how far outputs depend beyond their block."""
        size = self.smallest + 24 * self.divisor
        blank = np.zeros((1, size), np.int64)
        left = right = 0
        for q in range(size // 2, size // 2 + 2 * self.divisor):
            x = blank.copy()
            x[0, q] = 1
            hit = np.flatnonzero(self.network(x, np.sum)) // self.divisor
            at = q - self.crop
            left = max(left, hit.max() * self.divisor - at)
            right = max(right, at - (hit.min() + 1) * self.divisor + 1)
        if self.network is valid_unet:
            left = right = self.crop
        crop = self.crop, self.crop
        return AxisGeometry(self.divisor, (int(left), int(right)), crop, self.smallest)


TOYS = {
    "padded": Toy(padded_unet, 2, 0, 2),
    "valid": Toy(valid_unet, 4, 10, 22),
    "mixed": Toy(mixed_unet, 4, 9, 20),
    "odd": Toy(strided, 2, 0, 1),
}


def test_the_toys_are_what_they_say():
    for toy in TOYS.values():
        for n in (toy.smallest, toy.smallest + 7 * toy.divisor):
            x = np.ones((1, n), np.int64)
            assert toy.network(x).shape == (1, n - 2 * toy.crop)
    assert TOYS["padded"].geometry().halo == (5, 5)
    mixed = TOYS["mixed"].geometry()
    assert mixed.halo[0] > mixed.crop[0]


def run_tiled(network, image, grid):
    """Run `network` on every tile; return what was written and how often."""
    out = np.zeros(image.shape, image.dtype)
    count = np.zeros(image.shape[1:], int)
    for tile in grid.tiles:
        pixels = read_mirrored(reader_of(image), tile.read, grid.shape)
        assert pixels.shape[1:] == tuple(size_of(span) for span in tile.read)
        result = network(pixels)[(slice(None), *tile.crop)]
        assert result.shape[1:] == tile.shape
        out[(slice(None), *tile.write)] = result
        count[tile.write] += 1
    return out, count


def reference(network, image, grid):
    """The network on the whole canvas, cut to the image."""
    whole = network(read_mirrored(reader_of(image), grid.canvas, grid.shape))
    cuts = []
    for span, n_out, n in zip(grid.canvas, whole.shape[1:], grid.shape, strict=True):
        first = -span[0] - (size_of(span) - n_out) // 2
        cuts.append(slice(first, first + n))
    return whole[(slice(None), *cuts)]


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(TOYS)),
    shape=st.one_of(
        st.tuples(st.integers(1, 150)),
        st.tuples(st.integers(1, 50), st.integers(1, 50)),
    ),
    tile=st.integers(1, 60),
    border=st.sampled_from(["network", "mirror"]),
    random_seed=st.integers(0, 99),
)
def test_tiled_is_the_network_on_the_whole_image(
    name, shape, tile, border, random_seed
):
    toy = TOYS[name]
    geometry = (toy.geometry(),) * len(shape)
    grid = make_grid(shape, (tile,) * len(shape), geometry, border=border)
    image = np.random.default_rng(random_seed).integers(0, 10, (1, *shape))
    out, count = run_tiled(toy.network, image, grid)
    assert np.array_equal(out, reference(toy.network, image, grid))
    assert (count == 1).all()


@pytest.mark.parametrize(
    ("name", "side", "n_blocks"),
    [
        ("padded", 0, 1),
        ("padded", 1, 1),
        ("mixed", 0, 1),
        ("mixed", 1, 2),
        ("odd", 0, 2),
        ("odd", 1, 2),
    ],
)
def test_with_less_context_the_seams_show(name, side, n_blocks):
    toy = TOYS[name]
    full = toy.geometry()
    halo = list(full.halo)
    halo[side] -= n_blocks * toy.divisor
    axis = AxisGeometry(full.divisor, tuple(halo), full.crop, full.smallest)
    grid = make_grid((120,), (8,), (axis,))
    image = np.random.default_rng(0).integers(0, 10, (1, 120))
    out, _ = run_tiled(toy.network, image, grid)
    assert not np.array_equal(out, reference(toy.network, image, grid))
