"""Training targets from instance labels: classes and distances a network can learn.

A network gives one value per pixel and class, not one id per cell, so the ids must be
turned into classes that keep touching cells apart. Each target is one small function;
all take labels with 0 = background and negative = not annotated, in 2-D or 3-D.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.components import compiled
from napari_unet.core.nearest_cells import as_cell_ids, nearest_two
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Classes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.int32]

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2
IGNORED = 255
"""Class of pixels that are not annotated; give it to the loss as its ignore index."""

BOUNDARY_WIDTH = 4.0
_ROUNDING = 1e-6


def carve_gap(labels: ArrayLike, connectivity: int | None = None) -> NDArray[Any]:
    """Open a gap of one pixel between cells that touch.

    In the array's order, a pixel becomes background when one of its neighbours before
    it belongs to another cell and was not cut itself. Of two neighbouring pixels of
    different cells one is always before the other, so afterwards no two cells are
    neighbours. The gap is cut from the cell that comes later: it is not symmetric, and
    a cell one pixel wide can vanish. (Falk et al. 2019 compare with the labels before
    any cut, which makes the gap two pixels wide along some edges.)

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D; negative pixels are kept and are no cells.
    connectivity
        Which pixels are neighbours: 1 faces, 2 also edges, 3 also corners. None: all
        (8 in 2-D, 26 in 3-D), as in the paper.

    Returns
    -------
    carved
        The shape, dtype and ids of `labels`.

    Raises
    ------
    AxesError
        Labels that are not 2-D or 3-D integers.
    SettingsError
        A connectivity that the labels' dimensions do not have.
    """
    ids = as_cell_ids(labels)
    padded = np.pad(ids, 1)
    steps = np.abs(padded.strides) // padded.itemsize
    back = [-int(np.dot(o, steps)) for o in _causal_half(ids.ndim, connectivity)]
    _carve(padded.ravel(), np.array(back, np.int64))
    kept = padded[(slice(1, -1),) * ids.ndim] == ids
    return np.where(kept, labels, np.zeros((), np.asarray(labels).dtype))


def two_class(labels: ArrayLike, connectivity: int | None = None) -> Classes:
    """Background 0 and interior 1 of cells set apart by `carve_gap`; ignored 255.

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D.
    connectivity
        As in `carve_gap`.

    Returns
    -------
    classes
        uint8, the shape of `labels`. Interiors of different cells are never neighbours.

    Raises
    ------
    AxesError, SettingsError
        As in `carve_gap`.
    """
    carved = carve_gap(labels, connectivity)
    return _ignore(
        np.where(carved > 0, np.uint8(INTERIOR), np.uint8(BACKGROUND)), carved
    )


def three_class(
    labels: ArrayLike,
    boundary_width: float = BOUNDARY_WIDTH,
    *,
    spacing: float | Sequence[float] | None = None,
) -> Classes:
    """Background 0, interior 1, boundary between neighbouring cells 2; ignored 255.

    A pixel is boundary when the distances from its centre to the nearest pixels of the
    two nearest cells, 0 for the cell it lies in, sum to at most `boundary_width`. So a
    band runs along cells that touch, `boundary_width` pixels into each of them; cells
    with a gap of g pixels are joined by a band over the gap and ``boundary_width - g``
    pixels into each, if ``g + 1 <= boundary_width``. A cell without a near neighbour
    has no boundary.

    Every cell keeps an interior core: within a cell the width is at most half of the
    largest distance that any of its pixels has to another cell. So at least the pixels
    farthest from other cells stay interior, however thin the cell.

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D.
    boundary_width
        Width as above, in pixels, or in the unit of `spacing`.
    spacing
        Pixel size, one number or one per axis. None: distances in pixels.

    Returns
    -------
    classes
        uint8, the shape of `labels`.

    Raises
    ------
    AxesError
        Labels that are not 2-D or 3-D integers; spacing of the wrong length.
    SettingsError
        A width or spacing that is not positive.
    """
    if not (np.isfinite(boundary_width) and boundary_width > 0):
        raise SettingsError(
            f"boundary_width = {boundary_width!r} is not accepted: it is a distance.",
            "Give a positive number of pixels.",
        )
    ids = as_cell_ids(labels)
    width = np.float32(boundary_width * (1 + _ROUNDING))
    # Beyond twice the width it no longer matters how far a cell's core is from others.
    d1, d2 = nearest_two(ids, spacing=spacing, max_distance=2 * float(width))
    widths = np.minimum(width, _largest_per_cell(ids, d2) / 2)
    widths[0] = width
    boundary = d1 + d2 <= widths[np.maximum(ids, 0)]
    classes = np.where(ids > 0, np.uint8(INTERIOR), np.uint8(BACKGROUND))
    return _ignore(np.where(boundary, np.uint8(BOUNDARY), classes), ids)


def distance_target(
    labels: ArrayLike, *, spacing: float | Sequence[float] | None = None
) -> Floats:
    """Depth in the own cell divided by the cell's largest depth: 0 outside, 1 inmost.

    The depth is the distance to the nearest pixel that is not of the same cell, be it
    background, another cell or not annotated; what lies beyond the image is unknown and
    does not count (target 1 of KIT-GE, Scherr et al. 2020).

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D.
    spacing
        Pixel size, one number or one per axis. None: distances in pixels.

    Returns
    -------
    distance
        float32 in 0..1, the shape of `labels`; NaN where not annotated. Mask with
        ``np.isfinite`` before computing a loss: NaN times a weight of 0 is NaN.

    Raises
    ------
    AxesError
        Labels that are not 2-D or 3-D integers; spacing of the wrong length.
    SettingsError
        A spacing that is not positive.
    """
    ids = as_cell_ids(labels)
    # All that is no cell, taken as one more cell, makes d2 the depth.
    outside = np.int32(ids.max(initial=0) + 1)
    _, depth = nearest_two(np.where(ids > 0, ids, outside), spacing=spacing)
    depth[np.isinf(depth)] = 1.0  # one cell fills the image
    largest = _largest_per_cell(ids, depth)
    largest[0] = np.inf
    distance = depth / largest[np.maximum(ids, 0)]
    distance[ids < 0] = np.nan
    return distance


def _causal_half(ndim: int, connectivity: int | None) -> list[tuple[int, ...]]:
    """Offsets of the neighbours that come before a pixel in the array's order."""
    reach = ndim if connectivity is None else connectivity
    if reach not in range(1, ndim + 1):
        raise SettingsError(
            f"connectivity = {connectivity!r} is not accepted for {ndim}-D labels.",
            f"Give 1 (faces) to {ndim} (all neighbours).",
        )
    origin = (0,) * ndim
    offsets = product((-1, 0, 1), repeat=ndim)
    return [o for o in offsets if o < origin and sum(map(abs, o)) <= reach]


@compiled
def _carve(flat: Ids, back: NDArray[np.int64]) -> None:
    """Cut, in place and in order, pixels with another cell `back` positions before.

    `flat` is padded with background, so every cell pixel has all its neighbours.
    """
    for i in range(flat.size):
        if flat[i] > 0:
            for step in back:
                if flat[i - step] > 0 and flat[i - step] != flat[i]:
                    flat[i] = 0
                    break


def _largest_per_cell(ids: Ids, values: Floats) -> Floats:
    """Largest value of each cell, indexed by id; entry 0 is for what is no cell."""
    largest = np.zeros(int(ids.max(initial=0)) + 1, np.float32)
    np.maximum.at(largest, np.maximum(ids, 0).ravel(), values.ravel())
    return largest


def _ignore(classes: Classes, ids: NDArray[Any]) -> Classes:
    """Mark the pixels that are not annotated."""
    classes[ids < 0] = IGNORED
    return classes
