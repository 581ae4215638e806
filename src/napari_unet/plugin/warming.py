"""Warming: what is slow the first time, done aside while the user looks around."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.plugin.colours import table_of
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.preferences import read_preferences


class Warming(QObject):
    """Says `ready` when the preferences can be read at once.

    Parameters
    ----------
    layers
        Of the viewer.
    parent
        Owner.
    module
        Loaded, too, if it is named.
    """

    ready = Signal()

    def __init__(
        self, layers: Any, parent: QObject | None = None, module: str = ""
    ) -> None:
        super().__init__(parent)
        self._layers, self._module = layers, module
        self._preferences, self._labels = Job(self), Job(self)
        self._preferences.stopped.connect(self.ready)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._begin)

    def start(self) -> None:
        """Begin once the window has nothing else to do."""
        self._soon.start(0)

    def cancel(self) -> None:
        """Forget it; `ready` is not said any more, unless it is under way."""
        self._soon.stop()
        self._layers.events.inserted.disconnect(self._warm_labels)

    def _begin(self) -> None:
        # For the first of them napari reads the manifests of all plugins.
        self._preferences.start(once(read_preferences))
        if self._layers:
            self._warm_labels()
        else:
            # With the first layer of a session napari builds its table of units, and
            # two threads that build it at once break it.
            self._layers.events.inserted.connect(self._warm_labels)
            self._labels.start(once(self._load))

    def _warm_labels(self) -> None:
        self._layers.events.inserted.disconnect(self._warm_labels)
        self._labels.start(once(self._load_all))

    def _load(self) -> None:
        if self._module:
            importlib.import_module(self._module)

    def _load_all(self) -> None:
        self._load()
        warm_labels()


def warm_labels() -> None:
    """Load the kernels with which napari draws labels; they stay loaded.

    Not before there is a layer (see `Warming`).
    """
    from napari.layers import Labels

    small = np.ones((2, 2), np.int32)
    Labels(small)
    Labels(small, colormap=table_of().colormap())
