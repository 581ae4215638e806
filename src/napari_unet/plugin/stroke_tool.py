"""Stroke tool: a line drawn with the mouse over a labels layer, visible as it grows."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.hand_edits import KEY
from napari_unet.plugin.placement import placement

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes

NAME = "stroke"
COLOUR = "#ffe066"


class StrokeTool(QObject):
    """Turned on for one labels layer, it says `drawn` once for every line.

    `drawn` carries the points (n, ndim) in pixels of the layer, and the two axes of the
    plane on screen.
    """

    drawn = Signal(object, object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._ink: Shapes | None = None

    @property
    def is_on(self) -> bool:
        """Whether dragging draws a line."""
        return self._layer is not None

    def turn_on(self, layer: Labels) -> None:
        """Let dragging over a layer draw instead of moving the view."""
        self.turn_off()
        self._layer = layer
        # Before the ink: napari crashes when a brush was in hand as shapes were added
        # and all layers are removed later.
        layer.mode = "pan_zoom"
        self._ink = self._viewer.add_shapes(
            name=NAME,
            ndim=layer.ndim,
            edge_color=COLOUR,
            face_color="transparent",
            metadata={KEY: {"source": layer.name, "output": NAME}},
            **placement(layer, "." * layer.ndim),
        )
        self._viewer.layers.selection.active = layer
        layer.mouse_pan = False
        layer.mouse_drag_callbacks.append(self._draw)

    def turn_off(self) -> None:
        """Let dragging move the view again."""
        layer, ink = self._layer, self._ink
        self._layer = self._ink = None
        if layer is not None:
            if self._draw in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._draw)
            layer.mouse_pan = layer.mode == "pan_zoom"
        if ink is not None and ink in self._viewer.layers:
            self._viewer.layers.remove(ink)
            if layer in self._viewer.layers:
                self._viewer.layers.selection.active = layer

    def _draw(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        """Follow the mouse from press to release."""
        if event.button != 1 or len(event.dims_displayed) != 2:
            return
        points = [np.asarray(layer.world_to_data(event.position))]
        yield
        while event.type == "mouse_move":
            points.append(np.asarray(layer.world_to_data(event.position)))
            self._show(points)
            yield
        self._show([])
        plane = tuple(axis - _beyond(event, layer) for axis in event.dims_displayed)
        self.drawn.emit(np.stack(points), plane)

    def _show(self, points: list[Any]) -> None:
        if self._ink is None:
            return
        # Width is in pixels of the data, the line should be thin on the screen.
        shown = float(self._viewer.scene.camera.zoom * self._ink.scale[-1])
        width = 3 / max(shown, 1e-6)
        self._ink.data = []
        if len(points) > 1:
            self._ink.add_paths([np.stack(points)], edge_width=width)


def _beyond(event: Any, layer: Labels) -> int:
    """Return how many axes the viewer has before those of the layer."""
    return len(event.position) - int(layer.ndim)
