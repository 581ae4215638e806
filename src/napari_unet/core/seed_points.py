"""Squared distance to seeds that are given as points, some of them far away.

A picture larger than memory is measured block by block: the seeds of one block after
the other, the nearest first, lower the distances of the pixels of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.components import compiled
from napari_unet.core.seed_tree import nearest_point, plant_tree, squared_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = 2**62


def lower_distances(
    best: NDArray[np.int64],
    component: NDArray[np.int32],
    wanted: int,
    *,
    corner: tuple[int, ...],
    points: NDArray[np.int64],
) -> int:
    """Lower `best`, in place, to the squared distance to one of `points`.

    Parameters
    ----------
    best
        Squared distances found so far (`FAR`: none), two or three axes.
    component
        Same shape.
    wanted
        The component whose pixels are measured.
    corner
        Where the first pixel of `best` lies in the picture.
    points
        Coordinates (n, axes) in the picture.

    Returns
    -------
    int
        The largest squared distance that is left.
    """
    volume = best.reshape((1,) * (3 - best.ndim) + best.shape)
    members = component.reshape(volume.shape)
    start = np.array((0,) * (3 - len(corner)) + corner, np.int64)
    seeds = np.zeros((len(points), 3), np.int64)
    seeds[:, 3 - points.shape[1] :] = points
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    axes = plant_tree(seeds)
    return int(_lower(volume, members, wanted, start, low, high, seeds, axes))


@compiled
def _lower(  # noqa: PLR0913  (a kernel takes its arrays one by one)
    best: NDArray[np.int64],
    component: NDArray[np.int32],
    wanted: int,
    corner: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    points: NDArray[np.int64],
    axes: NDArray[np.int8],
) -> int:
    nearest = 0
    farthest = 0
    for z in range(best.shape[0]):
        beyond_z = max(low[0] - z - corner[0], z + corner[0] - high[0], 0)
        for y in range(best.shape[1]):
            beyond_y = max(low[1] - y - corner[1], y + corner[1] - high[1], 0)
            plane = beyond_z * beyond_z + beyond_y * beyond_y
            for x in range(best.shape[2]):
                if component[z, y, x] != wanted:
                    continue
                square = best[z, y, x]
                beyond = max(low[2] - x - corner[2], x + corner[2] - high[2], 0)
                if square > plane + beyond * beyond:
                    pixel = (z + corner[0], y + corner[1], x + corner[2])
                    nearest = nearest_point(points, axes, pixel, nearest)
                    square = min(square, squared_distance(points, nearest, pixel))
                    best[z, y, x] = square
                farthest = max(farthest, square)
    return farthest
