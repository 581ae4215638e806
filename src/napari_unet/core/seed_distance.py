"""Squared Euclidean distance to the nearest seed pixel, for one mask component.

The watershed shares plateaus by this distance, so it must be an exact integer that
depends on the component alone. Only the component's own seeds count, which no
distance transform of a whole image can tell apart; so each component is measured in
its bounding box, by lower envelopes of parabolas (Felzenszwalb and Huttenlocher 2012,
Theory of Computing 8), here as convex hulls in integers. A component that fills
little of its box, such as a fibre on the diagonal, asks a k-d tree of its seeds
instead; both give the same numbers.

The pixels of the component lie in a flat buffer with a margin, described by a `Box`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.core.components import Runs, compiled
from napari_unet.core.seed_tree import nearest_point, plant_tree, squared_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Priority of a pixel: larger floods earlier. Bit 62 marks seeds, 16 bits hold the
# complement of the height, 46 bits the complement of the squared distance. 0 is no
# pixel of the component.
DISTANCE_BITS = 46
DISTANCE_MASK = (1 << DISTANCE_BITS) - 1
SEED_SHIFT = 62
SEED_BIT = 1 << SEED_SHIFT
# Longest axis for which the cross products of the hull stay within 64 bits.
MAX_LENGTH = 1_000_000

# A box more than this many times larger than its component is measured by the tree.
SPARSE = 64


class Box(NamedTuple):
    """Bounding box of a component, and its place in a flat buffer with a margin.

    `first` and `size` count planes, lines and columns; `lines` is the number of lines
    of a plane of the image; `margin` is 1 where the buffer has a margin of lines.
    """

    first: tuple[int, int, int]
    size: tuple[int, int, int]
    lines: int
    margin: int


@compiled
def steps(box: Box) -> tuple[int, int]:
    """Return the distance in the buffer to the next plane and to the next line."""
    line = box.size[2] + 2
    return line * (box.size[1] + 2 * box.margin), line


@compiled
def address(box: Box, row: int, column: int) -> int:
    """Return where the buffer holds the pixel at `row` and `column` of the image."""
    plane_step, line_step = steps(box)
    plane = row // box.lines - box.first[0] + 1
    line = row % box.lines - box.first[1] + box.margin
    return plane * plane_step + line * line_step + column - box.first[2] + 1


@compiled
def subtract_distances(
    priority: NDArray[np.int64], runs: Runs, box: Box, field: NDArray[Any]
) -> None:
    """Subtract from each pixel that is no seed its squared distance to a seed.

    Parameters
    ----------
    priority
        Buffer described by `box`; at least one pixel of `runs` carries `SEED_BIT`.
    runs
        The runs of one component.
    box
        Its bounding box.
    field
        Scratch for as many integers as the box has pixels, wide enough for the
        squared diagonal; empty: use the tree.
    """
    if field.size:
        _dense(priority, runs, box, field)
    else:
        _sparse(priority, runs, box)


@compiled
def _mark_seeds(
    priority: NDArray[np.int64], runs: Runs, box: Box, field: NDArray[Any]
) -> None:
    """Set 0 in `field` (planes, lines, columns) at the seeds."""
    for i in range(runs.row.size):
        at = address(box, runs.row[i], runs.start[i])
        line = field[
            runs.row[i] // box.lines - box.first[0],
            runs.row[i] % box.lines - box.first[1],
        ]
        n = runs.stop[i] - runs.start[i]
        left = runs.start[i] - box.first[2]
        near, own = line[left : left + n], priority[at : at + n]
        for x in range(n):
            near[x] *= 1 - (own[x] >> SEED_SHIFT)


@compiled
def _sweep_planes(flat: NDArray[Any], far: int) -> None:
    """Turn 0 at seeds into the squared distance to one along the first axis."""
    for z in range(1, flat.shape[0]):
        for i in range(flat.shape[1]):
            flat[z, i] = min(flat[z, i], flat[z - 1, i] + 1)
    for z in range(flat.shape[0] - 2, -1, -1):
        for i in range(flat.shape[1]):
            flat[z, i] = min(flat[z, i], flat[z + 1, i] + 1)
    for z in range(flat.shape[0]):
        for i in range(flat.shape[1]):
            reach = flat[z, i]
            flat[z, i] = reach * reach if reach < far else far


@compiled
def _hull(line: NDArray[Any], far: int, hull: NDArray[np.int64]) -> int:
    """Fill `hull` with those parabolas ``line[v] + (x - v)**2`` that are ever lowest.

    They are the corners of the lower convex hull of the points (v, line[v] + v * v).
    Returns their number.
    """
    n = 0
    for v in range(line.size):
        if line[v] >= far:
            continue
        value = np.int64(line[v]) + v * v
        while n >= 2 and (hull[1, n - 1] - hull[1, n - 2]) * (v - hull[0, n - 1]) >= (
            value - hull[1, n - 1]
        ) * (hull[0, n - 1] - hull[0, n - 2]):
            n -= 1
        hull[0, n], hull[1, n] = v, value
        n += 1
    return n


@compiled
def _advance(hull: NDArray[np.int64], n: int, t: int, x: int) -> int:
    """Return the corner that is lowest at `x`, starting the search from corner `t`."""
    while t + 1 < n and hull[1, t + 1] - hull[1, t] <= 2 * x * (
        hull[0, t + 1] - hull[0, t]
    ):
        t += 1
    return t


@compiled
def _lower_lines(field: NDArray[Any], far: int, hull: NDArray[np.int64]) -> None:
    """Add the second axis to the squared distances in `field`."""
    for z in range(field.shape[0]):
        for x in range(field.shape[2]):
            line = field[z, :, x]
            n = _hull(line, far, hull)
            t = 0
            if n:
                for y in range(line.size):
                    t = _advance(hull, n, t, y)
                    line[y] = hull[1, t] - 2 * y * hull[0, t] + y * y


@compiled
def _dense(
    priority: NDArray[np.int64], runs: Runs, box: Box, field: NDArray[Any]
) -> None:
    """Measure all of the box: one sweep, then hulls along lines and rows."""
    planes, lines, columns = box.size
    volume = field[: planes * lines * columns].reshape(planes, lines, columns)
    # far + 1 must not overflow, and no squared distance reaches far.
    far = field.dtype.type(2 ** (8 * field.itemsize - 2))
    volume[:] = far
    _mark_seeds(priority, runs, box, volume)
    _sweep_planes(volume.reshape(planes, lines * columns), far)
    hull = np.empty((2, max(lines, columns)), np.int64)
    if lines > 1:
        _lower_lines(volume, far, hull)
    row, n, t = -1, 0, 0
    for i in range(runs.row.size):
        if runs.row[i] != row:
            row, t = runs.row[i], 0
            line = volume[
                row // box.lines - box.first[0], row % box.lines - box.first[1]
            ]
            n = _hull(line, far, hull)
        left = runs.start[i] - box.first[2]
        at = address(box, row, runs.start[i])
        own = priority[at : at + runs.stop[i] - runs.start[i]]
        for k in range(own.size):
            if own[k] < SEED_BIT:
                x = left + k
                t = _advance(hull, n, t, x)
                own[k] -= hull[1, t] - 2 * x * hull[0, t] + x * x


@compiled
def _rim(priority: NDArray[np.int64], runs: Runs, box: Box) -> NDArray[np.int64]:
    """Return (n, 3) coordinates of the seeds that have a neighbour that is none.

    The nearest seed of a pixel is always such a seed: from any other one, a step
    towards the pixel meets a nearer seed.
    """
    total = 0
    for i in range(runs.row.size):
        total += runs.stop[i] - runs.start[i]
    rim = np.empty((total, 3), np.int64)
    n = 0
    plane_step, line_step = steps(box)
    line_step *= box.margin
    for i in range(runs.row.size):
        at = address(box, runs.row[i], 0)
        for column in range(runs.start[i], runs.stop[i]):
            p = at + column
            inner = priority[p - 1] & priority[p + 1]
            inner &= priority[p - plane_step] & priority[p + plane_step]
            inner &= priority[p - line_step] & priority[p + line_step]
            if priority[p] & SEED_BIT and not inner & SEED_BIT:
                rim[n, 0] = runs.row[i] // box.lines
                rim[n, 1] = runs.row[i] % box.lines
                rim[n, 2] = column
                n += 1
    return rim[:n]


@compiled
def _sparse(priority: NDArray[np.int64], runs: Runs, box: Box) -> None:
    """Measure pixel by pixel; the seed nearest to the last pixel is a good guess."""
    points = _rim(priority, runs, box)
    axes = plant_tree(points)
    nearest = 0
    for i in range(runs.row.size):
        at = address(box, runs.row[i], 0)
        for column in range(runs.start[i], runs.stop[i]):
            if not priority[at + column] & SEED_BIT:
                pixel = (
                    np.int64(runs.row[i] // box.lines),
                    np.int64(runs.row[i] % box.lines),
                    np.int64(column),
                )
                nearest = nearest_point(points, axes, pixel, nearest)
                priority[at + column] -= squared_distance(points, nearest, pixel)
