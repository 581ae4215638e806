"""Colouring objects like a map, so that those that touch can be told apart.

Objects that share faces of pixels form a planar map. Taken in an order in which each
has at most five earlier neighbours (smallest last: Matula and Beck 1983), six colours
are always enough; the others serve to keep near objects apart, too.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Neighbours = list[set[int]]

_FACES = ((0, 1), (1, 0))
_NEAR = ((1, 1), (1, -1), (0, 2), (2, 0), (0, 4), (4, 0), (3, 3), (3, -3))


def colour_objects(ranks: Labels, count: int, *, n_colours: int) -> Labels:
    """Give each object a colour unlike that of its neighbours.

    Parameters
    ----------
    ranks
        (Y, X), objects numbered 1 to `count`, 0 elsewhere.
    count
        Number of objects.
    n_colours
        Colours to choose from. With 6 or more, connected objects that share a border
        never have the same; objects within 4 pixels have the same only if need be.

    Returns
    -------
    numpy.ndarray
        Colour 1 to `n_colours` by rank, 0 for rank 0.
    """
    touching = _neighbours(ranks, count, offsets=_FACES)
    near = _neighbours(ranks, count, offsets=(*_FACES, *_NEAR))
    colours = [0] * (count + 1)
    for rank in _smallest_last(touching):
        order = [1 + (rank * 3 + i) % n_colours for i in range(n_colours)]
        for avoided in (near[rank], touching[rank], set[int]()):
            taken = {colours[other] for other in avoided}
            free = [colour for colour in order if colour not in taken]
            if free:
                colours[rank] = free[0]
                break
    return np.array(colours, np.int64)


def _smallest_last(neighbours: Neighbours) -> list[int]:
    """Order the objects so that each has as few earlier neighbours as possible."""
    degree = [len(others) for others in neighbours]
    heap = [(d, rank) for rank, d in enumerate(degree) if rank > 0]
    heapq.heapify(heap)
    last_first: list[int] = []
    removed = [False] * len(degree)
    while heap:
        d, rank = heapq.heappop(heap)
        if removed[rank] or d != degree[rank]:
            continue
        removed[rank] = True
        last_first.append(rank)
        for other in neighbours[rank]:
            if not removed[other]:
                degree[other] -= 1
                heapq.heappush(heap, (degree[other], other))
    return last_first[::-1]


def _neighbours(
    ranks: Labels, count: int, *, offsets: Sequence[tuple[int, int]]
) -> Neighbours:
    """Return the other objects that lie at one of the offsets from each object."""
    codes = [np.empty(0, np.int64)]
    for dy, dx in offsets:
        one, other = _shifted(ranks, dy, dx=dx)
        both = (one > 0) & (other > 0) & (one != other)
        codes.append(np.unique(one[both] * (count + 1) + other[both]))
    first, second = np.divmod(np.unique(np.concatenate(codes)), count + 1)
    found: Neighbours = [set() for _ in range(count + 1)]
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        found[a].add(b)
        found[b].add(a)
    return found


def _shifted(ranks: Labels, dy: int, *, dx: int) -> tuple[Labels, Labels]:
    """Return two views whose equal positions lie (dy, dx) apart."""
    if dx < 0:
        return _shifted(ranks[:, ::-1], dy, dx=-dx)
    height, width = ranks.shape
    return ranks[: max(height - dy, 0), : max(width - dx, 0)], ranks[dy:, dx:]
