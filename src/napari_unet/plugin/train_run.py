"""Train run: a training on the worker, and what the viewer shows of it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.core.events import Note
from napari_unet.core.training_events import Planned, Report, StepDone, Validated
from napari_unet.core.training_facts import Finding
from napari_unet.engine.training import iter_train
from napari_unet.engine.training_order import TrainingOrder
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.layers import (
    KEY,
    PREVIEW,
    output_name,
    put_layer,
    read_layer,
)
from napari_unet.plugin.shared_engine import hold_engine, return_engine
from napari_unet.plugin.view import visible_region

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine


class TrainRun(QObject):
    """One training at a time; signals carry its events in the window's thread.

    `finished` carries the `Report`; `stopped` comes last, after `abort` too.
    """

    planned = Signal(object)
    stepped = Signal(object)
    validated = Signal(object)
    found = Signal(object)
    noted = Signal(str)
    finished = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = threading.Event()
        self._job = EngineJob(self, asks=True)
        self._job.event.connect(self._on_event)
        self._job.done.connect(self.finished)
        self._job.failed.connect(self.failed)
        self._job.stopped.connect(self.stopped)

    @property
    def is_running(self) -> bool:
        """Whether a training is going on, or about to end."""
        return self._job.is_running

    @property
    def engine(self) -> Engine | None:
        """Where it goes on; None: it does not."""
        return self._job.engine

    def start(self, engine: Engine, make: Callable[[], TrainingOrder]) -> None:
        """Train; `make` reads the layers, in another thread."""
        self._stop = stop = threading.Event()

        def train() -> Generator[Any, None, Report]:
            return _held(engine, iter_train(engine, make(), stop.is_set))

        self._job.start_on(engine, train)

    def ask_stop(self) -> None:
        """End in order: a last validation, and tuned thresholds."""
        self._stop.set()

    def abort(self) -> None:
        """End at once; the best model so far is there, and training can be resumed."""
        self._job.cancel()

    def _on_event(self, event: Any) -> None:
        if isinstance(event, StepDone):
            self.stepped.emit(event)
        elif isinstance(event, Validated):
            self.validated.emit(event)
        elif isinstance(event, Planned):
            self.planned.emit(event)
        elif isinstance(event, Finding):
            self.found.emit(event)
        elif isinstance(event, Note):
            self.noted.emit(event.text)


def _held(
    engine: Engine, job: Generator[Any, None, Report]
) -> Generator[Any, None, Report]:
    """Keep the worker until a training has left it: then its files are written."""
    user = object()
    hold_engine(user, engine)
    try:
        return (yield from job)
    finally:
        return_engine(user)


@dataclass(frozen=True, eq=False)
class Scene:
    """What a preview is made of.

    Parameters
    ----------
    source
        The image layer.
    pixels, axes, rgb
        Of the layer, level 0.
    region
        What is on screen, by axis letter.
    out
        The checkpoint that is being trained.
    device
        As in `napari_unet.pipeline.Options`.
    """

    source: Any
    pixels: Any
    axes: str
    rgb: bool
    region: dict[str, Any]
    out: Path
    device: str


def visible_scene(viewer: Any, source: Any, out: str, device: str) -> Scene:
    """Return what a preview of an image layer takes now."""
    image = read_layer(source)
    region = visible_region(viewer, source, image.axes)
    return Scene(source, image.data, image.axes, image.rgb, region, Path(out), device)


class TrainPreview(QObject):
    """The best model so far, shown on what is visible; never more than one at a time.

    `shown` carries the labels layer, `failed` why there is none.
    """

    shown = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._scene: Scene | None = None
        self._job = EngineJob(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self.failed)

    def show(self, engine: Engine, scene: Scene) -> None:
        """Segment what is visible with the checkpoint as it is now."""
        self._scene = scene

        def make() -> Any:
            card = engine.card(str(scene.out))
            return engine.iter_segment(
                scene.pixels,
                card,
                axes=scene.axes,
                rgb=scene.rgb,
                region=scene.region or None,
                device=scene.device,
            )

        self._job.start_on(engine, make)

    def cancel(self) -> None:
        """Forget what is being computed."""
        self._job.cancel()

    def _on_done(self, result: Any) -> None:
        scene = self._scene
        if scene is None or scene.source not in self._viewer.layers:
            return
        active = self._viewer.layers.selection.active
        layer = put_layer(
            self._viewer,
            "labels",
            result.labels,
            source=scene.source,
            name=output_name(scene.source.name, PREVIEW),
            opacity=0.5,
            metadata={KEY: {"output": PREVIEW}},
            axes=scene.axes,
        )
        layer.contour = 2
        # Who paints goes on painting where they were.
        self._viewer.layers.selection.active = active
        self.shown.emit(layer)
