"""Faces: the outermost pixels of blocks, which are all that their neighbours need."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.engine.blocks import Blocks, Region

Array = npt.NDArray[Any]
Record = Mapping[str, Array]
Load = Callable[[int], Record]


def faces(name: str, values: Array) -> dict[str, Array]:
    """Return the first and the last layer of `values` along each axis, by name."""
    found = {}
    for axis in range(values.ndim):
        for side, at in (("low", 0), ("high", -1)):
            found[f"{name}_{axis}_{side}"] = np.take(values, at, axis=axis)
    return found


def touching(
    blocks: Blocks, load: Load, names: tuple[str, str], connectivity: int
) -> Iterator[tuple[int, Array, int, Array]]:
    """Yield the values on both sides of all faces between blocks.

    Parameters
    ----------
    blocks
        All of a sample.
    load
        Returns the record of a block.
    names
        What is looked at in the block that comes first, and in the other.
    connectivity
        1: pixels that share a face; 2: also an edge; 3: also a corner.

    Yields
    ------
    tuple
        Number of one block, values of its pixels, number of the other block, values of
        neighbouring pixels; both values are not 0. Pairs come once.
    """
    cached = functools.lru_cache(3 ** len(blocks.shape) + 1)(load)
    for number in range(len(blocks)):
        for step, other in blocks.neighbours(number):
            if sum(map(abs, step)) > connectivity:
                continue
            for axis in (axis for axis, s in enumerate(step) if s == 1):
                here = cached(number)[f"{names[0]}_{axis}_high"]
                there = cached(other)[f"{names[1]}_{axis}_low"]
                along = step[:axis] + step[axis + 1 :]
                pairs = _matched(here, there, along, connectivity - 1)
                if pairs.size:
                    yield number, pairs[0], other, pairs[1]


def _matched(
    here: Array, there: Array, along: tuple[int, ...], reach: int
) -> npt.NDArray[np.int64]:
    """Return the different pairs (2, n) of values that face each other."""
    found = [np.empty((2, 0), np.int64)]
    ways = [(s,) if s else (-1, 0, 1) for s in along]
    for way in itertools.product(*ways):
        if sum(map(abs, way)) > reach:
            continue
        left, right = zip(*map(_overlap, along, way), strict=True) if way else ((), ())
        a, b = here[left].ravel(), there[right].ravel()
        both = (a != 0) & (b != 0)
        found.append(np.stack([a[both], b[both]]).astype(np.int64))
    return np.asarray(np.unique(np.concatenate(found, axis=1), axis=1))


def _overlap(block_step: int, pixel_step: int) -> tuple[slice, slice]:
    """Return which pixels have a neighbour `pixel_step` away, here and there."""
    if block_step:
        ends = slice(-1, None), slice(0, 1)
        return ends if block_step > 0 else ends[::-1]
    if pixel_step == 0:
        return slice(None), slice(None)
    shifted = slice(None, -1), slice(1, None)
    return shifted if pixel_step > 0 else shifted[::-1]


def grown(blocks: Blocks, number: int) -> tuple[Region, Region]:
    """Return a block with one more pixel on each side, and where it lies therein."""
    outer, inner = [], []
    for part, n in zip(blocks.region(number), blocks.shape, strict=True):
        start, stop = max(0, part.start - 1), min(n, part.stop + 1)
        outer.append(slice(start, stop))
        inner.append(slice(part.start - start, part.stop - start))
    return tuple(outer), tuple(inner)


def beyond(
    blocks: Blocks, number: int, take: Callable[[int, str], Array], out: Array
) -> None:
    """Fill the pixels of `out` just beyond a block from the faces of its neighbours.

    Parameters
    ----------
    blocks
        All of a sample.
    number
        The block.
    take
        Number of a neighbour and ``"<axis>_<side>"`` -> values on that face.
    out
        Of the shape of the grown block, see `grown`.
    """
    outer, inner = grown(blocks, number)
    for step, other in blocks.neighbours(number):
        axis = next(i for i, s in enumerate(step) if s)
        face = take(other, f"{axis}_{'low' if step[axis] > 0 else 'high'}")
        target, source = [], []
        for i, s in enumerate(step):
            width = outer[i].stop - outer[i].start
            target.append((inner[i], slice(width - 1, width), slice(0, 1))[s])
            if i != axis:
                source.append((slice(None), slice(0, 1), slice(-1, None))[s])
        place = out[tuple(target)]
        place[...] = face[tuple(source)].reshape(place.shape)
