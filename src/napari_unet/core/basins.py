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
    """Scratch for one component; `Box` describes the layout of the first three.

    `priority` is larger where a pixel floods earlier, 0 outside the component.
    `basin` holds a label, or minus the number of a basin that has none yet, or 0 for
    a pixel that has not been looked at. `down` says which neighbour is the earliest.
    `field` is for distances.
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
    _point_down(scratch, runs, box, offsets)
    n_basins, n = _descend(scratch, runs, box, offsets)
    if n_basins:
        pixels = _unlabelled_pixels(scratch.basin, runs, box, n)
        _join_basins(scratch, n_basins, pixels, offsets)


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
        own = scratch.priority[at : at + n]
        for x in range(n):
            most[x], code[x] = own[x], offsets.size
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
def _descend(
    scratch: Scratch, runs: Runs, box: Box, offsets: NDArray[np.int64]
) -> tuple[int, int]:
    """Follow the directions from each pixel to a basin, and mark the way.

    Returns the number of basins without a label, and of their pixels.
    """
    basin, down = scratch.basin, scratch.down
    count = n_unlabelled = 0
    for i in range(runs.row.size):
        at = address(box, runs.row[i], 0)
        for pixel in range(at + runs.start[i], at + runs.stop[i]):
            p = pixel
            while basin[p] == 0 and down[p] < offsets.size:
                p += offsets[down[p]]
            if basin[p] == 0:
                count += 1
                basin[p] = -count
            found = basin[p]
            p = pixel
            while basin[p] == 0:
                basin[p] = found
                p += offsets[down[p]]
            n_unlabelled += found < 0
    return count, n_unlabelled


@compiled
def _unlabelled_pixels(
    basin: NDArray[np.int32], runs: Runs, box: Box, n: int
) -> NDArray[np.int64]:
    """Return the addresses of the `n` pixels of basins without a label."""
    pixels = np.empty(n, np.int64)
    n = 0
    for i in range(runs.row.size):
        at = address(box, runs.row[i], 0)
        for p in range(at + runs.start[i], at + runs.stop[i]):
            if basin[p] < 0:
                pixels[n] = p
                n += 1
    return pixels


@compiled
def _is_earlier(priority: NDArray[np.int64], p: int, q: int) -> bool:
    return priority[p] > priority[q] or (priority[p] == priority[q] and p < q)


class _Forest(NamedTuple):
    """Basins that ended without a label, counted from 1, and how they are joined.

    `parent` is a union-find, `label` is 0 until one is reached, `edges` holds the
    later and the earlier pixel of the lightest outer edge found, or -1.
    """

    parent: NDArray[np.int32]
    label: NDArray[np.int32]
    edges: NDArray[np.int64]


@compiled
def _earliest_beyond(scratch: Scratch, p: int, offsets: NDArray[np.int64]) -> int:
    """Return the earliest neighbour of `p` in another basin, or `p` if there is none.

    The edge to it is the lightest outer edge at `p`: an earlier pixel beyond makes
    both members of the weight smaller.
    """
    own, best, most = scratch.basin[p], p, np.int64(0)
    for offset in offsets:
        q = p + offset
        value = scratch.priority[q] if scratch.basin[q] != own else np.int64(0)
        best = q if value > most else best
        most = max(value, most)
    return best


@compiled
def _find_edges(
    scratch: Scratch,
    edges: NDArray[np.int64],
    pixels: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> int:
    """Find the lightest outer edge of each basin without a label.

    Comparing the later pixels of two edges is enough: where it is the same pixel, it
    lies beyond the basin, and both edges lead to it.

    Returns the number of `pixels` that may have one later; they move to the front.
    """
    edges[:] = -1
    n = 0
    for p in pixels:
        b = -scratch.basin[p]
        if b < 0:
            continue
        q = _earliest_beyond(scratch, p, offsets)
        if q == p:
            continue
        pixels[n] = p
        n += 1
        later = p if _is_earlier(scratch.priority, q, p) else q
        if edges[b, 0] < 0 or _is_earlier(scratch.priority, later, edges[b, 0]):
            edges[b, 0], edges[b, 1] = later, p + q - later
    return n


@compiled
def _unite(basin: NDArray[np.int32], forest: _Forest, p: int, q: int) -> None:
    """Join the basins of two pixels, of which at most one has a label."""
    a, b = basin[p], basin[q]
    if a > 0:
        a, b = b, a
    root = find_root(forest.parent, -a)
    if b > 0:
        forest.label[root] = b
    else:
        other = find_root(forest.parent, -b)
        forest.parent[other] = root
        forest.label[root] = max(forest.label[root], forest.label[other])


@compiled
def _rename(
    basin: NDArray[np.int32], forest: _Forest, pixels: NDArray[np.int64]
) -> int:
    """Give `pixels` the label or the number of what their basin has become.

    Returns the number of pixels still without a label; they move to the front.
    """
    for b in range(1, forest.parent.size):
        forest.parent[b] = find_root(forest.parent, b)
        forest.label[b] = forest.label[forest.parent[b]]
    n = 0
    for p in pixels:
        b = -basin[p]
        basin[p] = forest.label[b]
        if not basin[p]:
            basin[p] = -forest.parent[b]
            pixels[n] = p
            n += 1
    return n


@compiled
def _join_basins(
    scratch: Scratch,
    n_basins: int,
    pixels: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Join basins over their lightest outer edges until each one has a label.

    Edges have no ties, so the basins joined in a round form trees, each with at most
    one label: two labels never meet.
    """
    forest = _Forest(
        np.arange(n_basins + 1).astype(np.int32),
        np.zeros(n_basins + 1, np.int32),
        np.empty((n_basins + 1, 2), np.int64),
    )
    edges, rim = forest.edges, pixels.copy()
    while pixels.size:
        rim = rim[: _find_edges(scratch, edges, rim, offsets)]
        for b in range(1, n_basins + 1):
            if edges[b, 0] >= 0:
                _unite(scratch.basin, forest, edges[b, 0], edges[b, 1])
        pixels = pixels[: _rename(scratch.basin, forest, pixels)]
