"""Camera: bring an object into the middle of the view, large enough to judge."""

from __future__ import annotations

from typing import Any

import numpy as np

# The object fills this part of the canvas, so that its neighbours are seen too.
SHARE = 0.25
# Canvas pixels where no canvas has been drawn.
CANVAS = (600, 800)


def look_at(
    viewer: Any, layer: Any, places: tuple[Any, ...], *, share: float = SHARE
) -> None:
    """Move sliders and camera to some pixels of a layer.

    Parameters
    ----------
    viewer
        napari's.
    layer
        Labels or image.
    places
        Indices of pixels, one array (or slice's ends) per axis of the layer, not empty.
    share
        Part of the canvas that they fill.
    """
    low = np.array([np.min(axis) for axis in places], float)
    high = np.array([np.max(axis) for axis in places], float)
    beyond = viewer.dims.ndim - layer.ndim
    middle = np.asarray(layer.data_to_world((low + high) / 2))
    # The middle of a bent object may lie beside it in depth; a plane of it does not.
    nearest = np.asarray(layer.data_to_world(_nearest(places, (low + high) / 2)))
    there = np.rint(layer.world_to_data(nearest))
    for axis in range(layer.ndim):
        if axis + beyond in viewer.dims.displayed:
            continue
        # A pixel may be wider than a slider's step, as one over all channels is.
        point = np.asarray(viewer.dims.point)[beyond:]
        if np.rint(layer.world_to_data(point))[axis] != there[axis]:
            viewer.dims.set_point(axis + beyond, nearest[axis])
    corners = [layer.data_to_world(point) for point in (low - 0.5, high + 0.5)]
    size = np.abs(np.asarray(corners[1]) - np.asarray(corners[0]))
    shown = [axis - beyond for axis in viewer.dims.displayed if axis >= beyond]
    camera = viewer.scene.camera
    camera.center = _three(middle[shown])
    height, width = _canvas(viewer)
    spans = [max(float(size[axis]), 1e-9) for axis in shown[-2:]]
    camera.zoom = share * min(height / spans[0], width / spans[1])


def _nearest(places: tuple[Any, ...], middle: Any) -> Any:
    """Return the pixel that is nearest to `middle`."""
    points = np.stack([np.atleast_1d(axis) for axis in places], axis=1)
    return points[np.argmin(((points - middle) ** 2).sum(axis=1))]


def _three(point: Any) -> tuple[float, float, float]:
    padded = [0.0, 0.0, 0.0, *map(float, point)]
    return padded[-3], padded[-2], padded[-1]


def _canvas(viewer: Any) -> tuple[float, float]:
    height, width = viewer.canvas.size
    return (height, width) if min(height, width) > 1 else CANVAS
