"""Connected components of a mask, kept as runs of pixels along the last axis.

Seeds, watershed and hole filling all ask for components, numbered in raster order of
their first pixel so that the numbers depend on the picture alone. Runs are several
times fewer than pixels, and one component's runs are all that a crop of it needs.

Arrays of one to three axes share one code path: axes of length 1 are dropped and a
picture ``(Y, X)`` is viewed as ``(Y, 1, X)``, which keeps the raster order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from napari_unet.errors import AxesError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Function = TypeVar("Function", bound="Callable[..., Any]")

# Neighbouring rows that come earlier: steps along the first and the second axis.
_EARLIER_ROWS = ((0, -1), (-1, -1), (-1, 0), (-1, 1))


def compiled(function: Function) -> Function:
    """Compile with numba on first use, and keep the result on disk if possible."""
    try:
        return cast("Function", _njit(function, cache=True))
    except RuntimeError:  # no folder to write to: compile once per process
        return cast("Function", _njit(function, cache=False))


def _njit(function: Any, *, cache: bool) -> Any:
    """Compile without the interpreter's lock and without a check at each division."""
    return numba.njit(cache=cache, nogil=True, error_model="numpy")(function)


class Runs(NamedTuple):
    """Runs of mask pixels in raster order, `n` of them.

    Pixels ``start <= x < stop`` of row ``row`` (a row is one line along the last axis;
    rows are counted through all other axes) belong to `component`, counted from 0 in
    raster order of the first pixel. `offset` (rows + 1) gives the first run of a row.
    """

    row: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    component: NDArray[np.int32]
    offset: NDArray[np.int64]

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.component.max()) + 1 if self.component.size else 0

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Pixels per component."""
        lengths = self.stop - self.start
        return np.bincount(self.component, lengths).astype(np.int64)


def as_volume(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` (one to three axes) as a contiguous array of three axes.

    Raises
    ------
    AxesError
        More than three axes are longer than 1.
    """
    shape = [n for n in array.shape if n != 1]
    if len(shape) > 3:
        raise AxesError(
            f"An array of shape {array.shape} has more than three spatial axes.",
            "Pass one channel of one frame at a time.",
        )
    if len(shape) == 2:
        shape.insert(1, 1)
    volume = (1,) * (3 - len(shape)) + tuple(shape)
    return np.ascontiguousarray(array).reshape(volume)


