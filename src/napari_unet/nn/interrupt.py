"""Ctrl-C: the first one asks a training job to end in order, the second one ends it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from types import FrameType
from typing import Any

from napari_unet.core.events import Note
from napari_unet.core.training_events import Report, TrainingEvent

STOPPING = Note(
    "Stopping in order: the best model is scored once more and tuned. Ctrl-C again "
    "ends it at once."
)


def run_to_end(
    job: Generator[TrainingEvent, Any, Report],
    show: Callable[[TrainingEvent], None] | None = None,
) -> Report:
    """Run a training job and return its report.

    Parameters
    ----------
    job
        From `iter_train`.
    show
        Called with each event, and with a note when Ctrl-C was pressed.
    """
    with stop_on_interrupt() as is_asked, contextlib.closing(job):
        request = None
        while True:
            try:
                event = job.send(request)
            except StopIteration as stop:
                report: Report = stop.value
                return report
            if show is not None:
                show(event)
                if is_asked() and request is None:
                    show(STOPPING)
            request = "stop" if is_asked() else None


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed.

    Only the main thread can catch it; elsewhere the function says no.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
