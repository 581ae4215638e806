"""Training tasks: what a worker does for a training. Importing this loads no torch."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.training_events import Report, TrainingEvent
from napari_unet.core.training_facts import Finding
from napari_unet.engine.training_order import StartModel, TrainingOrder
from napari_unet.engine.worker_tasks import load
from napari_unet.errors import CheckpointError, UNetError, WorkerError

if TYPE_CHECKING:
    from napari_unet.io.training_image import TrainingImage
    from napari_unet.nn.model import Model

# Seconds that `news` waits for the first event.
WAIT = 0.2

End = Report | UNetError


@dataclass(frozen=True, eq=False)
class Check:
    """What is known of the data before training.

    Parameters
    ----------
    findings
        Of the training doctor, errors first.
    notes
        What was guessed or decided, one sentence each.
    sheet
        (Y, X, 3) uint8: augmented patches beside their weights.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    sheet: npt.NDArray[np.uint8]


@dataclass(eq=False)
class _Session:
    """One training in a thread of its own."""

    order: TrainingOrder
    events: queue.Queue[TrainingEvent] = field(default_factory=queue.Queue)
    stop: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)
    end: End | None = None

    def run(self) -> None:
        """Train to the end; every error is an end like another."""
        try:
            self.end = self._train()
        except UNetError as error:
            self.end = error
        except Exception as error:  # noqa: BLE001 - the border to the other process
            problem = f"Training broke off: {type(error).__name__}: {error}."
            self.end = WorkerError(problem, self._remedy())

    def _remedy(self) -> str:
        """Return what helps: nothing can be resumed where no step was kept."""
        from napari_unet.nn.training_state import state_path

        begun = state_path(Path(self.order.out)).exists()
        return "Press Resume; please report it." if begun else "Please report it."

    def _train(self) -> Report:
        from napari_unet.nn.training import iter_train

        order = self.order
        job: Generator[Any, Any, Report] = iter_train(
            load_images(order),
            order.out,
            training=order.training,
            model=load_start(order.start),
            **order.options,
        )
        request = None
        with contextlib.closing(job):
            while True:
                try:
                    self.events.put(job.send(request))
                except StopIteration as stopped:
                    report: Report = stopped.value
                    return report
                if self.leave.is_set():
                    raise WorkerError("Training was ended.", "Press Resume to go on.")
                request = "stop" if self.stop.is_set() else None


_sessions: dict[int, tuple[_Session, threading.Thread]] = {}
_numbers = itertools.count(1)


def begin(order: TrainingOrder) -> int:
    """Begin a training; return its number."""
    number, session = next(_numbers), _Session(order)
    thread = threading.Thread(target=session.run, name=f"training {number}")
    thread.daemon = True
    _sessions[number] = (session, thread)
    thread.start()
    return number


def news(number: int) -> tuple[list[TrainingEvent], End | None]:
    """Return what has happened since, and how it ended, if it did.

    Waits a moment for the first event.
    """
    session, _ = _session(number)
    end = session.end  # read before the events: none can come after it
    events = []
    try:
        events.append(session.events.get(timeout=0 if end is not None else WAIT))
        while True:
            events.append(session.events.get_nowait())
    except queue.Empty:
        return events, end


def stop(number: int) -> None:
    """End a training early but in order."""
    _session(number)[0].stop.set()


def leave(number: int) -> None:
    """End a training at once, and forget it; returns when its files are written."""
    session, thread = _sessions.pop(number, (None, None))
    if session is not None and thread is not None:
        session.leave.set()
        thread.join()


def n_running() -> int:
    """Return how many trainings go on."""
    return sum(thread.is_alive() for _, thread in _sessions.values())


def check(order: TrainingOrder) -> Check:
    """Ask the training doctor, and draw augmented patches."""
    from napari_unet.nn.preparation import draw_sheet, prepare

    model = load_start(order.start)
    prepared = prepare(load_images(order), order.training, model)
    return Check(prepared.findings, prepared.notes, draw_sheet(prepared, n=8))


def weight_map(order: TrainingOrder) -> npt.NDArray[np.float32]:
    """Return the weights by which pixels of the first image count in the loss."""
    from napari_unet.nn.losses import plan_objective
    from napari_unet.nn.samples import class_weights, prepare_samples

    images = load_images(order)[:1]
    objective = plan_objective(order.training.loss)
    by_class = class_weights(images, objective)
    (sample,) = prepare_samples(images, objective, by_class)
    weight = sample.total_weight()
    assert weight is not None  # noqa: S101 - every prepared sample has one
    return weight


def load_start(start: StartModel | None) -> Model | None:
    """Return the model to go on from; answers for another file are not its own."""
    if start is None:
        return None
    try:
        model = load(start.source, choices=start.choices)
        if start.sha256 in ("", model.sha256):
            return model
    except CheckpointError:
        if not start.sha256 or load(start.source).sha256 == start.sha256:
            raise
    return load(start.source)


def load_images(order: TrainingOrder) -> list[TrainingImage]:
    """Return the images of an order in the form that training takes."""
    from napari_unet.io.pairing import find_pairs
    from napari_unet.io.training_data import from_arrays, load_pairs
    from napari_unet.io.training_image import as_planes, by_components

    if order.layers:
        images = []
        for given in order.layers:
            found = from_arrays([(given.image, given.labels)], axes=given.axes)
            images += [_named(image, given.name, given.pixel_size) for image in found]
    else:
        images = load_pairs(find_pairs(order.folder))
    if order.components:
        images = [by_components(image) for image in images]
    if order.planes:
        images = [plane for image in images for plane in as_planes(image)]
    return images


def _named(image: TrainingImage, name: str, pixel_size: Any) -> TrainingImage:
    """Call an image what its layer is called; frames keep their number."""
    group = name if image.group else ""
    named = image.name.replace("image 1", name, 1)
    return replace(image, name=named, group=group, pixel_size=dict(pixel_size))


def _session(number: int) -> tuple[_Session, threading.Thread]:
    try:
        return _sessions[number]
    except KeyError:
        raise WorkerError(
            "The worker does not know this training.", "Press Resume to go on."
        ) from None
