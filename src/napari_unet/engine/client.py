"""Engine: the way to the workers, from a viewer, a script or a notebook.

A local worker is started when it is first needed, started again after it died, and
ends with this process however that ends. With an address, the same calls go to another
machine or a cluster, over TLS with the user's certificate.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from napari_unet.core.axes import ArrayLike
from napari_unet.core.events import Event, exhaust
from napari_unet.engine import beside, worker_tasks
from napari_unet.engine.compute import Compute as Compute
from napari_unet.engine.connections import (
    choose_worker,
    close_quietly,
    is_ended,
    leave_unlogged_ends,
)
from napari_unet.engine.worker_process import WorkerProcess
from napari_unet.engine.worker_tasks import NetworkUse
from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed import Client, Future

    from napari_unet.engine.client_backend import WorkerBackend
    from napari_unet.pipeline.model_card import ModelCard
    from napari_unet.pipeline.options import Options, RegionLike
    from napari_unet.pipeline.result import Segmentation

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# How often a waiting call looks whether the local worker is still alive, in seconds.
PULSE = 0.1
CONNECT_TIMEOUT = 20.0
# How often it looks whether the worker of a cluster is still there.
PLACE_PULSE = 2.0

# Work that someone looks at goes before tiles.
URGENT = 10

# Arrays above this go straight to the worker, and not along with the task.
LARGE = 2**16


class Engine:
    """Calls functions of `worker_tasks` where `compute` says; safe from any thread.

    Parameters
    ----------
    compute
        A local process by default.
    """

    def __init__(self, compute: Compute | None = None) -> None:
        self.compute = compute or Compute()
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._process: WorkerProcess | None = None
        self._place: list[str] | None = None
        self._ended: WorkerError | None = None
        self._is_closed = False
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Id of the local worker process; None if there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def is_running(self) -> bool:
        """Whether a worker is connected."""
        return self._client is not None and self._is_alive()

    def call(self, task: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Run a task at once, ahead of tiles, and return its result.

        Raises
        ------
        WorkerError
            If the worker cannot be started or reached, or has ended.
        UNetError
            Whatever the task raises.
        """
        result: Result = self.result(
            self.submit(task, *args, priority=URGENT, **kwargs)
        )
        return result

    def call_beside(self, task: Callable[..., Result], *args: Any) -> Result:
        """Run a quick task at once, beside others; futures stand for what was sent.

        Raises
        ------
        WorkerError, UNetError
            As `call`.
        """
        client = self.client()
        with self._connection(client):
            answer = beside.call(client, self._place, task, args)
        if answer.error is not None:
            raise answer.error
        result: Result = answer.value
        return result

    def start(self, task: Callable[..., Any], *args: Any) -> None:
        """Send a task whose result nobody waits for."""
        from distributed import fire_and_forget

        fire_and_forget(self.submit(task, *args))

    def submit(
        self, task: Callable[..., Any], *args: Any, priority: int = 0, **kwargs: Any
    ) -> Future:
        """Send a task to the worker and return its future; large arrays go directly."""
        client = self.client()
        sent = [self.send(arg) if _is_large(arg) else arg for arg in args]
        with self._connection(client):
            return client.submit(
                task,
                *sent,
                workers=self._place,
                pure=False,
                priority=priority,
                **kwargs,
            )

    def send(self, value: Any) -> Future:
        """Copy a value to the worker, where tasks can use it until it is let go."""
        client = self.client()
        with self._connection(client):
            return client.scatter(value, direct=True, hash=False, workers=self._place)

    def result(self, future: Future) -> Any:
        """Wait for a future; notice within a moment when the worker has died."""
        return exhaust(self.iter_result(future))

    def iter_result(self, future: Future) -> Generator[None, None, Any]:
        """Wait as `result` does; yields while it waits, for whom may lose patience."""
        looked, ended = time.monotonic(), threading.Event()
        # Not `wait`: it sets dask's scheduler for the whole process while it lasts,
        # and two threads that wait at once would leave it set.
        future.add_done_callback(lambda _: ended.set())
        while not future.done():
            if self._place and time.monotonic() > looked + PLACE_PULSE:
                self._check_place(future.client)
                looked = time.monotonic()
            if not ended.wait(PULSE):
                yield
            if future.client is self._client:
                self._check_alive()
            elif not future.done():
                # Closed by another thread: it may never be told of an end.
                self._lost(future.client)
        if future.status == "error":
            return future.result()  # what the task raised
        with self._connection(future.client):
            return future.result()

    def drop(self, futures: Iterable[Future]) -> None:
        """Cancel what nobody waits for any more; with a lost connection it is gone."""
        for future in futures:
            if future.client.status == "running":
                # A failure here must not hide why it is dropped.
                with contextlib.suppress(Exception):
                    future.cancel()

    def client(self) -> Client:
        """Return the connection, made when first needed and after a death.

        Raises
        ------
        WorkerError
            If the worker cannot be started or reached, or the engine is closed.
        """
        with self._lock:
            if self._is_closed:
                raise WorkerError(
                    "The connection to the worker was closed.", "Start the work again."
                )
            if self._process is not None and not self._is_alive():
                self._ended = self._process.why_ended()
                self.release()
            if self._client is None:
                self._client = self._connect()
            return self._client

    def release(self) -> None:
        """End the local worker (or the connection): all device memory is given back."""
        with self._lock:
            client, process = self._client, self._process
            self._client = self._process = self._place = None
        if client is not None:
            close_quietly(client)
        if process is not None:
            process.stop()

    def close(self) -> None:
        """Release, for good."""
        with self._lock:
            self._is_closed = True
        self.release()
        atexit.unregister(self.close)

    def card(
        self,
        source: str,
        *,
        trust: bool = False,
        choices: Mapping[str, str] | None = None,
    ) -> ModelCard:
        """Load a model on the worker, which keeps it, and return its card.

        A file goes along to another machine; `trust` and `choices` are those of
        `napari_unet.load_model`, and are kept in the card.
        """
        path = Path(source)
        if self.compute.address and path.is_file():
            source = self.call(worker_tasks.keep_file, path.name, path.read_bytes())
        given = tuple(sorted((choices or {}).items()))
        return self.call(worker_tasks.describe, source, trust=trust, choices=given)

    def iter_segment(
        self,
        image: ArrayLike | Sequence[ArrayLike],
        card: ModelCard,
        *,
        first: RegionLike | None = None,
        **options: Any,
    ) -> Generator[Event, None, Segmentation]:
        """Segment as `napari_unet.iter_segment` does, with the work on the worker.

        Parameters
        ----------
        image
            Read here, region by region.
        card
            From `card`.
        first
            What is looked at, and done first; changes no value.
        **options
            Fields of `napari_unet.pipeline.Options`.
        """
        from napari_unet.pipeline.options import parse_options
        from napari_unet.pipeline.plan import make_plan
        from napari_unet.pipeline.running import run

        plan = make_plan(image, card, parse_options(options))
        return run(plan, self.backend(card, plan.options), first=first)

    def backend(self, card: ModelCard, options: Options) -> WorkerBackend:
        """Return the worker as a backend of the pipeline, for one model."""
        from napari_unet.engine.client_backend import WorkerBackend

        use = NetworkUse.of(card, options.prediction, options.device)
        return WorkerBackend(self, use)

    def _connect(self) -> Client:
        from distributed import Client

        leave_unlogged_ends()
        security = self.compute.security()
        address = self.compute.address
        if not address:
            self._process = WorkerProcess(security)
            address = self._process.address
        try:
            client = Client(
                address,
                security=security,
                set_as_default=False,
                direct_to_workers=True,
                timeout=CONNECT_TIMEOUT,
            )
            if self._process is None:
                self._place = [choose_worker(client)]
            return client
        except (OSError, TimeoutError) as error:
            self.release()
            raise WorkerError(
                f"The worker at {address} cannot be reached: {error}.",
                "Check the address, the certificate and that it runs.",
            ) from None

    def _check_place(self, client: Client) -> None:
        """Say when the chosen worker is gone: its tasks would wait for ever."""
        with self._connection(client):
            workers = client.nthreads()
        place = self._place
        if client is self._client and place and place[0] not in workers:
            self.release()
            raise WorkerError(
                f"The worker at {place[0]} has ended.",
                "Try again: another one of its cluster is chosen.",
            )

    @contextlib.contextmanager
    def _connection(self, client: Client) -> Iterator[None]:
        """Say what a broken connection means; nothing in here raises a task's error."""
        try:
            yield
        except Exception as error:
            # One that another thread has closed says so in many ways.
            if client is self._client and not is_ended(error):
                raise
            logger.debug("connection", exc_info=True)
            self._lost(client)

    def _lost(self, client: Client) -> NoReturn:
        """Say why a connection has ended; a local worker may be about to end."""
        process = self._process
        if client is self._client:
            if process is not None:
                process.wait(PULSE * 10)
            self._check_alive()
            self.release()
        # Otherwise another thread saw the end first, and may have started anew.
        raise self._ended or WorkerError(
            "The connection to the worker was lost.", "Try again: it is made anew."
        )

    def _is_alive(self) -> bool:
        return self._process is None or self._process.is_alive

    def _check_alive(self) -> None:
        process = self._process
        if process is not None and not process.is_alive:
            self._ended = process.why_ended()
            self.release()
            raise self._ended


def _is_large(value: Any) -> bool:
    return getattr(value, "nbytes", 0) > LARGE
