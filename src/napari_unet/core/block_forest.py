"""The spanning forest of one block of a picture that is larger than memory.

Pixels just beyond the block are roots of their own, as if each were a seed. The edge
over which a pixel joins such a root is the lightest edge that leaves what it has been
joined to, so it belongs to the forest of the whole picture: blocks are flooded apart,
and what hangs on a pixel beyond a block is settled once its neighbours are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.core.basins import Scratch, fill_basins
from napari_unet.core.components import as_volume, find_runs
from napari_unet.core.seed_distance import (
    DISTANCE_BITS,
    DISTANCE_MASK,
    SEED_SHIFT,
    Box,
    steps,
)
from napari_unet.core.watershed import directions

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Edges(NamedTuple):
    """Edges between different roots, the lightest one of each pair.

    `first` and `second` are roots. An edge weighs (later pixel, earlier pixel); of each
    the priority and the index in the block are given.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    later: NDArray[np.int64]
    later_at: NDArray[np.int64]
    earlier: NDArray[np.int64]
    earlier_at: NDArray[np.int64]


def priorities(
    height: NDArray[Any],
    is_seed: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    squared: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the priority of each pixel, as `flood` has it; 0 where not `inside`.

    Parameters
    ----------
    height
        uint8 or uint16.
    is_seed
        Pixels of seeds.
    inside
        Pixels that take part.
    squared
        Squared distance to the nearest seed of the pixel's component; 0 at seeds.
    """
    high = (0xFFFF - height.astype(np.int64)) << DISTANCE_BITS
    value = (is_seed.astype(np.int64) << SEED_SHIFT) | high | DISTANCE_MASK
    return np.where(inside, value - squared, 0)


def flood_block(
    priority: NDArray[np.int64],
    roots: NDArray[np.int32],
    inside: NDArray[np.bool_],
    *,
    connectivity: int,
) -> NDArray[np.int32]:
    """Grow `roots` over the pixels `inside`.

    Parameters
    ----------
    priority
        See `priorities`; of all pixels that take part, those beyond included.
    roots
        Labels from 1; 0: no root.
    inside
        Pixels to be labelled; from each a root can be reached.
    connectivity
        Which pixels are neighbours.

    Returns
    -------
    numpy.ndarray
        int32: the root of each pixel `inside`, and `roots` elsewhere.
    """
    volume = as_volume(priority)
    planes, lines, columns = volume.shape
    margin = 1 if lines > 1 else 0
    box = Box((0, 0, 0), (planes, lines, columns), lines, margin)
    padded = (planes + 2, lines + 2 * margin, columns + 2)
    middle = (slice(1, -1), slice(margin, margin + lines), slice(1, -1))
    high = np.zeros(padded, np.int64)
    high[middle] = volume
    basin = np.zeros(padded, np.int32)
    basin[middle] = as_volume(roots)
    down = np.empty(high.size, np.int8)
    scratch = Scratch(high.ravel(), basin.ravel(), down, np.empty(0, np.int32))
    plane_step, line_step = steps(box)
    ways = directions(volume.shape, connectivity)
    offsets = ways[:, 0] * plane_step + ways[:, 1] * line_step + ways[:, 2]
    fill_basins(scratch, find_runs(inside, connectivity=connectivity), box, offsets)
    return np.ascontiguousarray(basin[middle]).reshape(priority.shape)


def outer_edges(
    priority: NDArray[np.int64],
    basin: NDArray[np.int32],
    open_pixels: NDArray[np.bool_],
    *,
    connectivity: int,
) -> Edges:
    """Return the edges that leave `open_pixels` for another root.

    Parameters
    ----------
    priority, basin
        Given to and returned by `flood_block`.
    open_pixels
        Pixels whose root lies beyond the block.
    connectivity
        Which pixels are neighbours.
    """
    shape = priority.shape
    at = np.nonzero(open_pixels)
    flat, p = priority.ravel(), np.ravel_multi_index(at, shape)
    roots = basin.ravel()
    found = []
    for way in _all_directions(len(shape), connectivity):
        moved = [axis + step for axis, step in zip(at, way, strict=True)]
        legal = np.ones(p.size, bool)
        for axis, n in zip(moved, shape, strict=True):
            legal &= (axis >= 0) & (axis < n)
        source = p[legal]
        target = np.ravel_multi_index([axis[legal] for axis in moved], shape)
        leaves = (flat[target] > 0) & (roots[target] != roots[source])
        found.append((source[leaves], target[leaves]))
    source = np.concatenate([pair[0] for pair in found])
    target = np.concatenate([pair[1] for pair in found])
    return _lightest(flat, roots, source, target)


def _all_directions(ndim: int, connectivity: int) -> NDArray[np.int64]:
    grid = np.stack(np.meshgrid(*[(-1, 0, 1)] * ndim, indexing="ij"), -1)
    ways = grid.reshape(-1, ndim)
    distance = np.abs(ways).sum(1)
    return np.asarray(ways[(distance > 0) & (distance <= connectivity)], np.int64)


def _lightest(
    priority: NDArray[np.int64],
    roots: NDArray[np.int32],
    source: NDArray[np.int64],
    target: NDArray[np.int64],
) -> Edges:
    """Keep the lightest edge of each pair of roots."""
    pair = np.sort(np.stack([roots[source], roots[target]]), axis=0)
    ahead = priority[target] > priority[source]
    ahead |= (priority[target] == priority[source]) & (target < source)
    later, earlier = np.where(ahead, source, target), np.where(ahead, target, source)
    order = np.lexsort(
        (earlier, -priority[earlier], later, -priority[later], pair[1], pair[0])
    )
    pair, later, earlier = pair[:, order], later[order], earlier[order]
    new = np.ones(order.size, bool)
    new[1:] = (pair[:, 1:] != pair[:, :-1]).any(axis=0)
    later, earlier = later[new], earlier[new]
    return Edges(
        pair[0, new], pair[1, new], priority[later], later, priority[earlier], earlier
    )
