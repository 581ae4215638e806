"""A k-d tree of pixels that finds the nearest one, exactly and in integers.

It serves the watershed where a component is thin and its bounding box is not, so that
a transform of the box would cost far more than the component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.components import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixel = tuple[np.int64, np.int64, np.int64]

_LEAF = 8


@compiled
def _swap(points: NDArray[np.int64], i: int, j: int) -> None:
    for axis in range(3):
        points[i, axis], points[j, axis] = points[j, axis], points[i, axis]


@compiled
def _widest_axis(points: NDArray[np.int64], low: int, high: int) -> int:
    widest, extent = 0, -1
    for axis in range(3):
        least = most = points[low, axis]
        for i in range(low + 1, high):
            least, most = min(least, points[i, axis]), max(most, points[i, axis])
        if most - least > extent:
            widest, extent = axis, most - least
    return widest


@compiled
def _part_at_median(points: NDArray[np.int64], low: int, high: int, axis: int) -> int:
    """Reorder ``points[low:high]`` about its median along `axis`; return its index."""
    middle = (low + high) // 2
    last = high - 1
    while low < last:
        pivot = points[(low + last) // 2, axis]
        i, j = low, last
        while i <= j:
            while points[i, axis] < pivot:
                i += 1
            while points[j, axis] > pivot:
                j -= 1
            if i <= j:
                _swap(points, i, j)
                i, j = i + 1, j - 1
        if middle <= j:
            last = j
        elif middle >= i:
            low = i
        else:
            break
    return middle


@compiled
def plant_tree(points: NDArray[np.int64]) -> NDArray[np.int8]:
    """Reorder `points` into a k-d tree and return the axis at each median."""
    axes = np.zeros(points.shape[0], np.int8)
    # Ranges still to be split: halving 62 times exhausts any array.
    todo = np.empty((64, 2), np.int64)
    todo[0, 0], todo[0, 1] = 0, points.shape[0]
    n = 1
    while n:
        n -= 1
        low, high = todo[n, 0], todo[n, 1]
        if high - low <= _LEAF:
            continue
        axis = _widest_axis(points, low, high)
        middle = _part_at_median(points, low, high, axis)
        axes[middle] = axis
        todo[n, 0], todo[n, 1] = low, middle
        todo[n + 1, 0], todo[n + 1, 1] = middle + 1, high
        n += 2
    return axes


@compiled
def squared_distance(points: NDArray[np.int64], i: int, at: Pixel) -> int:
    """Return the squared distance from point `i` to the pixel `at`."""
    square = 0
    for axis in range(3):
        square += (points[i, axis] - at[axis]) ** 2
    return square


@compiled
def nearest_point(
    points: NDArray[np.int64],
    axes: NDArray[np.int8],
    at: Pixel,
    guess: int,
) -> int:
    """Return the index of a point of the tree nearest to `at`; `guess` is any point."""
    todo = np.empty((64, 3), np.int64)
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, points.shape[0], 0
    n, best, least = 1, guess, squared_distance(points, guess, at)
    while n:
        n -= 1
        low, high, bound = todo[n, 0], todo[n, 1], todo[n, 2]
        while high - low > _LEAF and bound < least:
            middle = (low + high) // 2
            delta = at[axes[middle]] - points[middle, axes[middle]]
            if squared_distance(points, middle, at) < least:
                best, least = middle, squared_distance(points, middle, at)
            todo[n, 2] = max(bound, delta * delta)
            if delta < 0:
                todo[n, 0], todo[n, 1] = middle + 1, high
                high = middle
            else:
                todo[n, 0], todo[n, 1] = low, middle
                low = middle + 1
            n += 1
        for i in range(low, high if bound < least else low):
            if squared_distance(points, i, at) < least:
                best, least = i, squared_distance(points, i, at)
    return best
