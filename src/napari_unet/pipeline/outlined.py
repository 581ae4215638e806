"""Outlined: a run that counts by an outline; what lies outside of it is background.

An outline is no matter of the network, of tiles or of the watershed: wherever
probabilities of the image's pixels come to be kept, those outside become 0 in all
channels, as they are outside of a region. Nobody after that needs to know.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.outline import Outline, Plane, make_outline, shared
from napari_unet.core.tiling import Grid
from napari_unet.errors import SettingsError
from napari_unet.pipeline.region import Box, Region

if TYPE_CHECKING:
    from napari_unet.pipeline.plan import Plan

Array = npt.NDArray[Any]


def parse_outline(given: Any, shape: tuple[int, ...]) -> Outline | None:
    """Return the outline that was given, if one was.

    Parameters
    ----------
    given
        As for `napari_unet.core.outline.make_outline`, or None.
    shape
        Pixels of the image along Y and X.

    Raises
    ------
    SettingsError
        If it is none, or holds no pixel of the image.
    """
    if given is None:
        return None
    outline, (n_rows, n_columns) = make_outline(given), shape
    if not outline.meets(shared(outline.box, (slice(0, n_rows), slice(0, n_columns)))):
        raise SettingsError(
            "The outline holds no pixel of the image.",
            f"Give points (y, x) within its {n_rows} x {n_columns} pixels.",
        )
    return outline


def within(region: Region, outline: Outline | None) -> Region:
    """Return the part of a region that the outline can hold: no tile beyond it counts.

    Raises
    ------
    SettingsError
        If the outline lies beside the region.
    """
    if outline is None:
        return region
    plane = shared(_plane(region.box), outline.box)
    if not outline.meets(plane):
        raise SettingsError(
            "The outline and the region have no pixel in common.",
            "Leave Y and X out of the region, or choose one that meets the outline.",
        )
    return dataclasses.replace(region, box=(*region.box[:-2], *plane), is_whole=False)


def tiles_within(plan: Plan, grid: Grid) -> Grid:
    """Return a grid of a plan without the tiles that lie outside of its outline.

    Where the image is scaled, tiles are of other pixels, and all stay.
    """
    outline = plan.outline
    if outline is None or plan.resampling is not None:
        return grid
    tiles = [tile for tile in grid.tiles if outline.meets(_plane(tile.write))]
    return dataclasses.replace(grid, tiles=tuple(tiles))


def _plane(box: Box) -> Plane:
    rows, columns = box[-2:]
    return rows, columns


def kept_by(plan: Plan, probabilities: Array, origin: tuple[int, ...]) -> Any:
    """Return where the probabilities of the image's pixels are written to.

    Parameters
    ----------
    plan
        Of the run.
    probabilities
        (C, [Z,] Y, X), which keeps what is written; 0 so far.
    origin
        Its first pixel, in the image.

    Returns
    -------
    numpy.ndarray or Outlined
        The array itself, if there is no outline.
    """
    if plan.outline is None:
        return probabilities
    return Outlined(probabilities, plan.outline, origin[-2:])


@dataclass(frozen=True, eq=False)
class Outlined:
    """An array that is written to as any other, and keeps what lies inside.

    Parameters
    ----------
    values
        (C, [Z,] Y, X).
    outline
        In the image's pixels.
    origin
        First pixel of `values` along Y and X.
    """

    values: Array
    outline: Outline
    origin: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the array."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def __setitem__(self, key: Any, found: Array) -> None:
        """Write to slices, C first, or to all of it."""
        given = () if key is Ellipsis else key
        beyond = self.values.ndim - len(given)
        rows, columns = (*given, *(slice(None),) * beyond)[-2:]
        inside = self.outline.inside((self._part(rows, 0), self._part(columns, 1)))
        self.values[key] = np.where(inside, found, found.dtype.type(0))

    def _part(self, side: slice, axis: int) -> slice:
        """Return a slice along Y or X in the image's pixels."""
        start, stop, _ = side.indices(self.values.shape[axis - 2])
        first = self.origin[axis]
        return slice(first + start, first + stop)
