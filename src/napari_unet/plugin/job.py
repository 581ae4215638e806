"""Job: a generator run in a thread, followed by signals; Run never stays dead.

napari's workers swallow every RuntimeError, raise every other error again in the window
and leave a cancelled generator open. All are cured here, once: nothing is ever raised
in a worker, an error is a result like another.
"""

from __future__ import annotations

import atexit
import functools
import logging
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QThreadPool, Signal

from napari_unet.errors import UNetError
from napari_unet.plugin.when_destroyed import when_destroyed

logger = logging.getLogger(__name__)

Make = Callable[[], Generator[Any, None, Any]]

_CANCELLED = object()

# Milliseconds that Python's end waits for jobs that were cancelled.
PATIENCE = 10_000
_running: set[threading.Event] = set()


@dataclass(frozen=True)
class _Failed:
    """What a job returns in place of a result."""

    error: UNetError


class UnexpectedError(UNetError):
    """A mistake of this program, told instead of a traceback."""


class Job(QObject):
    """One piece of work at a time, in a thread.

    `event` carries what the generator yields, `done` what it returns, `failed` a
    `UNetError`; `stopped` comes last, also after `cancel`. All arrive in the thread of
    the window, and none after `cancel` but `stopped`.

    Parameters
    ----------
    parent
        Owner.
    asks
        Whether napari asks before it is closed while the job runs.
    """

    event = Signal(object)
    done = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(self, parent: QObject | None = None, *, asks: bool = False) -> None:
        super().__init__(parent)
        self._asks = asks
        self._worker: Any = None
        self._next: Make | None = None
        self._cancelled = threading.Event()
        # When the window is closed, what runs must not go on for nobody.
        self._events = [self._cancelled]
        when_destroyed(self, functools.partial(_set_all, self._events))

    @property
    def is_running(self) -> bool:
        """Whether work is going on, or about to end after `cancel`."""
        return self._worker is not None

    def start(self, make: Make) -> None:
        """Run the generator that `make` returns; both happen in another thread.

        What runs already is cancelled first; only the last of several calls counts.
        """
        if self.is_running:
            self.cancel()
            self._next = make
            return
        self._cancelled = self._events[0] = threading.Event()
        worker = self._create(make, self._cancelled)
        worker.yielded.connect(self._on_event)
        worker.returned.connect(self._on_done)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Stop at the next event; what is finished stays."""
        self._next = None
        self._cancelled.set()

    def _create(self, make: Make, cancelled: threading.Event) -> Any:
        if self._asks:
            from napari.qt.threading import create_worker

            return create_worker(
                _guarded, make, cancelled, _worker_class=_closing_worker()
            )
        from superqt.utils import create_worker as create

        return create(_guarded, make, cancelled)

    def _on_event(self, event: object) -> None:
        if not self._cancelled.is_set():
            self.event.emit(event)

    def _on_done(self, result: object) -> None:
        if result is _CANCELLED or self._cancelled.is_set():
            return
        if isinstance(result, _Failed):
            self.failed.emit(result.error)
        else:
            self.done.emit(result)

    def _on_finished(self) -> None:
        self._worker, following = None, self._next
        self._next = None
        if following is None:
            self.stopped.emit()
        else:
            self.start(following)


@functools.cache
def _closing_worker() -> Any:
    """Return a class of napari's workers, which closes what it has broken off.

    napari ends its workers when the window is closed, and would leave the generator to
    Python's collector, in the window's thread.
    """
    from napari.qt.threading import GeneratorWorker

    class ClosingWorker(GeneratorWorker):
        def work(self) -> Any:
            try:
                return super().work()
            finally:
                self._gen.close()

    return ClosingWorker


def _set_all(events: Iterable[threading.Event]) -> None:
    for event in events:
        event.set()


def _guarded(make: Make, cancelled: threading.Event) -> Generator[Any, None, Any]:
    """Run a generator to its end or until cancelled, and close it in any case."""
    # Nearly all the time is spent waiting for the worker: a training must not keep a
    # preview from starting where the pool has as few threads as there are cores.
    pool = QThreadPool.globalInstance()
    pool.releaseThread()
    _running.add(cancelled)
    try:
        job = make()
        try:
            while not cancelled.is_set():
                try:
                    event = next(job)
                except StopIteration as stop:
                    return stop.value
                yield event
        finally:
            job.close()
    except UNetError as error:
        return _Failed(error)
    except Exception as error:  # the border to the window
        logger.debug("unexpected", exc_info=True)
        return _Failed(unexpected(error))
    finally:
        _running.discard(cancelled)
        pool.reserveThread()
    return _CANCELLED


@atexit.register
def _end_all() -> None:
    """Let every job end while Qt's objects are there to be told of it.

    Qt's objects go with Python, threads of Qt's pool do not: one that then reports its
    end would abort the process. Engines are made later than this is registered, so they
    are closed by now, and nothing waits for a worker.
    """
    _set_all(tuple(_running))
    QThreadPool.globalInstance().waitForDone(PATIENCE)


def unexpected(error: Exception) -> UnexpectedError:
    """Return what the user is told of an error that no one foresaw."""
    problem = f"Something unexpected happened: {type(error).__name__}: {error}."
    remedy = "Please report it; the viewer and your layers are safe."
    return UnexpectedError(problem, remedy)


def once(function: Callable[[], Any]) -> Make:
    """Return a generator that yields nothing and returns what `function` does."""

    def make() -> Generator[Any, None, Any]:
        yield from ()
        return function()

    return make
