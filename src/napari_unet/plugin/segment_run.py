"""Segment run: one run and what becomes of it - layers, previews, tuning.

Everything here happens in the window's thread and takes a moment; the work itself is in
jobs.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.events import Note, Started, TileDone
from napari_unet.engine.client import Engine
from napari_unet.engine.large_order import LargeResult
from napari_unet.errors import SettingsError
from napari_unet.pipeline.given import run_given
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.region import meets
from napari_unet.pipeline.running import Backend, run
from napari_unet.plugin.boxes import box_in_view
from napari_unet.plugin.coloured import SampleLabels, coloured
from napari_unet.plugin.job import Job, unexpected
from napari_unet.plugin.large_run import LargeRun
from napari_unet.plugin.live import LiveSeparation
from napari_unet.plugin.outputs import Outputs
from napari_unet.plugin.provenance import complete_provenance
from napari_unet.plugin.segment_plan import goes_to_disk
from napari_unet.plugin.shared_engine import hold_engine, return_engine
from napari_unet.plugin.view import visible_region
from napari_unet.plugin.when_destroyed import when_destroyed
from napari_unet.settings import Separation

if TYPE_CHECKING:
    from napari_unet.errors import UNetError
    from napari_unet.pipeline.result import Segmentation

logger = logging.getLogger(__name__)

# Milliseconds between two drawings of the probabilities, of the whole plane each.
PAUSE = 150


@dataclass(frozen=True, eq=False)
class Order:
    """What to run, and where.

    Parameters
    ----------
    plan, backend, engine
        From the pipeline and the engine.
    source
        The image layer.
    given
        Whether the image holds probabilities already.
    """

    plan: Plan
    backend: Backend
    engine: Engine
    source: Image
    given: bool


class SegmentRun(QObject):
    """Carries out an order, and keeps its labels in step with the sliders.

    `progress` carries tiles done and all tiles; `finished` the `Segmentation`, or the
    `LargeResult` of an image that goes to disk, which has no outputs to be tuned;
    `stopped` comes last, after `cancel` too; `tuned` says that all labels are those of
    a full run with the last settings.
    `noted` carries a sentence for the user; `is_tuning`: `tuned` is still to come.
    """

    progress = Signal(int, int)
    noted = Signal(str)
    finished = Signal(object)
    failed = Signal(object)
    stopped = Signal()
    tuned = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._user = viewer, object()
        when_destroyed(self, functools.partial(return_engine, self._user))
        self.outputs: Outputs | None = None
        self.notes: list[str] = []
        self.separation = Separation()
        self.show_probabilities = False
        self.was_cancelled = self._has_failed = self.is_tuning = False
        self._order: Order | None = None
        self._building: Outputs | None = None
        self._later: deque[Callable[[], None]] = deque()
        self._next_layer, self._draw = QTimer(self), QTimer(self)
        for timer, work in (
            (self._next_layer, self._go_on),
            (self._draw, self._draw_probabilities),
        ):
            timer.setSingleShot(True)
            timer.timeout.connect(work)
        self._job, self.live = Job(self, asks=True), LiveSeparation(self)
        self.large = LargeRun(viewer, self)
        self._job.event.connect(self._on_event)
        job, later = self._job, self._once_shown
        job.done.connect(lambda result: later(lambda: self._on_done(result)))
        job.failed.connect(lambda error: later(lambda: self._on_failed(error)))
        job.stopped.connect(lambda: later(self._on_stopped))
        self.live.failed.connect(self._on_not_tuned)
        self.live.finished.connect(self._on_tuned)
        self.large.progress.connect(self.progress)
        self.large.finished.connect(self._on_written)
        self.large.failed.connect(self.failed)
        self.large.stopped.connect(self.stopped)

    @property
    def is_running(self) -> bool:
        """Whether tiles are being computed."""
        return self._job.is_running or self.large.is_running

    def start(self, order: Order) -> None:
        """Run; what was under way is dropped."""
        self.live.stop()
        self._building = self.outputs = None
        self._later.clear()
        self.notes, self.was_cancelled, self._has_failed = [], False, False
        self.is_tuning = False
        self._order, plan = order, order.plan
        # The sliders go on where the probabilities are.
        hold_engine(self._user, order.engine)
        self.separation = plan.separation
        if goes_to_disk(plan) and not order.given:
            if not self.large.start(order):
                self.was_cancelled = True
                self.stopped.emit()
            return
        view = visible_region(self._viewer, order.source, plan.axes.axes)

        def make() -> Any:
            if order.given:
                job = run_given(plan, order.backend)
            else:
                job = run(plan, order.backend, first=view)
            return coloured(plan, job, lambda: self.outputs, order.engine)

        self._job.start(make)

    def cancel(self) -> None:
        """Stop after the tile in work; what is finished stays."""
        self.was_cancelled = True
        self._job.cancel()
        self.large.cancel()

    def close(self) -> None:
        """Stop everything and let go of the layers."""
        self.live.stop()
        self._job.cancel()
        self._next_layer.stop()
        self.large.cancel()
        self._building = self.outputs = self._order = None
        self._later.clear()
        return_engine(self._user)

    def separate(self, separation: Separation) -> None:
        """Follow other settings: what is looked at now, the rest when they rest."""
        self.separation = separation
        outputs = self.on_screen()
        if outputs is not None and not self.is_running:
            self.is_tuning = True
            self.live.request(separation, *self._looked_at(outputs))

    def show_step(self) -> None:
        """Show the colours of the slice or frame that is looked at now."""
        outputs = self.on_screen()
        if outputs is not None and outputs.plan.axes.sample_axes:
            outputs.show_colours(self._looked_at(outputs)[0])

    def require(self) -> Outputs:
        """Return the layers.

        Raises
        ------
        SettingsError
            If there are none, or the user has removed them.
        """
        outputs = self.on_screen()
        if outputs is None:
            raise SettingsError("There is no result.", "Press Run first.")
        return outputs

    def on_screen(self) -> Outputs | None:
        """Return the layers, unless there are none or the user has removed them."""
        complete = self.outputs is not None and self.outputs.is_complete
        return self.outputs if complete else None

    def end_note(self) -> str:
        """Return what to tell when a run has ended well."""
        if self.outputs is not None and self.on_screen() is None:
            return "The labels layer was removed. Press Run to make it again."
        return " ".join(self.notes) or "Done."

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Started) and self._order is not None:
            self._building = Outputs(
                self._viewer,
                self._order.source,
                self._order.plan,
                event.probabilities,
                self._note,
            )
            self._next_layer.start(0)
        elif isinstance(event, TileDone):
            self.progress.emit(event.n_done, event.n_tiles)
            self._on_tile(event)
        elif isinstance(event, SampleLabels):
            self._once_shown(lambda: self._on_sample(event))
        elif isinstance(event, Note):
            self.notes.append(event.text)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.noted.emit(text)

    def _put_layer(self) -> None:
        """Add one layer; when all are there, follow what is looked at."""
        outputs, order = self._building, self._order
        if outputs is None or order is None:
            return
        if not outputs.put_next():
            return
        self._building, self.outputs = None, outputs
        outputs.show_probabilities(self.show_probabilities)
        outputs.show_colours(self._looked_at(outputs)[0])
        self.live.attach(outputs, order.engine)

    def _once_shown(self, work: Callable[[], None]) -> None:
        """Do what needs the layers once they are there; all of it in its order."""
        if self._building is None and not self._later:
            work()
        else:
            self._later.append(work)

    def _go_on(self) -> None:
        """Add a layer, or do one thing that has waited; the window lives in between."""
        if self._building is not None:
            try:
                self._put_layer()
            except Exception as error:  # napari refuses a layer
                logger.debug("unexpected", exc_info=True)
                self._break_off(unexpected(error))
        elif self._later:
            self._later.popleft()()
        if self._building is not None or self._later:
            self._next_layer.start(0)

    def _break_off(self, error: UNetError) -> None:
        """End a run that has no layers to show."""
        was_running = self._job.is_running
        self._building = self.outputs = None
        self._later.clear()
        self._job.cancel()
        self._on_failed(error)
        if not was_running:  # else the job says so
            self._on_stopped()

    def _draw_probabilities(self) -> None:
        outputs = self.on_screen()
        if outputs is not None:
            outputs.refresh_channels()

    def _on_tile(self, event: TileDone) -> None:
        """Show what a tile brought; separate what is looked at, provisionally."""
        outputs = self.on_screen()
        if outputs is None or outputs.plan.resampling is not None:
            return
        if not self._draw.isActive():
            self._draw.start(PAUSE)
        sample, box = self._looked_at(outputs)
        if dict(event.sample) == sample and meets(event.tile.write, box):
            self.live.look(self.separation, sample, event.tile.write)

    def _on_sample(self, event: SampleLabels) -> None:
        outputs = self.on_screen()
        if outputs is not None:
            self.live.drop_preview()
            outputs.finish_sample(event.sample, event.labels, event.colours)
            outputs.refresh_channels()

    def _on_done(self, result: Segmentation) -> None:
        outputs = self.on_screen()
        if outputs is not None:
            outputs.record(complete_provenance(outputs, result))
        self.finished.emit(result)

    def _on_written(self, result: LargeResult) -> None:
        cells = f"{result.n_objects} cells in {result.path}."
        self.notes = [*result.notes, cells]
        self.finished.emit(result)

    def _on_stopped(self) -> None:
        # The sliders may have moved meanwhile; a run that broke off has only previews.
        moved = (
            self._order is not None and self.separation != self._order.plan.separation
        )
        if moved or self.was_cancelled or self._has_failed:
            self.separate(self.separation)
        self.stopped.emit()

    def _on_failed(self, error: UNetError) -> None:
        self._has_failed = True
        self.failed.emit(error)

    def _on_tuned(self, result: tuple[Separation, Any]) -> None:
        outputs = self.on_screen()
        if outputs is not None:
            outputs.is_linked = bool(result[0].link)
            outputs.record({"separation": result[0].model_dump()})
        self.is_tuning = False
        self.tuned.emit()

    def _on_not_tuned(self, error: UNetError) -> None:
        self.is_tuning = self.live.is_due
        self.failed.emit(error)

    def _looked_at(self, outputs: Outputs) -> tuple[dict[str, int], tuple[slice, ...]]:
        """Return the sample in view, and the box of it that is on screen."""
        axes = outputs.plan.axes
        spans = visible_region(self._viewer, outputs.source, axes.axes)
        at = {a: spans.get(a, 0) for a in axes.sample_axes}
        sample = {a: i if isinstance(i, int) else 0 for a, i in at.items()}
        return sample, box_in_view(spans, axes.spatial, axes.spatial_shape)