def as_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` as ``(rows, pixels)``; `Runs` counts rows in this order."""
    volume = as_volume(array)
    return volume.reshape(-1, volume.shape[2])


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view.

    numba compiles anew for read-only arguments; a kernel that is always given such
    views is compiled once, whatever a caller passes.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def check_connectivity(connectivity: int) -> int:
    """Return `connectivity`; above the number of axes it means all neighbours.

    Raises
    ------
    SettingsError
        It is below 1.
    """
    if connectivity < 1:
        raise SettingsError(
            f"A connectivity of {connectivity} does not exist.",
            "Use 1 for faces, 2 for faces and edges, 3 for corners too.",
        )
    return min(connectivity, 3)


@compiled
def _count_runs(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the index of the first run of each row, and their number at the end."""
    n_rows, width = rows.shape
    offset = np.zeros(n_rows + 1, np.int64)
    for y in range(n_rows):
        line = rows[y]
        n = np.int64(line[0])
        for x in range(1, width):
            n += line[x] & (1 - line[x - 1])
        offset[y + 1] = offset[y] + n
    return offset


@compiled
def _fill_runs(rows: NDArray[np.uint8], offset: NDArray[np.int64]) -> Any:
    """Return row, start and stop of each run."""
    row = np.empty(offset[-1], np.int32)
    start, stop = np.empty_like(row), np.empty_like(row)
    for y in range(rows.shape[0]):
        x = 0
        for i in range(offset[y], offset[y + 1]):
            while not rows[y, x]:
                x += 1
            row[i], start[i] = y, x
            while x < rows.shape[1] and rows[y, x]:
                x += 1
            stop[i] = x
    return row, start, stop


@compiled
def find_root(parent: NDArray[np.int32], i: int) -> int:
    """Return the root of `i`, halving the path to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def _join_rows(
    runs: Runs, parent: NDArray[np.int32], row: int, other: int, reach: int
) -> None:
    """Unite the runs of `row` with those of an earlier row that lie within `reach`."""
    a, b = runs.offset[row], runs.offset[other]
    while a < runs.offset[row + 1] and b < runs.offset[other + 1]:
        if (
            runs.start[a] < runs.stop[b] + reach
            and runs.start[b] < runs.stop[a] + reach
        ):
            i, j = find_root(parent, a), find_root(parent, b)
            parent[max(i, j)] = min(i, j)
        if runs.stop[a] < runs.stop[b]:
            a += 1
        else:
            b += 1


@compiled
def _number_components(runs: Runs, lines: int, connectivity: int) -> None:
    """Write `runs.component`; the root of a component is its first run."""
    parent = np.arange(runs.row.size).astype(np.int32)
    for row in range(runs.offset.size - 1):
        if runs.offset[row] == runs.offset[row + 1]:
            continue
        for step0, step1 in _EARLIER_ROWS:
            steps = -step0 + abs(step1)
            line = row % lines + step1
            other = row + step0 * lines + step1
            if steps <= connectivity and 0 <= line < lines and other >= 0:
                _join_rows(runs, parent, row, other, int(steps < connectivity))
    count = 0
    for i in range(parent.size):
        root = find_root(parent, i)
        if root == i:
            runs.component[i] = count
            count += 1
        else:
            runs.component[i] = runs.component[root]


def find_runs(mask: NDArray[np.bool_], *, connectivity: int) -> Runs:
    """Return the runs of `mask` with the component of each.

    Parameters
    ----------
    mask
        Boolean array of one to three axes.
    connectivity
        1 for faces, 2 also edges, 3 also corners; more than there are axes means all.
    """
    connectivity = check_connectivity(connectivity)
    if not mask.size:
        none = np.empty(0, np.int32)
        return Runs(none, none, none, none, np.zeros(1, np.int64))
    volume = as_volume(mask)
    rows = frozen(as_rows(volume).view(np.uint8))
    offset = _count_runs(rows)
    row, start, stop = _fill_runs(rows, offset)
    runs = Runs(row, start, stop, np.empty_like(row), offset)
    _number_components(runs, volume.shape[1], connectivity)
    return runs


@compiled
def _paint(rows: NDArray[np.int32], runs: Runs, values: NDArray[np.int32]) -> None:
    for i in range(runs.row.size):
        value = values[runs.component[i]]
        if value:
            rows[runs.row[i], runs.start[i] : runs.stop[i]] = value


def paint(labels: NDArray[np.int32], runs: Runs, values: NDArray[np.int32]) -> None:
    """Write ``values[component]`` where it is not 0 into `labels`, in place.

    `labels` is an array just made by the caller, contiguous, of the shape of the mask.
    """
    if labels.size:
        _paint(as_rows(labels), runs, values)


def numbered(keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return 1, 2, ... where `keep` is true and 0 elsewhere."""
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)


def label_components(
    mask: NDArray[np.bool_], *, connectivity: int = 1, min_size: int = 0
) -> NDArray[np.int32]:
    """Return labels 1, 2, ... of the components of `mask`, in raster order.

    Parameters
    ----------
    mask
        Boolean array of one to three axes.
    connectivity
        See `find_runs`.
    min_size
        Components with fewer pixels are left out.
    """
    runs = find_runs(mask, connectivity=connectivity)
    labels = np.zeros(mask.shape, np.int32)
    paint(labels, runs, numbered(runs.sizes >= min_size))
    return labels
