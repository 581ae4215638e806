"""Region: the part of an image that is segmented, and the tiles that it needs.

A region never changes a value: its tiles are those of the whole image's grid, and
intensities are measured on the whole image. Objects are separated over all that those
tiles cover, so that one that crosses the region's edge is not cut there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import AxesPlan
from napari_unet.core.resample import Resampling
from napari_unet.core.tiling import Grid, Tile
from napari_unet.errors import SettingsError

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Region:
    """Samples and a box in each of them.

    Parameters
    ----------
    samples
        Positions along the sample axes.
    box
        Slices along the spatial axes, in pixels of the image.
    is_whole
        Whether the box is all of a sample.
    """

    samples: tuple[dict[str, int], ...]
    box: Box
    is_whole: bool


def parse_region(given: Mapping[str, Any] | None, axes: AxesPlan) -> Region:
    """Return the region that `given` names by axis letters; all where it is silent.

    Raises
    ------
    SettingsError
        If an axis is not the image's, or nothing of the image is left.
    """
    spans = {axis: (0, n) for axis, n in axes.size.items() if axis != "C"}
    for axis, value in (given or {}).items():
        if axis not in spans:
            raise SettingsError(
                f"The region names the axis {axis}, but the image has {axes.axes}.",
                f"Use the letters {', '.join(spans)}.",
            )
        spans[axis] = _span(axis, value, axes.size[axis])
    samples = tuple(
        sample
        for sample in axes.samples()
        if all(spans[a][0] <= at < spans[a][1] for a, at in sample.items())
    )
    box = tuple(slice(*spans[axis]) for axis in axes.spatial)
    whole = tuple(slice(0, n) for n in axes.spatial_shape)
    return Region(samples, box, box == whole)


def _span(axis: str, value: Any, n: int) -> tuple[int, int]:
    """Return (start, stop) within 0..n."""
    start, stop = (value, value + 1) if isinstance(value, int) else tuple(value)
    start, stop = max(0, start), min(n, stop)
    if start >= stop:
        raise SettingsError(
            f"The region {value} along {axis} holds nothing of 0 to {n}.",
            "Choose a region inside the image.",
        )
    return start, stop


def needed_grid(grid: Grid, region: Region, resampling: Resampling | None) -> Grid:
    """Return `grid` with only the tiles that the region's box needs."""
    if region.is_whole:
        return grid
    box = region.box if resampling is None else _scaled(region.box, resampling)
    return dataclasses.replace(
        grid, tiles=tuple(tile for tile in grid.tiles if meets(tile.write, box))
    )


def cut_to(grid: Grid, box: Box) -> Grid:
    """Return `grid` with only the tiles that meet a box, which write into it alone."""
    tiles = tuple(_cut(tile, box) for tile in grid.tiles if meets(tile.write, box))
    return dataclasses.replace(grid, tiles=tiles)


def _cut(tile: Tile, box: Box) -> Tile:
    crop, write = [], []
    for kept, part, inside in zip(tile.crop, tile.write, box, strict=True):
        start, stop = max(part.start, inside.start), min(part.stop, inside.stop)
        crop.append(
            slice(kept.start + start - part.start, kept.stop + stop - part.stop)
        )
        write.append(slice(start, stop))
    return dataclasses.replace(tile, crop=tuple(crop), write=tuple(write))


def covered(grid: Grid, shape: tuple[int, ...]) -> Box:
    """Return the box of an image of `shape` that is filled by the grid's tiles.

    The tiles are those that meet one box, so what they write is a box, too.
    """
    box = []
    for axis, (n, n_grid) in enumerate(zip(shape, grid.shape, strict=True)):
        start = min(tile.write[axis].start for tile in grid.tiles)
        stop = max(tile.write[axis].stop for tile in grid.tiles)
        step = n / n_grid
        # Interpolated back, a pixel at the edge would mix with what was not computed.
        first = 0 if start == 0 else math.ceil((start + 1) * step)
        last = n if stop == n_grid else math.floor((stop - 1) * step)
        box.append(slice(start, stop) if n == n_grid else slice(first, last))
    return tuple(box)


def meets(one: Box, other: Box) -> bool:
    """Return whether two boxes share a pixel."""
    pairs = zip(one, other, strict=True)
    return all(a.start < b.stop and b.start < a.stop for a, b in pairs)


def keep_touching(labels: npt.NDArray[np.int32], box: Box) -> npt.NDArray[np.int32]:
    """Return `labels` with only the objects that have a pixel in `box`, renumbered.

    Ids stay in their order: 1, 2, 3, ...
    """
    kept = np.unique(labels[box])
    kept = kept[kept > 0]
    number = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return number[labels]


def _scaled(box: Box, resampling: Resampling) -> Box:
    """Return the box in the network's pixels, widened by what interpolation reads."""
    return tuple(
        slice(
            math.floor((part.start - 1) * axis.n_out / axis.n_in) - 1,
            math.ceil((part.stop + 1) * axis.n_out / axis.n_in) + 1,
        )
        for part, axis in zip(box, resampling, strict=True)
    )


def tiles_first(tiles: tuple[Tile, ...], box: Box) -> tuple[Tile, ...]:
    """Return the tiles with those that meet `box` first, else in their order."""
    return tuple(sorted(tiles, key=lambda tile: not meets(tile.write, box)))
