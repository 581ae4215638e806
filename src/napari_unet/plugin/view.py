"""View: what of an image is looked at, as a region by axis letters."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import SettingsError
from napari_unet.plugin.outlines import selected_outline, selected_outlines

if TYPE_CHECKING:
    from napari.layers import Image

Spans = dict[str, int | tuple[int, int]]

EVERYTHING, VISIBLE = "Everything", "Visible part"
SHAPE, CURRENT = "Selected shape", "Current slice or frame"
CHOICES = (EVERYTHING, VISIBLE, SHAPE, CURRENT)


def region_of(
    choice: str, viewer: Any, layer: Image, axes: str, *, is_3d: bool = False
) -> Spans | None:
    """Return the region that a user's choice means now; None: all.

    Parameters
    ----------
    choice
        One of `CHOICES`.
    viewer, layer
        Where it is looked at.
    axes
        Of the layer, one letter per array axis.
    is_3d
        Whether the model sees volumes: the current one then, not a plane of it.

    Raises
    ------
    SettingsError
        If no shape is selected, or it lies beside the image.
    """
    if choice == EVERYTHING:
        return None
    if choice == CURRENT:
        at = current_position(viewer, layer, axes)
        return {a: i for a, i in at.items() if not (is_3d and a in "ZYX")} or None
    if choice == SHAPE:
        return _shape_region(viewer, layer, axes)
    return visible_region(viewer, layer, axes)


def chosen_part(
    choice: str, viewer: Any, layer: Image, axes: str, *, is_3d: bool = False
) -> dict[str, Any]:
    """Return the pipeline's options that say what is segmented: region and outline.

    Parameters and errors are those of `region_of`; a shape that surrounds nothing is
    refused, too.
    """
    region = region_of(choice, viewer, layer, axes, is_3d=is_3d)
    is_shape = choice == SHAPE
    outline = selected_outline(viewer, layer, axes) if is_shape else None
    return {"region": region, "outline": outline}


def part_or_hint(
    find: Callable[[], dict[str, Any]], axes: str
) -> tuple[dict[str, Any], str]:
    """Return the part; of a shape that is still to be drawn, a pixel and what to do.

    Nothing tells when it is drawn, so that Run stays enabled, and says it again.
    """
    try:
        return find(), ""
    except SettingsError as error:
        return {"region": {axis: (0, 1) for axis in axes if axis in "YX"}}, str(error)


def current_position(viewer: Any, layer: Image, axes: str) -> Spans:
    """Return the indices of the layer along the axes that have a slider."""
    displayed = _displayed_axes(viewer, layer)
    at = np.asarray(layer.world_to_data(_point(viewer, layer)))
    found: Spans = {}
    for index, axis in enumerate(axes[: layer.ndim]):
        if index not in displayed and axis != "C":
            n = _level0_shape(layer)[index]
            found[axis] = int(np.clip(np.rint(at[index]), 0, n - 1))
    return found


def visible_region(viewer: Any, layer: Image, axes: str) -> Spans:
    """Return the current position, and the part of the plane that is on screen."""
    found = current_position(viewer, layer, axes)
    displayed = _displayed_axes(viewer, layer)
    if len(displayed) != 2:
        return found
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level]
    for index in displayed:
        n = _level0_shape(layer)[index]
        start, stop = int(corners[0, index]), int(np.ceil(corners[1, index])) + 1
        start, stop = max(0, start), min(n, stop)
        # A canvas that was never drawn knows no corners: all is taken as visible.
        if stop - start > 1:
            found[axes[index]] = (start, stop)
    return found


def _shape_region(viewer: Any, layer: Image, axes: str) -> Spans:
    """Return the box around the selected shapes, at the current position."""
    points = selected_outlines(viewer, layer)
    low = np.min([p.min(axis=0) for p in points], axis=0)
    high = np.max([p.max(axis=0) for p in points], axis=0)
    found = current_position(viewer, layer, axes)
    for index in _displayed_axes(viewer, layer):
        n = _level0_shape(layer)[index]
        start, stop = max(0, int(np.floor(low[index]))), int(np.ceil(high[index])) + 1
        if start >= n or stop <= 0:
            raise SettingsError(
                f"The selected shape lies beside {layer.name}.",
                "Select one that lies on it, or choose another region.",
            )
        found[axes[index]] = (start, min(n, stop))
    return found


def _displayed_axes(viewer: Any, layer: Image) -> list[int]:
    """Return the layer's axes that lie in the plane (or volume) on screen."""
    beyond = viewer.dims.ndim - layer.ndim
    return sorted(i - beyond for i in viewer.dims.displayed if i >= beyond)


def _point(viewer: Any, layer: Image) -> Any:
    point = np.zeros(max(layer.ndim, viewer.dims.ndim))
    point[-viewer.dims.ndim :] = viewer.dims.point
    return point[-layer.ndim :]


def _level0_shape(layer: Image) -> tuple[int, ...]:
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(data.shape)


def contains(region: Spans, other: Spans) -> bool:
    """Return whether `region` holds all of `other`, for the axes that both name."""
    pairs = ((_span(region[a]), _span(other[a])) for a in region.keys() & other.keys())
    return all(one[0] <= two[0] and two[1] <= one[1] for one, two in pairs)


def _span(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value + 1) if isinstance(value, int) else value


def words(region: Spans | None) -> str:
    """Return a region in words, such as ``"T 3, Y 0-512"``."""
    if not region:
        return "everything"
    parts = itertools.starmap(_word, region.items())
    return ", ".join(parts)


def _word(axis: str, value: int | tuple[int, int]) -> str:
    return (
        f"{axis} {value}" if isinstance(value, int) else f"{axis} {value[0]}-{value[1]}"
    )
