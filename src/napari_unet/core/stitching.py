"""Stitching: blending for networks whose layers depend on the tile.

Exact tiles need none: each pixel is written once. Where statistics are taken per tile
no halo helps; a Gaussian window over the overlap then at least hides the seams.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.fixed_point import scale_of
from napari_unet.core.tiling import Geometry, Grid, Tile

# Standard deviation as a part of the tile, and the least weight, as is usual in the
# field; the floor keeps the division by the summed weights sound.
GAUSSIAN_SIGMA = 1 / 8
LEAST_WEIGHT = 1e-3


def gaussian_window(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return a Gaussian weight per pixel, 1 in the centre, positive everywhere."""
    profiles = []
    for n in shape:
        distance = (np.arange(n) - (n - 1) / 2) / max(1.0, GAUSSIAN_SIGMA * n)
        profiles.append(np.exp(-0.5 * distance**2))
    window = functools.reduce(np.multiply.outer, profiles)
    floored: npt.NDArray[np.float32] = np.maximum(window, LEAST_WEIGHT).astype(
        np.float32
    )
    return floored


class Blender:
    """Weighted mean of overlapping tiles.

    Parameters
    ----------
    n_channels
        Channels of the probabilities.
    grid
        The tiles; `add` must be called in their order for a reproducible sum.
    geometry
        The network's geometry: what its output lacks of the tile read.
    shape
        Of the mean, from `grid.origin` on; None: of the whole image.
    """

    def __init__(
        self,
        n_channels: int,
        grid: Grid,
        geometry: Geometry,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.shape = grid.shape if shape is None else shape
        self.origin = grid.origin or (0,) * len(self.shape)
        self.geometry = geometry
        self.total = np.zeros((n_channels, *self.shape), np.float32)
        self.weight = np.zeros(self.shape, np.float32)

    def add(self, tile: Tile, probabilities: npt.NDArray[np.float32]) -> None:
        """Add the whole output (C, ...) of one tile, context included."""
        window = gaussian_window(probabilities.shape[1:])
        inside, target = [], []
        places = zip(tile.read, self.geometry, self.origin, strict=True)
        sizes = zip(probabilities.shape[1:], self.shape, strict=True)
        for ((read, _), axis, origin), (size, n) in zip(places, sizes, strict=True):
            first = read + axis.crop[0] - origin
            start = max(0, first)
            stop = max(start, min(first + size, n))
            inside.append(slice(start - first, stop - first))
            target.append(slice(start, stop))
        kept = tuple(inside)
        self.weight[tuple(target)] += window[kept]
        self.total[(slice(None), *target)] += (
            probabilities[(slice(None), *kept)] * window[kept]
        )

    def store(self, out: npt.NDArray[Any]) -> None:
        """Write the mean into `out` (C, ...) in fixed point."""
        scale = np.float32(scale_of(out.dtype))
        rows = max(1, 2**22 // max(1, math.prod(self.shape[1:])))
        for start in range(0, self.shape[0], rows):
            part = slice(start, start + rows)
            mean = self.total[:, part] / self.weight[part]
            out[:, part] = np.rint(mean * scale)
