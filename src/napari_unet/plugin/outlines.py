"""Outlines: shapes as polygons in the pixels of an image, and what a user selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.outline import as_lists
from napari_unet.errors import SettingsError
from napari_unet.pipeline.outlined import parse_outline
from napari_unet.plugin.layers import finest

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

Points = npt.NDArray[np.float64]
Polygons = list[list[list[float]]]

# Points of the polygon that an ellipse is taken for.
N_CORNERS = 64
# An outline lies in a plane of Y and X; turned layers are off it by rounding.
FLAT = 0.5


def outline_in(layer: Image | Labels, shapes: Shapes, index: int) -> Points:
    """Return a shape as points (n, layer.ndim) in the pixels of a layer.

    Parameters
    ----------
    layer
        Says where its pixels lie.
    shapes, index
        The shape. Of axes that its layer lacks, the points are at 0.
    """
    corners = np.atleast_2d(np.asarray(shapes.data[index], np.float64))
    if shapes.shape_type[index] == "ellipse":
        corners = _ellipse(corners)
    # napari maps one point at a time, but what it does is affine: few tell the rest.
    n = corners.shape[1]
    first, *others = [_moved(point, shapes, layer) for point in np.eye(n + 1, n, -1)]
    moved: Points = first + corners @ (np.asarray(others) - first)
    return moved.round(6)  # a whole number stays one


def selected_outlines(viewer: Any, layer: Image) -> list[Points]:
    """Return all shapes that are selected, as `outline_in`.

    Raises
    ------
    SettingsError
        If none is.
    """
    found = [outline_in(layer, *chosen) for chosen in _selected(viewer)]
    if not found:
        raise SettingsError(
            "No shape is selected.",
            "Draw one in a Shapes layer and select it, or choose another region.",
        )
    return found


def selected_outline(viewer: Any, layer: Image, axes: str) -> Polygons | None:
    """Return what is selected as an outline in Y and X, as in `Options`.

    Parameters
    ----------
    viewer, layer
        Where it was drawn.
    axes
        Of the layer, one letter per array axis.

    Returns
    -------
    list or None
        None, if it is one box along the axes: then there is nothing beside it.

    Raises
    ------
    SettingsError
        If nothing is selected, or what is selected surrounds no pixel of a plane.
    """
    found = selected_outlines(viewer, layer)
    if len(found) == 1 and _is_box(found[0]):
        return None
    plane = [axes.index(axis) for axis in "YX"]
    others = [i for i in range(layer.ndim) if i not in plane]
    if any((np.ptp(points[:, others], axis=0) > FLAT).any() for points in found):
        raise SettingsError(
            "The selected shape does not lie in a plane of Y and X.",
            "Draw it where these are on screen, or select a rectangle.",
        )
    sizes = finest(layer).shape
    shape = sizes[plane[0]], sizes[plane[1]]
    return as_lists(parse_outline([points[:, plane] for points in found], shape))


def _selected(viewer: Any) -> list[tuple[Any, int]]:
    """Return layer and number of each shape that is selected."""
    from napari.layers import Shapes

    return [
        (shapes, index)
        for shapes in viewer.layers
        if isinstance(shapes, Shapes)
        for index in sorted(shapes.selected_data)
    ]


def _is_box(points: Points) -> bool:
    """Return whether four points are the corners of a box along the axes."""
    ends = np.stack([points.min(axis=0), points.max(axis=0)])
    at_ends = np.isclose(points[:, None], ends).any(axis=1).all()
    return len(points) == 4 and bool(at_ends)


def _moved(point: Any, shapes: Shapes, layer: Any) -> Any:
    """Return where a point of a shapes layer lies in the pixels of a layer."""
    world = np.asarray(shapes.data_to_world(point))
    padded = np.zeros(max(layer.ndim, len(world)))
    padded[-len(world) :] = world
    return np.asarray(layer.world_to_data(padded[-layer.ndim :]))


def _ellipse(corners: Points) -> Points:
    """Return points of the ellipse in a rectangle given by its four corners."""
    middle = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, N_CORNERS, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(angles) * one + np.sin(angles) * other)
