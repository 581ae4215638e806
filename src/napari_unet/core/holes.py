"""Holes: background that one object encloses, found for all objects in one pass.

Filling object by object costs a pass per object; here the background is labelled once,
and each of its components asks which labels it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fill_holes(
    labels: NDArray[np.int32], *, connectivity: int = 1
) -> NDArray[np.int32]:
    """Return `labels` with the background that one object encloses given to it.

    A hole is a connected component of the background that does not touch the border
    of the image and shares faces with one label only. Background pixels are connected
    through corners where pixels of an object (`connectivity` 1) are connected through
    faces, and through faces otherwise. An axis of length 1 has no border.
    """
    outside = 3 if check_connectivity(connectivity) == 1 else 1
    runs = find_runs(labels == 0, connectivity=outside)
    result = labels.copy()
    if runs.n_components:
        shape = as_volume(labels).shape
        is_open = _touch_border(runs, shape, runs.n_components)
        paint(result, runs, _enclosing(frozen(as_rows(labels)), runs, shape, is_open))
    return result


@compiled
def _touch_border(
    runs: Runs, shape: tuple[int, int, int], count: int
) -> NDArray[np.bool_]:
    """Tell which components touch the border along an axis longer than 1."""
    planes, lines, columns = shape
    touches = np.zeros(count, np.bool_)
    for i in range(runs.row.size):
        plane, line = runs.row[i] // lines, runs.row[i] % lines
        if (
            (planes > 1 and plane in (0, planes - 1))
            or (lines > 1 and line in (0, lines - 1))
            or (columns > 1 and (runs.start[i] == 0 or runs.stop[i] == columns))
        ):
            touches[runs.component[i]] = True
    return touches


@compiled
def _meet(owner: NDArray[np.int32], component: int, line: NDArray[np.int32]) -> None:
    """Note the labels of `line` beside a component: its owner, or -1 for several."""
    for label in line:
        if label > 0 and label != owner[component]:
            owner[component] = label if owner[component] == 0 else -1


@compiled
def _enclosing(
    rows: NDArray[np.int32],
    runs: Runs,
    shape: tuple[int, int, int],
    is_open: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Return the one label around each component that is not open, 0 for no such."""
    lines = shape[1]
    owner = np.zeros(is_open.size, np.int32)
    for i in range(runs.row.size):
        c, row = runs.component[i], runs.row[i]
        if is_open[c]:
            continue
        start, stop = runs.start[i], runs.stop[i]
        _meet(owner, c, rows[row, max(start - 1, 0) : start])
        _meet(owner, c, rows[row, stop : stop + 1])
        if row >= lines:
            _meet(owner, c, rows[row - lines, start:stop])
        if row + lines < rows.shape[0]:
            _meet(owner, c, rows[row + lines, start:stop])
        if row % lines > 0:
            _meet(owner, c, rows[row - 1, start:stop])
        if row % lines < lines - 1:
            _meet(owner, c, rows[row + 1, start:stop])
    return np.maximum(owner, 0)
