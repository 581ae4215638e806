"""Outline: polygons in the plane of Y and X, and the pixels that lie inside of them.

Corners are hundredths of a pixel, and what is compared are integers: a pixel is inside
or not, whatever part of the plane is asked for. The edges that cross a row are sorted,
and what lies between each two of them is inside. So the cost grows with the pixels and
with the length of the outline; testing each pixel against each edge, as skimage.draw
does, takes seconds for a megapixel.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import SettingsError

Plane = tuple[slice, slice]
Points = tuple[tuple[float, float], ...]
Corners = npt.NDArray[np.int64]

STEPS = 100  # of a pixel
# Beyond this products of coordinates would not fit into 64 bits.
LARGEST = 10**7
# Rows that are looked at together for the first pixel inside.
BAND = 256


@dataclass(frozen=True)
class Outline:
    """Polygons that are joined; a pixel is inside if its centre is in one of them.

    A centre on an edge is inside. Where a polygon crosses itself, what it surrounds
    twice is outside.

    Parameters
    ----------
    polygons
        Points (y, x) of each, in pixels, to two decimals; the last one is followed by
        the first. A pixel's centre is a whole number.
    """

    polygons: tuple[Points, ...]

    def inside(self, part: Plane) -> npt.NDArray[np.bool_]:
        """Return which pixels of a part of the plane lie inside; bool, (Y, X)."""
        mask = np.zeros(tuple(side.stop - side.start for side in part), np.bool_)
        for corners in self._corners:
            own = shared(part, _box(corners))
            pairs = zip(own, part, strict=True)
            at = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in pairs)
            if mask[at].size:
                mask[at] |= _filled(corners, own)
        return mask

    @property
    def box(self) -> Plane:
        """The smallest part of the plane that holds all of it, as pixels."""
        rows, columns = zip(*map(_box, self._corners), strict=True)
        return _around(rows), _around(columns)

    def meets(self, part: Plane) -> bool:
        """Return whether a pixel of a part of the plane lies inside."""
        rows, columns = part
        return any(self.inside((band, columns)).any() for band in _bands(rows))

    @functools.cached_property
    def _corners(self) -> list[Corners]:
        return [
            np.rint(np.multiply(points, STEPS)).astype(np.int64)
            for points in self.polygons
        ]


def make_outline(given: Any) -> Outline:
    """Return the outline of one polygon, or of several.

    Parameters
    ----------
    given
        Points (y, x) in pixels, at least three; or a sequence of such polygons.

    Raises
    ------
    SettingsError
        If it is none.
    """
    try:
        several = given if np.ndim(given[0]) > 1 else [given]
        return Outline(tuple(map(_points, several)))
    except (TypeError, ValueError, IndexError, KeyError):
        raise SettingsError(
            "The outline is not made of points (y, x).",
            "Give one polygon, or a list of several, each a list of points in pixels.",
        ) from None


def as_lists(outline: Outline | None) -> list[list[list[float]]] | None:
    """Return the polygons as plain lists, as JSON has them."""
    if outline is None:
        return None
    return [[list(point) for point in polygon] for polygon in outline.polygons]


def shared(one: Plane, other: Plane) -> Plane:
    """Return what two parts of the plane have in common, which may be nothing."""
    rows, columns = map(_both, one, other)
    return rows, columns


def _both(one: slice, other: slice) -> slice:
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


def _points(polygon: Sequence[Any]) -> Points:
    """Return the points of a polygon, rounded."""
    points = np.asarray(polygon, np.float64)
    if points.shape != (len(points), 2):
        raise ValueError(points.shape)
    if len(points) < 3:
        raise SettingsError(
            f"An outline of {len(points)} points encloses nothing.",
            "Give at least 3 points for each polygon.",
        )
    if not (np.abs(points) <= LARGEST).all():  # nor NaN
        raise SettingsError(
            "The outline has a point that is no place in an image.",
            f"Give numbers of pixels up to {LARGEST:,}.",
        )
    return tuple((round(y, 2), round(x, 2)) for y, x in points.tolist())


def _box(corners: Corners) -> Plane:
    """Return the box around the pixels that a polygon may hold."""
    low = _at_or_after(corners.min(axis=0), STEPS)
    high = _after(corners.max(axis=0), STEPS)
    y, x = zip(low.tolist(), high.tolist(), strict=True)
    return slice(*y), slice(*x)


def _around(sides: Sequence[slice]) -> slice:
    return slice(min(s.start for s in sides), max(s.stop for s in sides))


def _bands(rows: slice) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, BAND):
        yield slice(start, min(start + BAND, rows.stop))


def _at_or_after(value: Any, unit: Any) -> Any:
    """Return the first whole number from a fraction on."""
    return -(-value // unit)


def _after(value: Any, unit: Any) -> Any:
    """Return the first whole number beyond a fraction."""
    return value // unit + 1


def _filled(corners: Corners, part: Plane) -> npt.NDArray[np.bool_]:
    """Return which pixels of a part of the plane lie in a polygon."""
    rows, columns = part
    shape = rows.stop - rows.start, columns.stop - columns.start
    change = np.zeros((shape[0], shape[1] + 1), np.int8)
    # What is inside just below each row, and just above it: with both, every edge is.
    for first_row in (_at_or_after, _after):
        row, numerator, denominator = _crossings(corners, rows, first_row)
        order = np.lexsort((numerator / denominator, row))
        for side, first_column, sign in ((0, _at_or_after, 1), (1, _after, -1)):
            at = order[side::2]
            column = first_column(numerator[at], denominator[at]) - columns.start
            place = row[at] - rows.start, column.clip(0, shape[1])
            np.add.at(change, place, np.int8(sign))
    return np.cumsum(change, axis=1, out=change)[:, :-1] > 0


def _crossings(
    corners: Corners, rows: slice, first_row: Any
) -> tuple[Corners, Corners, Corners]:
    """Return where edges cross rows: the row, and its column as a fraction.

    Parameters
    ----------
    corners
        Of a polygon.
    rows
        Of the plane.
    first_row
        Corner, steps -> the first row that is taken to lie beyond it.
    """
    ends = np.stack([corners, np.roll(corners, -1, axis=0)])
    is_downward = (ends[0, :, 0] <= ends[1, :, 0])[:, None]
    ends = np.where(is_downward, ends, ends[::-1])
    (y, x), (y_end, x_end) = ends[0].T, ends[1].T
    first = np.maximum(first_row(y, STEPS), rows.start)
    count = np.maximum(np.minimum(first_row(y_end, STEPS), rows.stop) - first, 0)
    edge = np.repeat(np.arange(len(y)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    row += first[edge]
    height, width = (y_end - y)[edge], (x_end - x)[edge]
    numerator = x[edge] * height + (STEPS * row - y[edge]) * width
    return row, numerator, STEPS * height
