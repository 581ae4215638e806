"""Tiling: the geometry of the tiles, by counting, and their choice."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_unet.core.mirror import read_mirrored
from napari_unet.core.tiling import (
    AxisGeometry,
    canvas_span,
    choose_tile,
    make_grid,
    round_up,
    split_axis,
    uniform_tile,
)
from napari_unet.errors import SettingsError

quick = settings(deadline=None, max_examples=150)

TRANSPOSED = AxisGeometry(16, (94, 94), (0, 0), 16)
BILINEAR = AxisGeometry(16, (94, 110), (0, 0), 16)
VALID = AxisGeometry(16, (92, 92), (92, 92), 188)
GEOMETRIES = [
    TRANSPOSED,
    BILINEAR,
    VALID,
    AxisGeometry(1, (0, 0), (0, 0), 1),
    AxisGeometry(1, (3, 2), (0, 0), 1),
    AxisGeometry(2, (5, 5), (0, 0), 2),
    AxisGeometry(2, (3, 4), (0, 0), 1),
    AxisGeometry(12, (20, 31), (0, 0), 12),
    AxisGeometry(16, (30, 30), (0, 0), 32),
    AxisGeometry(1, (2, 3), (2, 3), 6),
    AxisGeometry(4, (10, 10), (10, 10), 22),
    AxisGeometry(4, (10, 12), (9, 9), 20),
]
borders = st.sampled_from(["network", "mirror"])


def size_of(span):
    return span[1] - span[0]


def takes(axis, size):
    return size >= axis.smallest and (size - axis.smallest) % axis.divisor == 0


def reader_of(image):
    return lambda region: image[(slice(None), *region)]


# -- one axis ----------------------------------------------------------------------


@quick
@given(
    n=st.integers(1, 700),
    tile=st.integers(1, 800),
    axis=st.sampled_from(GEOMETRIES),
    border=borders,
)
@example(n=1, tile=1, axis=VALID, border="mirror")
@example(n=33, tile=16, axis=GEOMETRIES[8], border="mirror")
def test_one_axis(n, tile, axis, border):
    pieces = split_axis(n, tile, axis, border)
    low, high = canvas = canvas_span(n, axis, border)
    check_writes([piece.write for piece in pieces], n)
    for piece in pieces:
        check_piece(piece, axis, canvas)
        # An earlier tile keeps all it has: the later ones own what is left.
        rest = n if piece.read[1] == high else piece.read[1] - axis.context[1]
        assert piece.write[1] == rest
    inside = [p for p in pieces if p.read[0] > low and p.read[1] < high]
    assert len({size_of(p.read) for p in inside}) <= 1
    most = axis.output_size(round_up(tile, axis.divisor))
    assert all(size_of(p.write) <= most for p in pieces[:-1])


def check_writes(writes, n):
    """Without gap or overlap from 0 to n."""
    assert writes[0][0] == 0
    assert writes[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(writes))
    assert all(size_of(span) > 0 for span in writes)


def check_piece(piece, axis, canvas):
    low, high = canvas
    start, stop = piece.read
    # What is read exists on the canvas, and the network takes it.
    assert low <= start < stop <= high
    assert takes(axis, size_of(piece.read))
    # The output begins on the grid; the crop lies in it, where the write says.
    first = start + axis.crop[0]
    assert first % axis.divisor == 0
    assert piece.crop[0] >= 0
    assert piece.crop[1] <= size_of(piece.read) - sum(axis.crop)
    assert (first + piece.crop[0], first + piece.crop[1]) == piece.write
    # There is the context of the whole blocks written, or the canvas ends.
    begin, end = piece.write
    if axis.halo != axis.crop:
        end = round_up(end, axis.divisor)
    assert start == low or begin // axis.divisor * axis.divisor - start >= axis.halo[0]
    assert stop == high or stop - end >= axis.halo[1]


@quick
@given(n=st.integers(1, 700), axis=st.sampled_from(GEOMETRIES), border=borders)
def test_canvas_is_the_smallest_that_the_network_takes(n, axis, border):
    low, high = canvas_span(n, axis, border)
    left, right = axis.margin(border)
    assert low == -left
    assert takes(axis, high - low)
    assert high >= n + right
    assert not takes(axis, high - low - axis.divisor) or (
        high - axis.divisor < n + right
    )
    if axis.padded and border == "network":
        assert (low, high) == (0, axis.input_size(n))
    if border == "mirror":
        assert left >= axis.halo[0]
        assert right >= axis.halo[1]


def test_a_tile_as_large_as_the_image_is_the_reference():
    for axis, border, n in itertools.product(
        GEOMETRIES, ["network", "mirror"], [1, 15, 16, 17, 100, 333]
    ):
        (piece,) = split_axis(n, n, axis, border)
        assert piece.read == canvas_span(n, axis, border)
        assert piece.write == (0, n)


def test_the_last_tile_shifts_inward_and_the_earlier_owns_what_they_share():
    axis = AxisGeometry(16, (5, 5), (0, 0), 16)
    one, two, three = split_axis(120, 48, axis, "network")
    assert (one.write, two.write, three.write) == ((0, 48), (48, 96), (96, 120))
    # The canvas ends at 128: the last tile begins at 80, not at 96.
    assert three.read == (80 - 16, 128)
    assert three.crop == (32, 56)


def test_a_tile_that_reads_to_the_end_writes_to_the_end():
    one, two = split_axis(2100, 1024, TRANSPOSED, "network")
    assert (one.read, one.write) == ((0, 1120), (0, 1024))
    assert (two.read, two.write) == ((928, 2112), (1024, 2100))


def test_published_sizes():
    assert TRANSPOSED.context == (96, 96)
    assert BILINEAR.context == (96, 112)
    assert VALID.context == (92, 92)
    assert VALID.input_size(388) == 572
    assert VALID.output_size(388) == 388
    assert canvas_span(512, VALID, "network") == (-92, 608)
    assert canvas_span(1000, TRANSPOSED, "network") == (0, 1008)
    assert canvas_span(1000, TRANSPOSED, "mirror") == (-96, 1104)


def test_a_tile_larger_than_the_image_is_recorded_as_large_as_the_image():
    grid = make_grid((100, 700), (1024, 1024), (TRANSPOSED, TRANSPOSED))
    assert grid.tile == (112, 704)
    assert make_grid((100,), (33,), (TRANSPOSED,)).tile == (48,)


def test_a_smallest_input_above_the_divisor_wastes_no_tiles():
    axis = AxisGeometry(16, (0, 0), (0, 0), 64)
    pieces = split_axis(640, 16, axis, "network")
    assert [p.write for p in pieces] == [(i, i + 64) for i in range(0, 640, 64)]


# -- identity networks --------------------------------------------------------------


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


@st.composite
def cut_images(draw):
    ndim = draw(st.integers(1, 3))
    most = {1: 900, 2: 130, 3: 24}[ndim]
    choice = [axis for axis in GEOMETRIES if ndim < 3 or axis.smallest < 100]
    geometry = tuple(draw(st.sampled_from(choice)) for _ in range(ndim))
    shape = tuple(draw(st.integers(1, most)) for _ in range(ndim))
    tile = tuple(draw(st.integers(1, 2 * most)) for _ in range(ndim))
    return shape, tile, geometry, draw(borders)


@settings(deadline=None, max_examples=80)
@given(cut_images())
def test_the_identity_gives_the_image_back(cut):
    shape, tile, geometry, border = cut
    image = np.arange(math.prod(shape)).reshape(1, *shape) + 1
    cropped = tuple(
        slice(a.crop[0], None if not a.crop[1] else -a.crop[1]) for a in geometry
    )
    grid = make_grid(shape, tile, geometry, border=border)
    out, count = run_tiled(lambda x: x[(slice(None), *cropped)], image, grid)
    assert np.array_equal(out, image)
    assert (count == 1).all()
    assert [t.index for t in grid.tiles] == list(range(len(grid.tiles)))
    assert grid.shape == shape
    assert grid.canvas == tuple(
        canvas_span(n, a, border) for n, a in zip(shape, geometry, strict=True)
    )


@quick
@given(cut_images())
def test_the_recorded_tile_gives_the_same_grid(cut):
    shape, tile, geometry, border = cut
    grid = make_grid(shape, tile, geometry, border=border)
    assert make_grid(shape, grid.tile, geometry, border=border) == grid
    assert all(t % a.divisor == 0 for t, a in zip(grid.tile, geometry, strict=True))


# -- choosing a tile -----------------------------------------------------------------


def largest_read(shape, tile, geometry, border="network"):
    axes = zip(shape, tile, geometry, strict=True)
    cuts = [split_axis(n, size, axis, border) for n, size, axis in axes]
    return math.prod(max(size_of(piece.read) for piece in cut) for cut in cuts)


@settings(deadline=None, max_examples=100)
@given(
    shape=st.lists(st.integers(1, 900), min_size=1, max_size=2),
    data=st.data(),
    border=borders,
    budget=st.integers(1, 10**6),
)
def test_a_chosen_tile_fits_the_budget(shape, data, border, budget):
    shape = tuple(shape)
    geometry = tuple(data.draw(st.sampled_from(GEOMETRIES)) for _ in shape)
    given_ = {"bytes_per_pixel": 4, "memory_budget": 4 * budget, "border": border}
    try:
        tile = choose_tile(shape, geometry, **given_)
    except SettingsError:
        # A larger tile may read less, where the smallest size has a fill to read.
        assert largest_read(shape, (1,) * len(shape), geometry, border) > budget
        return
    assert largest_read(shape, tile, geometry, border) <= budget
    assert choose_tile(shape, geometry, **given_) == tile
    assert all(t % a.divisor == 0 for t, a in zip(tile, geometry, strict=True))


@settings(deadline=None, max_examples=100)
@given(
    n=st.integers(1, 900), axis=st.sampled_from(GEOMETRIES), budget=st.integers(1, 1000)
)
def test_along_one_axis_no_larger_even_tile_would_fit(n, axis, budget):
    evens = {round_up(-(-n // parts), axis.divisor) for parts in range(1, n + 1)}
    fitting = [t for t in evens if largest_read((n,), (t,), (axis,)) <= budget]
    if fitting:
        tile = choose_tile((n,), (axis,), bytes_per_pixel=1, memory_budget=budget)
        assert tile == (max(fitting),)


def test_an_image_that_fits_is_one_tile():
    tile = choose_tile(
        (1000, 700), (TRANSPOSED,) * 2, bytes_per_pixel=600, memory_budget=2**31
    )
    assert tile == (1008, 704)
    assert len(make_grid((1000, 700), tile, (TRANSPOSED,) * 2).tiles) == 1


def test_the_longest_axis_is_halved_first():
    given_ = {"bytes_per_pixel": 1, "memory_budget": 1120 * 2048}
    tile = choose_tile((2048, 2048), (TRANSPOSED,) * 2, **given_)
    assert tile == (1024, 2048)
    tile = choose_tile(
        (30, 4096, 2048),
        (TRANSPOSED,) * 3,
        **given_ | {"memory_budget": 32 * 2200 * 2200},
    )
    assert tile == (32, 2048, 2048)


def test_an_axis_that_is_all_halo_is_not_cut():
    """Cutting 200 planes with a halo of 96 would read as many, twice."""
    tile = choose_tile(
        (200, 1000, 1000),
        (TRANSPOSED,) * 3,
        bytes_per_pixel=1,
        memory_budget=208 * 300 * 300,
    )
    assert tile[0] == 208


def test_overhead():
    grid = make_grid((2048, 2048), (512, 512), (TRANSPOSED,) * 2)
    ideal = (2 * (512 + 96) + 2 * (512 + 192)) / 2048
    assert grid.overhead == pytest.approx(ideal**2)
    assert make_grid((2048,), (2048,), (TRANSPOSED,)).overhead == 1


def test_uniform_tile():
    assert uniform_tile((256,), 3) == (256, 256, 256)
    assert uniform_tile((1, 2, 3), 3) == (1, 2, 3)
    with pytest.raises(SettingsError, match="2 entries, but the model is 3-D"):
        uniform_tile((1, 2), 3)


# -- drawing -------------------------------------------------------------------------


def test_a_tile_draws_itself():
    grid = make_grid((64, 64), (16, 16), (AxisGeometry(8, (6, 6), (0, 0), 8),) * 2)
    text = repr(grid.tiles[5])
    assert text.splitlines() == [
        "Tile 5",
        "       8 |" + "-" * 8 + "=" * 16 + "-" * 8 + "| 40   writes 16:32",
        "       8 |" + "-" * 8 + "=" * 16 + "-" * 8 + "| 40   writes 16:32",
    ]


@quick
@given(cut_images())
def test_drawings_are_short(cut):
    shape, tile, geometry, border = cut
    for drawn in make_grid(shape, tile, geometry, border=border).tiles[:5]:
        lines = repr(drawn).splitlines()
        assert len(lines) == 1 + len(shape)
        assert all("=" in line and len(line) < 150 for line in lines[1:])
