"""Blocks: how a sample is cut for work out of core, and stored in chunks.

A block is whole tiles where that is possible, so no tile is computed twice; a chunk
divides a block, so no two blocks write to one file. Neither changes a label.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unet.core.tiling import Grid, round_up

# Pixels along an axis of a block, and at most of a chunk, by number of axes.
DEFAULT_BLOCK = {2: 2048, 3: 192}
LARGEST_CHUNK = {2: 1024, 3: 128}
# Blocks that are no multiple of a tile are multiples of this, so that chunks fit.
STEP = 32

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Blocks:
    """Blocks that partition a sample, numbered in raster order.

    Parameters
    ----------
    shape
        Of the sample.
    size
        Of a block; the last one along an axis may be smaller.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // s) for n, s in zip(self.shape, self.size, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def position(self, number: int) -> tuple[int, ...]:
        """Return the place of a block among the others along each axis."""
        return tuple(int(i) for i in np.unravel_index(number, self.counts))

    def region(self, number: int) -> Region:
        """Return the pixels of a block."""
        parts = zip(self.position(number), self.size, self.shape, strict=True)
        return tuple(slice(i * s, min(i * s + s, n)) for i, s, n in parts)

    def block_shape(self, number: int) -> tuple[int, ...]:
        """Return the shape of a block."""
        return tuple(part.stop - part.start for part in self.region(number))

    def corner(self, number: int) -> tuple[int, ...]:
        """Return the first pixel of a block."""
        return tuple(part.start for part in self.region(number))

    def neighbours(self, number: int) -> Iterator[tuple[tuple[int, ...], int]]:
        """Yield the step to each block that shares a corner or more, and its number."""
        here = self.position(number)
        for step in itertools.product((-1, 0, 1), repeat=len(here)):
            there = tuple(i + s for i, s in zip(here, step, strict=True))
            pairs = zip(there, self.counts, strict=True)
            if any(step) and all(0 <= i < n for i, n in pairs):
                yield step, int(np.ravel_multi_index(there, self.counts))

    def global_index(self, number: int, flat: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the raster index in the sample of raster indices in a block."""
        at = np.unravel_index(np.asarray(flat, np.int64), self.block_shape(number))
        moved = [a + c for a, c in zip(at, self.corner(number), strict=True)]
        return np.asarray(np.ravel_multi_index(moved, self.shape), np.int64)

    def squared_gap(self, one: int, other: int) -> int:
        """Return the least squared distance of `one`, grown by 1, from another."""
        square = 0
        for a, b in zip(self.region(one), self.region(other), strict=True):
            square += max(a.start - b.stop, b.start - a.stop, 0) ** 2
        return square


def plan_blocks(
    shape: tuple[int, ...], block: int = 0, *, grid: Grid | None = None
) -> Blocks:
    """Plan blocks of about `block` pixels along each axis.

    Parameters
    ----------
    shape
        Of the sample.
    block
        0: a default that depends on the number of axes.
    grid
        Tiles of the sample: blocks are rounded up to whole ones, where they follow
        each other evenly.
    """
    wanted = block or DEFAULT_BLOCK[len(shape)]
    size = []
    for axis, n in enumerate(shape):
        unit = (_even_step(grid, axis) if grid else 0) or STEP
        size.append(min(n, round_up(min(wanted, n), unit)))
    return Blocks(tuple(shape), tuple(size))


def _even_step(grid: Grid, axis: int) -> int:
    """Return the distance between written parts of tiles; 0 if it varies."""
    starts = sorted({tile.write[axis].start for tile in grid.tiles})
    if len(starts) == 1:
        return 0
    step = starts[1]
    return step if starts == [i * step for i in range(len(starts))] else 0


def chunk_shape(blocks: Blocks) -> tuple[int, ...]:
    """Return a chunk that divides a block, not much larger than is usual."""
    limit = LARGEST_CHUNK[len(blocks.shape)]
    chunk = []
    for n, size in zip(blocks.shape, blocks.size, strict=True):
        if size == n:
            chunk.append(min(n, limit))
        else:
            divisors = (size // k for k in range(1, size + 1) if size % k == 0)
            chunk.append(next(d for d in divisors if d <= limit))
    return tuple(chunk)
