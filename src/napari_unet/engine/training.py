"""Training on a worker: events stream here, the network never does.

The job lives in a thread of the worker; here it is asked for what happened since. When
the worker dies, the state that it saved last is still there, and `resume` goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from napari_unet.core.training_events import Report, TrainingEvent
from napari_unet.engine import training_tasks
from napari_unet.engine.training_order import TrainingOrder
from napari_unet.errors import UNetError, WorkerError

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine


def iter_train(
    engine: Engine,
    order: TrainingOrder,
    is_stop_asked: Callable[[], bool] = lambda: False,
) -> Generator[TrainingEvent | None, None, Report]:
    """Train as `napari_unet.iter_train` does, with the work on the worker.

    Closing the generator ends training at once; the best model so far is there, and
    `resume` goes on.

    Parameters
    ----------
    engine
        The way to the worker.
    order
        What is trained.
    is_stop_asked
        Asked again and again: whether to end training early but in order, with a last
        validation and tuned thresholds.

    Yields
    ------
    TrainingEvent or None
        None where nothing has happened for a moment.

    Raises
    ------
    UNetError
        As `napari_unet.iter_train`, or if the worker has ended.
    """
    _check_place(engine, order)
    number = engine.call(training_tasks.begin, engine.send(order))
    told = False
    try:
        while True:
            if not told and is_stop_asked():
                engine.call(training_tasks.stop, number)
                told = True
            events, end = engine.call(training_tasks.news, number)
            yield from events
            if not events:
                yield None
            if isinstance(end, UNetError):
                raise end
            if end is not None:
                return end
    finally:
        # A worker that has died has nothing left to end.
        if engine.is_running:
            with contextlib.suppress(UNetError):
                engine.call(training_tasks.leave, number)


def check_data(engine: Engine, order: TrainingOrder) -> training_tasks.Check:
    """Return what the training doctor finds, and a picture of augmented patches."""
    _check_place(engine, order)
    return engine.call(training_tasks.check, engine.send(order))


def weight_map(engine: Engine, order: TrainingOrder) -> Any:
    """Return the loss weights of the first image of an order, float32 ([Z,] Y, X)."""
    return engine.call(training_tasks.weight_map, engine.send(order))


def _check_place(engine: Engine, order: TrainingOrder) -> None:
    if engine.compute.address and not order.layers:
        raise WorkerError(
            "The folder is on this machine, but training runs on another one.",
            "Open the images as layers, or clear the compute address in the "
            "preferences.",
        )
