"""Labels watch: whether labels are others than before, whoever changed them and how.

An undo by key, or a run that writes in place, only makes the layer draw itself again,
and so does a change of colours. So the pixels themselves are asked.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.plugin.job import Job, once
from napari_unet.plugin.layers import full_pixels

# A stroke of the brush is many changes; they count when the hand rests.
REST_MS = 250


class LabelsWatch(QObject):
    """Says `changed` when the pixels of a layer are others than those known."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer: Any = None
        self._known: int | None = None
        self._job = Job(self)
        self._job.done.connect(self._on_print)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._on_rest)

    @property
    def is_busy(self) -> bool:
        """Whether it may still say something."""
        return self._rest.isActive() or self._job.is_running

    def follow(self, layer: Any) -> None:
        """Watch another layer; None: no one."""
        self._rest.stop()
        self._job.cancel()
        self._known = None
        if self._layer is not None:
            for event in _events(self._layer):
                event.disconnect(self.look_soon)
        self._layer = layer
        if layer is not None:
            for event in _events(layer):
                event.connect(self.look_soon)

    def know(self, found: int) -> None:
        """Take these pixels, by their `fingerprint`, as known; look for later ones.

        While nothing was known no change was followed.
        """
        self._known = found
        self.look_soon()

    def look_soon(self, _: Any = None) -> None:
        """Look at the pixels when no change has come for a moment."""
        if self._known is not None:
            self._rest.start()

    def _on_rest(self) -> None:
        layer = self._layer
        if layer is not None:
            self._job.start(once(lambda: fingerprint(full_pixels(layer))))

    def _on_print(self, found: int) -> None:
        if found != self._known:
            self._known = found
            self.changed.emit()


def _events(layer: Any) -> tuple[Any, Any]:
    return layer.events.paint, layer.events.set_data


def fingerprint(data: Any) -> int:
    """Return a number that changes when pixels do; 0 for what is not in memory."""
    if not isinstance(data, np.ndarray):
        return 0
    found = 0
    for part in data[None] if data.ndim < 3 else data:
        found = zlib.crc32(np.ascontiguousarray(part).data, found)
    return found
