"""Weights view: how much each pixel counts in the loss, as a layer that follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.engine.training import weight_map
from napari_unet.engine.training_order import TrainingOrder
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.layers import KEY, find_output, output_name, put_layer
from napari_unet.plugin.view import current_position

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_unet.engine.client import Engine

WEIGHTS = "border weights"


@dataclass(frozen=True)
class _Place:
    """Which layer the weights lie on, and in which frame."""

    source: Any
    axes: str
    frame: int | None


class WeightsView(QObject):
    """Computes on the worker, the last settings first; shows an image layer.

    `shown` carries the layer, `failed` why there is none.
    """

    shown = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._place: _Place | None = None
        self._job = EngineJob(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self.failed)

    def show(self, engine: Engine, order: TrainingOrder, source: Image) -> None:
        """Show the weights of the first image of an order, of a series the frame shown.

        Parameters
        ----------
        engine
            The way to the worker.
        order
            Its labels, loss and pixel size count.
        source
            Layer of that image.
        """
        given = order.layers[0]
        at = current_position(self._viewer, source, given.axes).get("T")
        frame = at if isinstance(at, int) else (0 if "T" in given.axes else None)
        axes = given.axes.replace("C", "")
        labels = given.labels
        if frame is not None:
            labels = labels.take(frame, axes.index("T"))
        plain = axes.replace("T", "") if frame is not None else axes
        blank = np.zeros(labels.shape, np.uint8)  # intensities do not matter
        one = replace(given, image=blank, axes=plain, labels=labels)
        self._place = _Place(source, given.axes, frame)
        asked = replace(order, layers=(one,), planes=False)
        self._job.start_on(engine, once(lambda: weight_map(engine, asked)))

    def hide(self) -> None:
        """Take the layer away."""
        self._job.cancel()
        if self._place is not None:
            source = self._place.source
            layer = find_output(self._viewer.layers, source, WEIGHTS)
            if layer is not None:
                self._viewer.layers.remove(layer)

    def _on_done(self, weights: Any) -> None:
        place = self._place
        if place is None or place.source not in self._viewer.layers:
            return
        active = self._viewer.layers.selection.active
        layer = put_layer(
            self._viewer,
            "image",
            self._on_series(weights, place),
            source=place.source,
            name=output_name(place.source.name, WEIGHTS),
            colormap="inferno",
            blending="additive",
            opacity=0.8,
            metadata={KEY: {"output": WEIGHTS}},
            axes=place.axes,
        )
        layer.contrast_limits = (0.0, max(1.0, float(weights.max(initial=0))))
        self._viewer.layers.selection.active = active
        self.shown.emit(layer)

    def _on_series(self, weights: Any, place: _Place) -> Any:
        """Return the weights of a frame as part of the whole series."""
        if place.frame is None:
            return weights
        axes = place.axes.replace("C", "")
        at = axes.index("T")
        data = place.source.data
        sizes = dict(zip(place.axes, data.shape, strict=True))
        whole = np.zeros([sizes[axis] for axis in axes], np.float32)
        whole[(slice(None),) * at + (place.frame,)] = weights
        return whole
