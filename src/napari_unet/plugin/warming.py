"""Warming: what is slow the first time, done aside while the user looks around."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.colours import table_of
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.preferences import read_preferences


class Warming(QObject):
    """Says `ready` when the preferences can be read at once."""

    ready = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._preferences, self._labels = Job(self), Job(self)
        self._preferences.stopped.connect(self.ready)

    def start(self) -> None:
        """Begin."""
        # For the first of them napari reads the manifests of all plugins.
        self._preferences.start(once(read_preferences))
        self._labels.start(once(warm_labels))


def warm_labels() -> None:
    """Load the kernels with which napari draws labels; they stay loaded."""
    from napari.layers import Labels

    small = np.ones((2, 2), np.int32)
    Labels(small)
    Labels(small, colormap=table_of().colormap())
