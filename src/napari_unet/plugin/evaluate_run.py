"""Evaluate run: scoring and measuring on the worker, followed by signals."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.labels_watch import fingerprint
from napari_unet.plugin.layers import full_pixels
from napari_unet.plugin.measuring import measure_layer
from napari_unet.plugin.scoring import Findings, iter_findings

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.core.measure import Table
    from napari_unet.engine.client import Engine


class EvaluateRun(QObject):
    """One scoring and one measuring at a time.

    `scored` and `measured` carry the `fingerprint` of the labels that were looked at,
    and `Findings` or a table; `progress` samples scored and all; `stopped` says that a
    scoring has ended, after `cancel` too.
    """

    progress = Signal(int, int)
    scored = Signal(object)
    measured = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._n_samples = 0
        self._score, self._measure = EngineJob(self), EngineJob(self)
        self._score.event.connect(self._on_event)
        self._score.done.connect(self.scored)
        self._score.stopped.connect(self.stopped)
        self._measure.done.connect(self.measured)
        for job in (self._score, self._measure):
            job.failed.connect(self.failed)

    @property
    def is_scoring(self) -> bool:
        """Whether labels are being scored."""
        return self._score.is_running

    @property
    def is_measuring(self) -> bool:
        """Whether labels are being measured."""
        return self._measure.is_running

    def score(self, engine: Engine, labels: Labels, truth: Labels, lead: int) -> None:
        """Score labels; `lead` of their axes count samples."""
        first, second = full_pixels(labels), full_pixels(truth)
        self._n_samples = math.prod(first.shape[:lead])

        def make() -> Generator[int | None, None, tuple[int, Findings]]:
            seen = fingerprint(first)
            found = yield from iter_findings(engine, first, second, lead)
            return seen, found

        self._score.start_on(engine, make)

    def measure(
        self, engine: Engine, labels: Labels, image: Image | None, lead: int
    ) -> None:
        """Measure labels; `lead` of their axes count samples."""

        def measured() -> tuple[int, Table]:
            # Of before: what changes meanwhile is another table.
            seen = fingerprint(full_pixels(labels))
            return seen, measure_layer(engine, labels, image, lead)

        self._measure.start_on(engine, once(measured))

    def stop_scoring(self) -> None:
        """End the scoring at its next event."""
        self._score.cancel()

    def stop_measuring(self) -> None:
        """Forget what is being measured."""
        self._measure.cancel()

    def cancel(self) -> None:
        """End all."""
        self.stop_scoring()
        self.stop_measuring()

    def _on_event(self, n_done: Any) -> None:
        if n_done is not None:
            self.progress.emit(n_done, self._n_samples)
