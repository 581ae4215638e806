"""Evaluate run: one look at a labels layer, sample by sample on the worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.labels_watch import fingerprint
from napari_unet.plugin.layers import full_pixels

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.client import Engine

Look = Generator[int | None, None, Any]


class EvaluateRun(EngineJob):
    """A job on a labels layer, such as to score or to measure it.

    `done` carries the `fingerprint` of the labels that were looked at, and the result;
    `progress` samples done and all.
    """

    progress = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._n_samples = 0
        self.event.connect(self._on_sample)

    def start_look(
        self, engine: Engine, labels: Labels, n_leading: int, look: Callable[[], Look]
    ) -> None:
        """Look at labels, in another thread.

        Parameters
        ----------
        engine
            Where it is done; the caller has borrowed it.
        labels
            The layer.
        n_leading
            Leading axes that count samples.
        look
            Returns a generator that yields samples done, or None.
        """
        pixels = full_pixels(labels)
        self._n_samples = math.prod(pixels.shape[:n_leading])

        def make() -> Generator[int | None, None, tuple[int, Any]]:
            # Of before: what changes meanwhile is looked at again.
            seen = fingerprint(pixels)
            found = yield from look()
            return seen, found

        self.start_on(engine, make)

    def _on_sample(self, n_done: Any) -> None:
        if n_done is not None:
            self.progress.emit(n_done, self._n_samples)
