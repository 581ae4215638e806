"""Live separation: what is looked at follows the sliders, the rest comes after.

A preview separates the part of the plane on screen, at once; objects that its edge cuts
are provisional. When the sliders rest, all of the image is separated as a full run
would, so what stays is never a preview.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.engine import worker_tasks
from napari_unet.pipeline.linking import link
from napari_unet.pipeline.running import labels_of_sample
from napari_unet.plugin.colours import Colours, next_colours
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.outputs import Outputs

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.running import Backend
    from napari_unet.settings import Separation

Array = npt.NDArray[Any]
Sample = dict[str, int]
Box = tuple[slice, ...]

# Milliseconds that the sliders must rest before everything is separated.
REST = 300

# Pixels around the view that are separated with it, and at most in one preview.
MARGIN = 32
LARGEST_PREVIEW = 2**22


@dataclass(frozen=True, eq=False)
class Preview:
    """Labels of a box of one sample, with the colour of each."""

    sample: Sample
    box: Box
    labels: Array
    colours: Colours


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The final labels of one sample, with the colour of each."""

    sample: Sample
    labels: Array
    colours: Colours


class LiveSeparation(QObject):
    """Keeps the labels of one result in step with the settings.

    `finished` carries all labels once they are those of a full run; `failed` an error.
    """

    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._preview, self._all = Job(self), Job(self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._separate_all)
        self._preview.done.connect(self._on_preview)
        self._preview.failed.connect(self.failed)
        self._preview.stopped.connect(self._on_preview_stopped)
        self._all.event.connect(self._on_sample)
        self._all.done.connect(self.finished)
        self._all.failed.connect(self.failed)
        self._outputs: Outputs | None = None
        self._engine: Engine | None = None
        self._backend: Backend | None = None
        self._wanted: tuple[Separation, Sample, Box] | None = None
        self._last: tuple[Separation, Sample] | None = None
        self._sent: tuple[Any, Any] = (None, None)
        self._finished_samples: set[Any] = set()

    def attach(self, outputs: Outputs, engine: Engine, backend: Backend) -> None:
        """Follow another result."""
        self.stop()
        self._outputs, self._engine, self._backend = outputs, engine, backend

    def stop(self) -> None:
        """Forget what is under way, and the result."""
        self._rest.stop()
        self._preview.cancel()
        self._all.cancel()
        self._wanted = self._last = None
        self._sent = (None, None)
        self._outputs = None

    @property
    def is_busy(self) -> bool:
        """Whether the labels are not yet those of a full run."""
        return self._rest.isActive() or self._preview.is_running or self._all.is_running

    def request(self, separation: Separation, sample: Sample, box: Box) -> None:
        """Separate a box at once, and everything when requests rest."""
        self._all.cancel()
        self._last = separation, sample
        self.look(separation, sample, box)
        self._rest.start()

    def look(self, separation: Separation, sample: Sample, box: Box) -> None:
        """Separate a box alone, for a run that is not finished."""
        if self._outputs is None:
            return
        self._wanted = separation, sample, box
        if not self._preview.is_running:
            self._start_preview()

    def drop_preview(self) -> None:
        """Forget a preview under way: the final labels are there."""
        self._wanted = None
        self._preview.cancel()

    def pixels_changed(self) -> None:
        """Forget the pixels that the worker holds: a tile has come in."""
        self._sent = (None, None)

    def _start_preview(self) -> None:
        outputs, engine, wanted = self._outputs, self._engine, self._wanted
        self._wanted = None
        if outputs is None or engine is None or wanted is None:
            return
        separation, sample, box = wanted

        def separate() -> Preview:
            pixels = self._on_worker(engine, outputs, sample, box)
            labels = engine.call(
                worker_tasks.separate,
                pixels,
                outputs.plan.model.recipe.channels,
                separation,
                semantic=outputs.plan.semantic,
            )
            colours = next_colours(labels, outputs.painted(sample, box))
            return Preview(sample, box, labels, colours)

        self._preview.start(once(separate))

    def _on_worker(
        self, engine: Engine, outputs: Outputs, sample: Sample, box: Box
    ) -> Any:
        """Return a box's pixels on the worker; sent once while the view stays."""
        key = (id(outputs), engine.pid, tuple(sample.items()), str(box))
        if self._sent[0] != key:
            view = outputs.plan.axes.probabilities_view(outputs.probabilities, sample)
            part = np.ascontiguousarray(view[(slice(None), *box)])
            self._sent = (key, engine.send(part))
        return self._sent[1]

    def _on_preview(self, preview: Preview) -> None:
        if self._outputs is not None and self._outputs.is_complete:
            self._outputs.preview(
                preview.sample, preview.box, preview.labels, preview.colours
            )

    def _on_preview_stopped(self) -> None:
        if self._wanted is not None:
            self._start_preview()

    def _separate_all(self) -> None:
        outputs, backend, last = self._outputs, self._backend, self._last
        if outputs is None or backend is None or last is None:
            return
        separation, first = last
        self._all.start(lambda: iter_separate(outputs, backend, separation, first))

    def _on_sample(self, event: SampleLabels) -> None:
        if self._outputs is not None and self._outputs.is_complete:
            self.drop_preview()
            self._outputs.finish_sample(event.sample, event.labels, event.colours)


def iter_separate(
    outputs: Outputs, backend: Backend, separation: Separation, first: Sample
) -> Generator[SampleLabels, None, tuple[Separation, Array]]:
    """Separate every sample of a result, the one in view first.

    Yields each sample's labels and colours; returns the settings and all labels, linked
    if the settings say so.
    """
    axes = outputs.plan.axes
    labels = np.zeros(axes.labels_shape, np.int32)
    samples = sorted(outputs.plan.region.samples, key=lambda sample: sample != first)
    for sample in samples:
        stored = axes.probabilities_view(outputs.probabilities, sample)
        found = labels_of_sample(outputs.plan, backend, stored, separation)
        axes.labels_view(labels, sample)[...] = found
        if not separation.link:
            yield SampleLabels(
                sample, found, next_colours(found, outputs.painted(sample))
            )
    if separation.link:
        labels = link(labels, axes, separation)
        yield from coloured_alike(outputs, labels)
    return separation, labels


def coloured_alike(
    outputs: Outputs, labels: Array
) -> Generator[SampleLabels, None, None]:
    """Yield linked samples with one table, so that an object keeps its colour."""
    colours = next_colours(labels, None)
    for sample in outputs.plan.region.samples:
        view = outputs.plan.axes.labels_view(labels, sample)
        yield SampleLabels(sample, np.array(view), colours)


def box_in_view(spans: Mapping[str, Any], spatial: str, shape: tuple[int, ...]) -> Box:
    """Return the slices of a view with its margin; the middle of one that is large."""
    box = []
    for axis, n in zip(spatial, shape, strict=True):
        value = spans.get(axis, (0, n))
        start, stop = (0, n) if isinstance(value, int) else value
        box.append([max(0, start - MARGIN), min(n, stop + MARGIN)])
    while np.prod([stop - start for start, stop in box]) > LARGEST_PREVIEW:
        longest = max(box, key=lambda span: span[1] - span[0])
        quarter = (longest[1] - longest[0]) // 8
        longest[0], longest[1] = longest[0] + quarter, longest[1] - quarter
    return tuple(slice(start, stop) for start, stop in box)
