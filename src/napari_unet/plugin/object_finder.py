"""Object finder: brings an object of a labels layer into view.

Its pixels are looked for aside: the layer may be lazy, or a large volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.camera import look_at
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.layers import full_pixels, onto_layer, pixels_like

if TYPE_CHECKING:
    from napari_unet.core.object_errors import Side
    from napari_unet.engine.by_sample import Position
    from napari_unet.plugin.error_view import ErrorView


class ObjectFinder(QObject):
    """Moves the camera to one object after the other; only the last one counts.

    `shown` says that it is in view, `failed` why its pixels cannot be read.
    """

    shown = Signal()
    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Any = None
        self._shape: tuple[int, ...] = ()
        self._job = Job(self)
        self._job.done.connect(self._on_found)
        self._job.failed.connect(self.failed)

    def show(self, view: ErrorView, side: Side, position: Position, label: int) -> None:
        """Look at an object of two layers that are compared.

        Parameters
        ----------
        view, side
            The layers, and in which of them it is.
        position
            Its sample along the leading axes.
        label
            Its number there; nothing happens if it is gone.
        """
        self._layer = layer = view.truth if side == "truth" else view.labels
        self._shape = shape = full_pixels(view.labels).shape
        pixels = pixels_like(layer, shape)

        def find() -> tuple[Any, ...]:
            places = np.nonzero(np.asarray(pixels[position]) == label)
            n = len(places[0])
            return (*(np.repeat(at, n) for at in position), *places)

        self._job.start(once(find))

    def cancel(self) -> None:
        """Forget what is looked for."""
        self._job.cancel()

    def _on_found(self, places: tuple[Any, ...]) -> None:
        if len(places[-1]) and self._layer in self._viewer.layers:
            here = onto_layer(self._layer, places, self._shape)
            look_at(self._viewer, self._layer, here)
            self.shown.emit()
