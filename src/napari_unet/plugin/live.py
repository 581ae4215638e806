"""Live separation: what is looked at follows the sliders, the rest comes after.

A preview separates the part of the plane on screen, at once; objects that its edge cuts
are provisional. When the sliders rest, all of the image is separated as a full run
would, so what stays is never a preview.

The worker holds the probabilities. A slider's move sends it settings and what it showed
last, and brings labels back, both as runs.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.run_lengths import encode
from napari_unet.engine import worker_tasks
from napari_unet.engine.kept_pixels import KeptPixels
from napari_unet.engine.worker_tasks import Looked, Sight
from napari_unet.pipeline.held import empty_labels
from napari_unet.pipeline.linking import link
from napari_unet.pipeline.region import meets
from napari_unet.pipeline.running import labels_of_area
from napari_unet.plugin.boxes import (
    LARGEST_PREVIEW,
    Box,
    around,
    common,
    grown,
    n_pixels,
    within,
)
from napari_unet.plugin.coloured import SampleLabels, coloured_alike, colours_of
from napari_unet.plugin.colours import N_COLOURS
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.outputs import Outputs, sample_key
from napari_unet.settings import Separation

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine

Array = npt.NDArray[Any]
Sample = dict[str, int]

# Milliseconds that the sliders must rest before everything is separated.
REST = 300

# Bytes of one sample up to which the worker holds all of it, and not what is in view.
LARGEST_KEPT = 2**27


@dataclass(frozen=True)
class Wish:
    """What should be seen next.

    Parameters
    ----------
    separation, sample, box
        Settings, and the part of the image.
    is_settled
        Whether its probabilities stay as they are: no tile is to come.
    """

    separation: Separation
    sample: Sample
    box: Box
    is_settled: bool


@dataclass(frozen=True, eq=False)
class Preview:
    """Provisional labels of a box, numbered so that napari colours them.

    `seen` is what the worker made of it, which tells the next what it looked like.
    """

    wish: Wish
    labels: Array
    seen: Looked


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
        for ended in (self._all.done, self._all.failed):
            ended.connect(self._on_ended)
        self._all.done.connect(self.finished)
        self._all.failed.connect(self.failed)
        self._outputs: Outputs | None = None
        self._kept: KeptPixels | None = None
        self._area: Box = ()
        self._wanted: Wish | None = None
        self._last: tuple[Separation, Sample] | None = None
        self._seen: tuple[Any, Looked | None] = (None, None)

    def attach(self, outputs: Outputs, engine: Engine) -> None:
        """Follow another result."""
        self.stop()
        self._outputs, self._kept = outputs, KeptPixels(engine)
        self._area = outputs.held.area

    def stop(self) -> None:
        """Forget what is under way, and the result."""
        self._rest.stop()
        self._preview.cancel()
        self._all.cancel()
        self._wanted = self._last = self._outputs = self._kept = None
        self._seen = (None, None)

    @property
    def is_busy(self) -> bool:
        """Whether the labels are not yet those of a full run."""
        return self._rest.isActive() or self._preview.is_running or self._all.is_running

    @property
    def is_due(self) -> bool:
        """Whether everything is still to be separated, whatever became of a preview."""
        return self._last is not None

    def request(self, separation: Separation, sample: Sample, box: Box) -> None:
        """Separate a box at once, and everything when requests rest."""
        self._all.cancel()
        self._last = separation, sample
        self._wish(Wish(separation, sample, box, is_settled=True))
        self._rest.start()

    def look(self, separation: Separation, sample: Sample, box: Box) -> None:
        """Separate a box alone, of a run that is not finished."""
        wish = Wish(separation, sample, grown(box), is_settled=False)
        waiting = self._wanted
        if waiting is not None and replace(waiting, box=wish.box) == wish:
            both = around(waiting.box, wish.box)
            if n_pixels(both) <= LARGEST_PREVIEW:
                wish = replace(wish, box=both)
        self._wish(wish)

    def drop_preview(self) -> None:
        """Forget a preview under way: the final labels are there."""
        self._wanted = None
        self._seen = (None, None)
        self._preview.cancel()

    def _wish(self, wish: Wish) -> None:
        outputs = self._outputs
        if outputs is None or not meets(wish.box, self._area):
            return
        if wish.sample not in outputs.plan.region.samples:
            return  # a slider stands beside the region: nothing of it is in view
        self._wanted = replace(wish, box=common(wish.box, self._area))
        if not self._preview.is_running:
            self._start_preview()

    def _start_preview(self) -> None:
        outputs, kept, wish = self._outputs, self._kept, self._wanted
        self._wanted = None
        if outputs is None or kept is None or wish is None:
            return
        place, seen = self._seen
        before = seen if place == _place(wish) else None
        self._preview.start(once(lambda: see(outputs, kept, wish, before)))

    def _on_preview(self, preview: Preview) -> None:
        outputs, wish = self._outputs, preview.wish
        if outputs is not None and outputs.is_complete:
            outputs.preview(wish.sample, wish.box, preview.labels)
            self._seen = (_place(wish), preview.seen)

    def _on_preview_stopped(self) -> None:
        if self._wanted is not None:
            self._start_preview()

    def _separate_all(self) -> None:
        outputs, kept, last = self._outputs, self._kept, self._last
        if outputs is None or kept is None or last is None:
            return
        separation, first = last
        self._all.start(lambda: iter_separate(outputs, kept, separation, first))

    def _on_ended(self, _: object) -> None:
        self._last = None

    def _on_sample(self, event: SampleLabels) -> None:
        if self._outputs is not None and self._outputs.is_complete:
            self.drop_preview()
            self._outputs.finish_sample(event.sample, event.labels, event.colours)


def _place(wish: Wish) -> Any:
    """Return where a wish looks."""
    return sample_key(wish.sample), str(wish.box)


def see(
    outputs: Outputs, kept: KeptPixels, wish: Wish, before: Looked | None
) -> Preview:
    """Separate what is wished for on the worker.

    Parameters
    ----------
    outputs
        Of the run.
    kept
        Probabilities that the worker holds.
    wish
        What to separate.
    before
        What was seen of the same box last; None: what is painted counts.
    """
    engine, plan = kept.engine, outputs.plan
    held, stored = outputs.held, outputs.probabilities
    every: Box = tuple(slice(0, part.stop - part.start) for part in wish.box)
    part = held.probabilities(stored, wish.sample, wish.box)
    whole = held.probabilities(stored, wish.sample)
    if not wish.is_settled:
        pixels, box = engine.send(np.ascontiguousarray(part)), every
    elif whole.nbytes <= LARGEST_KEPT:
        pixels, box = kept.put(whole), within(wish.box, held.area)
    else:
        pixels, box = kept.put(part), every
    sight = Sight(box, plan.model.recipe.channels, wish.separation, plan.semantic)
    if before is None:
        painted = outputs.painted(wish.sample, wish.box)
        before = Looked(encode(painted), np.arange(N_COLOURS + 1, dtype=np.uint8))
    looked = engine.call_beside(worker_tasks.look, pixels, before, sight)
    numbers = outputs.provisional_numbers(wish.sample, looked.colours)
    return Preview(wish, looked.labels.decode(numbers), looked)


def iter_separate(
    outputs: Outputs, kept: KeptPixels, separation: Separation, first: Sample
) -> Generator[SampleLabels, None, tuple[Separation, Array]]:
    """Separate every sample of a result, the one in view first.

    Yields each sample's labels and colours; returns the settings and all labels, linked
    if the settings say so.
    """
    held = outputs.held
    labels = empty_labels(held)
    samples = sorted(outputs.plan.region.samples, key=lambda sample: sample != first)
    for sample in samples:
        stored = held.probabilities(outputs.probabilities, sample)
        found = labels_of_area(outputs.plan, held, kept, stored, separation)
        held.labels(labels, sample)[...] = found
        if not separation.link:
            colours = colours_of(kept.engine, found, outputs.painted(sample))
            yield SampleLabels(sample, found, colours)
    if separation.link:
        labels = link(labels, held.axes, separation)
        yield from coloured_alike(outputs.plan, held, labels, kept.engine)
    return separation, labels
