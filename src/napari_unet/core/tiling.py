"""Tiling: one global grid of tiles whose context makes their seams disappear.

Along one axis, with halo h, in image coordinates::

    canvas   |m m|. . . . . . . . . . . . . . . .|m m|   m: mirrored pixels
    read             |h h|= = = = = =|h h|               what the network sees
    write                |= = = = = =|                   what is kept of its output
                         ^ origin: a multiple of the divisor

The canvas is the image extended to a size that the network takes. A tile that reaches
the end of the canvas ends there: a padded network then pads with zeros just where it
does for the whole image. All tiles have one size; the last one is shifted inward by
multiples of the divisor, and the earlier tile owns the pixels they share.

Geometry only: nothing here touches pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from napari_unet.errors import SettingsError

Span = tuple[int, int]


@dataclass(frozen=True)
class AxisGeometry:
    """What one axis of a network asks of a tile.

    Parameters
    ----------
    divisor
        Strides multiply to this; tile origins are multiples of it.
    halo
        Context in pixels (left, right) on which outputs depend, beyond the blocks of
        `divisor` pixels that they lie in.
    crop
        Pixels (left, right) that valid convolutions cut off; (0, 0) when padded.
    smallest
        Smallest input size that the network takes; all others are this plus
        multiples of the divisor.
    """

    divisor: int
    halo: Span
    crop: Span
    smallest: int

    @property
    def padded(self) -> bool:
        """Whether the output is as large as the input."""
        return self.crop == (0, 0)

    def accepted_size(self, length: int) -> int:
        """Return the smallest input size that the network takes, from `length` on."""
        beyond = max(0, length - self.smallest)
        return self.smallest + round_up(beyond, self.divisor)

    def input_size(self, written: int) -> int:
        """Return the smallest input size whose output covers `written` pixels."""
        return self.accepted_size(written + sum(self.crop))

    def output_size(self, written: int) -> int:
        """Return the smallest output size that covers `written` pixels."""
        return self.input_size(written) - sum(self.crop)

    def margin(self, border: str) -> Span:
        """Return the mirrored margin (left, right) that the whole image gets."""
        return self.context if border == "mirror" else self.crop

    @property
    def aligned_halo(self) -> Span:
        """The halo beyond the crop, rounded up to the divisor; 0 for valid networks."""
        beyond = [side - cut for side, cut in zip(self.halo, self.crop, strict=True)]
        if not self.padded and max(beyond) <= 0:
            return 0, 0
        # An output may end within a block, from whose end the halo counts.
        rest = (sum(self.crop) - self.smallest) % self.divisor
        left, right = max(0, beyond[0]), max(0, beyond[1] + rest)
        return round_up(left, self.divisor), round_up(right, self.divisor)

    @property
    def context(self) -> Span:
        """Pixels (left, right) that a tile reads beyond what it writes."""
        left, right = self.aligned_halo
        return self.crop[0] + left, self.crop[1] + right


Geometry = tuple[AxisGeometry, ...]


@dataclass(frozen=True)
class AxisTile:
    """One tile along one axis: where it reads, what it keeps, where that lands."""

    read: Span
    crop: Span
    write: Span


@dataclass(frozen=True, repr=False)
class Tile:
    """A tile: three boxes.

    Parameters
    ----------
    index
        Position in the grid's order.
    read
        Spans in image coordinates; below 0 or beyond the image is mirrored.
    crop
        Slices into the network's output for `read`.
    write
        Slices into the image where that output lands; tiles' writes partition it.
    """

    index: int
    read: tuple[Span, ...]
    crop: tuple[slice, ...]
    write: tuple[slice, ...]

    @property
    def n_read(self) -> int:
        """Pixels read."""
        return math.prod(stop - start for start, stop in self.read)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape written."""
        return tuple(part.stop - part.start for part in self.write)

    def __repr__(self) -> str:
        """Draw each axis: - read, = written."""
        lines = [f"Tile {self.index}"]
        for (start, stop), write in zip(self.read, self.write, strict=True):
            unit = max(1, (stop - start) // 48)
            left, right = (write.start - start) // unit, (stop - write.stop) // unit
            middle = max(1, (write.stop - write.start) // unit)
            bar = "-" * left + "=" * middle + "-" * right
            lines.append(
                f"  {start:>6} |{bar}| {stop}   writes {write.start}:{write.stop}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Grid:
    """All tiles of one image shape, and the reference they must agree with.

    Parameters
    ----------
    shape
        Spatial shape of the image.
    tile
        Pixels per axis that a tile adds, a multiple of the divisor.
    canvas
        Spans of the whole image as the network would see it untiled.
    tiles
        In raster order of their origins.
    origin
        The image's pixel at which the array begins that tiles are written to; empty:
        its first.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    canvas: tuple[Span, ...]
    tiles: tuple[Tile, ...]
    origin: tuple[int, ...] = ()

    def target(self, tile: Tile) -> tuple[slice, ...]:
        """Return where a tile is written in that array."""
        origin = self.origin or (0,) * len(self.shape)
        pairs = zip(tile.write, origin, strict=True)
        return tuple(slice(part.start - at, part.stop - at) for part, at in pairs)

    @property
    def overhead(self) -> float:
        """Pixels that the tiles read, divided by those of the untiled canvas."""
        whole = math.prod(stop - start for start, stop in self.canvas)
        return sum(tile.n_read for tile in self.tiles) / whole


def round_up(value: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step


def canvas_span(n: int, axis: AxisGeometry, border: str) -> Span:
    """Return the span that the untiled reference sees along one axis.

    Parameters
    ----------
    n
        Image pixels along the axis.
    axis
        The network's geometry along it.
    border
        ``"network"`` or ``"mirror"``.
    """
    left, right = axis.margin(border)
    return -left, axis.accepted_size(left + n + right) - left


def split_axis(n: int, tile: int, axis: AxisGeometry, border: str) -> list[AxisTile]:
    """Cut one axis into tiles.

    Parameters
    ----------
    n
        Image pixels along the axis.
    tile
        Pixels that each tile adds; rounded up to the divisor.
    axis
        The network's geometry along it.
    border
        ``"network"`` or ``"mirror"``.
    """
    low, high = canvas_span(n, axis, border)
    left, right = axis.context
    whole = axis.output_size(n)
    size = min(whole, axis.output_size(round_up(tile, axis.divisor)))
    step = max(1, size // axis.divisor) * axis.divisor
    pieces, done = [], 0
    for start in [*range(0, whole - size, step), whole - size]:
        read = max(low, start - left), min(high, start + size + right)
        # Where the canvas ends no context is missing: such a tile keeps all the rest.
        stop = n if read[1] == high else start + size
        first = read[0] + axis.crop[0]
        pieces.append(AxisTile(read, (done - first, stop - first), (done, stop)))
        if stop == n:
            break
        done = stop
    return pieces


def make_grid(
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    geometry: Geometry,
    *,
    border: str = "network",
) -> Grid:
    """Cut an image of a spatial `shape` into tiles: `split_axis` for each axis."""
    axes = list(zip(shape, tile, geometry, strict=True))
    pieces = [split_axis(n, size, axis, border) for n, size, axis in axes]
    tiles = tuple(
        Tile(
            index,
            tuple(piece.read for piece in combination),
            tuple(slice(*piece.crop) for piece in combination),
            tuple(slice(*piece.write) for piece in combination),
        )
        for index, combination in enumerate(itertools.product(*pieces))
    )
    canvas = tuple(canvas_span(n, axis, border) for n, _, axis in axes)
    rounded = tuple(round_up(min(size, n), axis.divisor) for n, size, axis in axes)
    return Grid(tuple(shape), rounded, canvas, tiles)


def choose_tile(
    shape: tuple[int, ...],
    geometry: Geometry,
    *,
    bytes_per_pixel: float,
    memory_budget: int,
    border: str = "network",
) -> tuple[int, ...]:
    """Choose a tile that fits the budget: the longest axis is halved, thirded, ...

    A function of its arguments alone, so that the same image is cut alike everywhere.

    Parameters
    ----------
    shape
        Spatial shape of the image.
    geometry
        The network's geometry, per axis.
    bytes_per_pixel
        Bytes that the network needs for each pixel read.
    memory_budget
        Bytes.
    border
        ``"network"`` or ``"mirror"``.

    Raises
    ------
    SettingsError
        If even the smallest tile does not fit.
    """
    axes = zip(shape, geometry, strict=True)
    cuts = [_shrinking_cuts(n, axis, border) for n, axis in axes]
    chosen = [next(cut) for cut in cuts]
    divisible = list(range(len(shape)))
    while math.prod(read for _, read in chosen) * bytes_per_pixel > memory_budget:
        if not divisible:
            needed = math.prod(read for _, read in chosen) * bytes_per_pixel
            raise SettingsError(
                f"The smallest tile needs {math.ceil(needed / 2**20)} MiB, more than "
                f"the memory budget of {memory_budget / 2**20:.0f} MiB.",
                "Raise the memory budget, or choose a smaller model.",
            )
        longest = max(divisible, key=lambda axis: chosen[axis])
        smaller = next(cuts[longest], None)
        if smaller is None:
            divisible.remove(longest)
        else:
            chosen[longest] = smaller
    return tuple(tile for tile, _ in chosen)


def _shrinking_cuts(n: int, axis: AxisGeometry, border: str) -> Iterator[Span]:
    """Yield (tile, longest read) for the whole axis, halves, thirds, ...

    Cuts that need not read less than the one before are left out: all they would do
    is compute more.
    """
    tile, shortest = round_up(n, axis.divisor), math.inf
    while True:
        reads = [piece.read for piece in split_axis(n, tile, axis, border)]
        longest = max(stop - start for start, stop in reads)
        if longest < shortest:
            yield tile, longest
            shortest = longest
        if tile == axis.divisor:
            return
        n_parts = math.ceil(n / (tile - axis.divisor))
        tile = round_up(math.ceil(n / n_parts), axis.divisor)


def uniform_tile(tile: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Return `tile` for `ndim` axes; one number stands for all of them.

    Raises
    ------
    SettingsError
        If the number of entries is neither 1 nor `ndim`.
    """
    if len(tile) == 1:
        return tile * ndim
    if len(tile) != ndim:
        raise SettingsError(
            f"The tile {tile} has {len(tile)} entries, but the model is {ndim}-D.",
            f"Give one number, or {ndim} of them.",
        )
    return tile
