"""The minimum spanning forest of one mask component, in a flat buffer.

This is the heart of the watershed: descend, then join what ended without a label.
`napari_unet.core.watershed.flood` defines the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.core.components import Runs, compiled, find_root
from napari_unet.core.seed_distance import Box, address

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scratch(NamedTuple):
    """Scratch for one component; `Box` describes the layout of the first two.

    `priority` is larger where a pixel floods earlier, 0 outside the component.
    `basin` holds a label, or minus the number of a basin that has none yet, or 0 for
    a pixel that has not been looked at. `field` is for distances.
    """

    priority: NDArray[np.int64]
    basin: NDArray[np.int32]
    down: NDArray[np.int8]
    field: NDArray[Any]


@compiled
def fill_basins(
    scratch: Scratch, runs: Runs, box: Box, offsets: NDArray[np.int64]
) -> None:
    """Turn the seeds' labels in ``scratch.basin`` into those of the whole component.

    Parameters
    ----------
    scratch
        Priorities and seeds of the component, 0 around it.
    runs
        The runs of the component.
    box
        Its bounding box.
    offsets
        Where the buffer holds the neighbours of a pixel, relative to it.
    """
    n_basins, open_pixels = _descend(scratch, runs, box, offsets)
    if n_basins:
        _join_basins(scratch, n_basins, open_pixels, offsets)


@compiled
def _point_down(
    scratch: Scratch,
    runs: Runs,
    box: Box,
    offsets: NDArray[np.int64],
) -> None:
    """Write to ``scratch.down`` which neighbour of each pixel is the earliest.

    Neighbours before the pixel are met backwards and win ties, neighbours after it are
    met forwards and lose them: so the smallest index wins among equals. Whole runs are
    compared at once, without branches.
    """
    most = np.empty(box.size[2], np.int64)
    code = np.empty(box.size[2], np.int64)
    half = offsets.size // 2
    for i in range(runs.row.size):
        at = address(box, runs.row[i], runs.start[i])
        n = runs.stop[i] - runs.start[i]
        most[:n] = scratch.priority[at : at + n]
        code[:n] = offsets.size
        for k in range(half - 1, -1, -1):
            line = scratch.priority[at + offsets[k] : at + offsets[k] + n]
            for x in range(n):
                is_more = line[x] >= most[x]
                most[x] = line[x] if is_more else most[x]
                code[x] = k if is_more else code[x]
        for k in range(half, offsets.size):
            line = scratch.priority[at + offsets[k] : at + offsets[k] + n]
            for x in range(n):
                is_more = line[x] > most[x]
                most[x] = line[x] if is_more else most[x]
                code[x] = k if is_more else code[x]
        down = scratch.down[at : at + n]
        for x in range(n):
            down[x] = code[x]


@compiled
def _append(pixels: NDArray[np.int64], n: int, p: int) -> NDArray[np.int64]:
    """Return `pixels` with ``pixels[n] = p``, enlarged if needed."""
    if n == pixels.size:
        larger = np.empty(2 * n, np.int64)
        larger[:n] = pixels
        pixels = larger
    pixels[n] = p
    return pixels


@compiled
def _descend(
    scratch: Scratch, runs: Runs, box: Box, offsets: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Give each pixel the basin of its earliest neighbour.

    Returns the number of basins without a label, and their pixels.
    """
    _point_down(scratch, runs, box, offsets)
    basin = scratch.basin
    path, unlabelled = np.empty(256, np.int64), np.empty(256, np.int64)
    count = n_unlabelled = 0
    for i in range(runs.row.size):
        at = address(box, runs.row[i], 0)
        for pixel in range(at + runs.start[i], at + runs.stop[i]):
            p, n = pixel, 0
            while basin[p] == 0:
                path = _append(path, n, p)
                n += 1
                if scratch.down[p] == offsets.size:
                    count += 1
                    basin[p] = -count
                else:
                    p += offsets[scratch.down[p]]
            for k in range(n):
                basin[path[k]] = basin[p]
            if basin[p] < 0:
                unlabelled = _append(unlabelled, n_unlabelled, pixel)
                n_unlabelled += 1
    return count, unlabelled[:n_unlabelled]


@compiled
def _is_earlier(priority: NDArray[np.int64], p: int, q: int) -> bool:
    return priority[p] > priority[q] or (priority[p] == priority[q] and p < q)


@compiled
def _is_lighter(
    priority: NDArray[np.int64], edge: tuple[int, int], other: tuple[int, int]
) -> bool:
    """Compare edges by their later pixel, then by their earlier pixel."""
    if not _is_earlier(priority, edge[0], edge[1]):
        edge = (edge[1], edge[0])
    if not _is_earlier(priority, other[0], other[1]):
        other = (other[1], other[0])
    if edge[1] != other[1]:
        return _is_earlier(priority, edge[1], other[1])
    return _is_earlier(priority, edge[0], other[0])


class _Forest(NamedTuple):
    """Basins that ended without a label, counted from 1, and how they are joined.

    `parent` is a union-find, `label` (of roots) is 0 until one is reached, `edges`
    (of roots) holds the inner and the outer pixel of the lightest outer edge, or -1.
    """

    parent: NDArray[np.int32]
    label: NDArray[np.int32]
    edges: NDArray[np.int64]


@compiled
def _find_edges(
    scratch: Scratch,
    forest: _Forest,
    pixels: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> int:
    """Find the lightest outer edge of each basin without a label.

    Returns the number of `pixels` that may have one later; they move to the front.
    """
    priority, basin = scratch.priority, scratch.basin
    parent, edges = forest.parent, forest.edges
    n = 0
    for p in pixels:
        root = find_root(parent, -basin[p])
        if forest.label[root]:
            continue
        is_outer = False
        for offset in offsets:
            q = p + offset
            if priority[q] == 0 or (
                basin[q] < 0 and find_root(parent, -basin[q]) == root
            ):
                continue
            is_outer = True
            best = (edges[root, 0], edges[root, 1])
            if best[0] < 0 or _is_lighter(priority, (p, q), best):
                edges[root, 0], edges[root, 1] = p, q
        if is_outer:
            pixels[n] = p
            n += 1
    return n


@compiled
def _join_over_edges(basin: NDArray[np.int32], forest: _Forest) -> None:
    """Join each basin that has an edge to the basin beyond it.

    Edges have no ties, so the basins form trees, each with at most one label: two
    labels never meet.
    """
    for b in range(1, forest.parent.size):
        if forest.edges[b, 0] < 0:
            continue
        root, beyond = find_root(forest.parent, b), basin[forest.edges[b, 1]]
        if beyond > 0:
            forest.label[root] = beyond
        else:
            other = find_root(forest.parent, -beyond)
            forest.parent[other] = root
            forest.label[root] = max(forest.label[root], forest.label[other])


@compiled
def _join_basins(
    scratch: Scratch,
    n_basins: int,
    pixels: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Join basins over their lightest outer edges until each one has a label."""
    forest = _Forest(
        np.arange(n_basins + 1).astype(np.int32),
        np.zeros(n_basins + 1, np.int32),
        np.empty((n_basins + 1, 2), np.int64),
    )
    active = pixels.copy()
    while active.size:
        forest.edges[:] = -1
        active = active[: _find_edges(scratch, forest, active, offsets)]
        _join_over_edges(scratch.basin, forest)
    for p in pixels:
        root = find_root(forest.parent, -scratch.basin[p])
        scratch.basin[p] = forest.label[root]
