"""Seeded watershed with a total order, so that labels never depend on how work is cut.

Common watersheds break ties by the order in which pixels happened to enter a queue.
Here every pixel has a fixed key, and the labels are a minimum spanning forest: unique,
whatever the order of work. See `flood` for the definition.

How it is found (Boruvka's algorithm): the lightest edge of every pixel belongs to the
forest, so each pixel first descends to its neighbour with the smallest key, without
any sorting. What ends at a local minimum instead of a seed is joined to a neighbouring
basin over its lightest outer edge, until a label reaches it. Mask components are
independent and are flooded one after the other in their bounding boxes; a component
with one label needs no flooding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.core.basins import Scratch, fill_basins
from napari_unet.core.components import (
    Runs,
    as_rows,
    as_volume,
    check_connectivity,
    compiled,
    find_runs,
    frozen,
    paint,
)
from napari_unet.core.seed_distance import (
    DISTANCE_BITS,
    DISTANCE_MASK,
    MAX_LENGTH,
    SEED_SHIFT,
    SPARSE,
    Box,
    address,
    steps,
    subtract_distances,
)
from napari_unet.errors import AxesError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEVERAL = -1


class _Picture(NamedTuple):
    """Heights and seeds as (rows, pixels), and the lines of a plane."""

    height: NDArray[Any]
    seeds: NDArray[np.int32]
    lines: int


class _Plan(NamedTuple):
    """Components with several labels: their runs, one component after the other.

    `first` gives the first run of each, `boxes` (n, 7) its first plane, line and
    column, their numbers, and its pixels; `fills_box` tells whether distances are
    measured in all of the box.
    """

    runs: Runs
    first: NDArray[np.int64]
    boxes: NDArray[np.int64]
    fills_box: NDArray[np.bool_]


def flood(
    height: NDArray[Any],
    seeds: NDArray[np.int32],
    mask: NDArray[np.bool_],
    *,
    connectivity: int = 1,
) -> NDArray[np.int32]:
    """Grow `seeds` over `mask`, along the lowest `height` first.

    The labels are those of a minimum spanning forest. The key of a pixel is (its
    height, its squared Euclidean distance to the nearest seed pixel of its own mask
    component, its raster index); seeds come before all other pixels, among themselves
    by height and raster index. An edge joins two neighbouring mask pixels and weighs
    (larger key, smaller key); no two edges weigh the same. Of all forests that connect
    every mask pixel to a seed, the pixels of one seed label being one root, there is
    exactly one of least weight. In other words: pixels are taken in ascending order of
    their key; each joins the labelled basin of its smallest neighbour already taken,
    as do all unlabelled basins that it touches; two labels never unite.

    So plateaus are shared by distance, nothing depends on the order of work, and
    flooding each component in any crop that contains it gives the same labels.

    Parameters
    ----------
    height
        uint8 or uint16, one to three axes. Every axis is at most 1,000,000 long.
    seeds
        Labels of the seeds, same shape; values below 1 are no seed, and seeds outside
        the mask are ignored.
    mask
        Pixels that may be labelled, boolean, same shape.
    connectivity
        1: pixels that share a face are neighbours; 2: also an edge; 3: also a corner.
        More than there are axes means all neighbours. It also says what a mask
        component is.

    Returns
    -------
    numpy.ndarray
        int32 labels, 0 outside the mask and in components without a seed.

    Raises
    ------
    AxesError
        Shapes differ, or there are more than three axes, or an axis is too long.
    SettingsError
        Heights are not uint8 or uint16, seeds are not integers or exceed 32 bits, or
        `connectivity` is below 1.
    """
    _check(height, seeds, mask)
    connectivity = check_connectivity(connectivity)
    seeds = _as_labels(seeds)
    labels = np.zeros(mask.shape, np.int32)
    runs = find_runs(np.asarray(mask, bool), connectivity=connectivity)
    if not runs.n_components:
        return labels
    lines = as_volume(height).shape[1]
    picture = _Picture(frozen(as_rows(height)), frozen(as_rows(seeds)), lines)
    only = _only_label(picture.seeds, runs, runs.n_components)
    paint(labels, runs, np.maximum(only, 0))
    if (only == _SEVERAL).any():
        plan = _plan(runs, only == _SEVERAL, lines)
        ways = directions(as_volume(height).shape, connectivity)
        scratch = _make_scratch(plan, lines)
        _flood_components(picture, plan, ways, scratch, as_rows(labels))
    return labels


def _check(height: NDArray[Any], seeds: NDArray[Any], mask: NDArray[Any]) -> None:
    if not height.shape == seeds.shape == mask.shape:
        raise AxesError(
            f"Heights {height.shape}, seeds {seeds.shape} and mask {mask.shape} differ "
            "in shape.",
            "Pass three arrays of the same picture.",
        )
    if max(height.shape, default=0) > MAX_LENGTH:
        raise AxesError(
            f"An axis of {max(height.shape)} pixels is too long to flood in one piece.",
            "Flood each connected component of the mask by itself.",
        )
    if height.dtype not in (np.uint8, np.uint16):
        raise SettingsError(
            f"The watershed needs stored heights, not {height.dtype}.",
            "Convert probabilities to uint8 or uint16 first.",
        )


def _as_labels(seeds: NDArray[Any]) -> NDArray[np.int32]:
    is_narrow = np.can_cast(seeds.dtype, np.int32)
    if not is_narrow and (
        seeds.dtype.kind not in "iu" or seeds.max(initial=0) > np.iinfo(np.int32).max
    ):
        raise SettingsError(
            f"Seeds of type {seeds.dtype} do not fit 32-bit labels.",
            "Number the seeds 1, 2, ... in an integer array.",
        )
    return seeds.astype(np.int32, copy=False)


def directions(shape: tuple[int, ...], connectivity: int) -> NDArray[np.int64]:
    """Return (n, 3) steps to the neighbours, in raster order."""
    reach = [min(n, 2) - 1 for n in shape]
    grid = np.stack(np.meshgrid(*(range(-r, r + 1) for r in reach), indexing="ij"), -1)
    grid = grid.reshape(-1, 3).astype(np.int64)
    distance = np.abs(grid).sum(1)
    return np.asarray(grid[(distance > 0) & (distance <= connectivity)])


@compiled
def _only_label(seeds: NDArray[np.int32], runs: Runs, count: int) -> NDArray[np.int32]:
    """Return the one label in each component, 0 for none, -1 for several."""
    only = np.zeros(count, np.int32)
    for i in range(runs.row.size):
        c = runs.component[i]
        for seed in seeds[runs.row[i], runs.start[i] : runs.stop[i]]:
            if seed > 0 and seed != only[c]:
                only[c] = seed if only[c] == 0 else _SEVERAL
    return only


@compiled
def _group_runs(
    runs: Runs, number: NDArray[np.int64], first: NDArray[np.int64]
) -> Runs:
    """Return the runs of numbered components, grouped by the number.

    `first` gives where each group starts; it is moved to where the group ends.
    """
    row = np.empty(first[-1], np.int32)
    start, stop, component = np.empty_like(row), np.empty_like(row), np.empty_like(row)
    for i in range(runs.row.size):
        c = number[runs.component[i]]
        if c >= 0:
            j = first[c]
            row[j], start[j], stop[j] = runs.row[i], runs.start[i], runs.stop[i]
            component[j] = c
            first[c] += 1
    return Runs(row, start, stop, component, runs.offset)


@compiled
def _measure(runs: Runs, lines: int, boxes: NDArray[np.int64]) -> None:
    """Update first and last plane, line and column, and the number of pixels."""
    for i in range(runs.row.size):
        c, row = runs.component[i], np.int64(runs.row[i])
        at = (row // lines, row % lines, np.int64(runs.start[i]))
        for axis in range(3):
            boxes[c, axis] = min(boxes[c, axis], at[axis])
            boxes[c, axis + 3] = max(boxes[c, axis + 3], at[axis])
        boxes[c, 5] = max(boxes[c, 5], runs.stop[i] - 1)
        boxes[c, 6] += runs.stop[i] - runs.start[i]


def _plan(runs: Runs, wanted: NDArray[np.bool_], lines: int) -> _Plan:
    number = np.where(wanted, np.cumsum(wanted) - 1, -1)
    n_runs = np.bincount(number[runs.component] + 1, minlength=number.max() + 2)[1:]
    first = np.concatenate(([0], np.cumsum(n_runs)))
    grouped = _group_runs(runs, number, first.copy())
    boxes = np.zeros((n_runs.size, 7), np.int64)
    boxes[:, :3] = MAX_LENGTH
    _measure(grouped, lines, boxes)
    boxes[:, 3:6] += 1 - boxes[:, :3]
    fills_box = boxes[:, 3:6].prod(1) <= SPARSE * boxes[:, 6]
    return _Plan(grouped, first, boxes, fills_box)


def _make_scratch(plan: _Plan, lines: int) -> Scratch:
    """Return scratch that is large enough for every component, filled with 0."""
    sizes = plan.boxes[:, 3:6]
    margins = np.array((2, 2 * (lines > 1), 2))
    padded = (sizes + margins).prod(1).max()
    dense = sizes[plan.fills_box]
    diagonal = (dense**2).sum(1).max(initial=0)
    dtype = np.int32 if diagonal < 2**30 else np.int64
    return Scratch(
        np.zeros(padded, np.int64),
        np.zeros(padded, np.int32),
        np.empty(padded, np.int8),
        np.empty(dense.prod(1).max(initial=0), dtype),
    )


@compiled
def _prepare(picture: _Picture, runs: Runs, box: Box, scratch: Scratch) -> None:
    """Write heights and seeds of one component to the scratch."""
    for i in range(runs.row.size):
        start, stop = runs.start[i], runs.stop[i]
        at = address(box, runs.row[i], start)
        n = stop - start
        height = picture.height[runs.row[i], start:stop]
        seeds = picture.seeds[runs.row[i], start:stop]
        priority, basin = scratch.priority[at : at + n], scratch.basin[at : at + n]
        for x in range(n):
            is_seed = np.int64(seeds[x] > 0)
            low = (0xFFFF - np.int64(height[x])) << DISTANCE_BITS
            priority[x] = is_seed << SEED_SHIFT | low | DISTANCE_MASK
            basin[x] = seeds[x] * is_seed


@compiled
def _finish(runs: Runs, box: Box, scratch: Scratch, labels: NDArray[np.int32]) -> None:
    """Write the labels of one component, and clear the scratch."""
    for i in range(runs.row.size):
        at = address(box, runs.row[i], runs.start[i])
        line = labels[runs.row[i], runs.start[i] : runs.stop[i]]
        priority = scratch.priority[at : at + line.size]
        basin = scratch.basin[at : at + line.size]
        for x in range(line.size):
            line[x], priority[x], basin[x] = basin[x], 0, 0


@compiled
def _flood_components(
    picture: _Picture,
    plan: _Plan,
    directions: NDArray[np.int64],
    scratch: Scratch,
    labels: NDArray[np.int32],
) -> None:
    for c in range(plan.first.size - 1):
        group = slice(plan.first[c], plan.first[c + 1])
        runs = Runs(
            plan.runs.row[group],
            plan.runs.start[group],
            plan.runs.stop[group],
            plan.runs.component[group],
            plan.runs.offset,
        )
        b = plan.boxes[c]
        margin = 1 if picture.lines > 1 else 0
        box = Box((b[0], b[1], b[2]), (b[3], b[4], b[5]), picture.lines, margin)
        _prepare(picture, runs, box, scratch)
        field = scratch.field if plan.fills_box[c] else scratch.field[:0]
        subtract_distances(scratch.priority, runs, box, field)
        plane_step, line_step = steps(box)
        offsets = (
            directions[:, 0] * plane_step
            + directions[:, 1] * line_step
            + directions[:, 2]
        )
        fill_basins(scratch, runs, box, offsets)
        _finish(runs, box, scratch, labels)
