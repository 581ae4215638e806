"""Clusters: many workers at once, of dask.distributed, here or on other machines.

The job, with the model in it, travels once to every worker, also to one that joins or
is started again later; a task is then a few bytes. Finished items leave records in the
output, so whatever dies, at most the items in hand are lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import pickle
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from napari_unet.engine.connections import is_ended, unlogged
from napari_unet.engine.executors import Run
from napari_unet.engine.items import Item
from napari_unet.engine.job import Job
from napari_unet.engine.work import Work
from napari_unet.errors import WorkerError
from napari_unet.nn.device import n_devices

if TYPE_CHECKING:
    from distributed import Client, Future

Each = Callable[..., Iterator[Any]]

CONNECT_TIMEOUT = 30.0
# Items handed out beyond those that run: enough to keep workers busy, few to cancel.
AHEAD = 6
RESUME = "Finished blocks are kept: repeat the command with --resume."


class Cluster:
    """Does items on the workers of a scheduler.

    Parameters
    ----------
    client
        Of dask.distributed. Workers see image and output under the same paths, and
        have this package in the same version. One thread a worker is best.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._stack = contextlib.ExitStack()
        self.problem = "The connection to the scheduler was lost."

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started for this cluster."""
        self._stack.close()

    @contextlib.contextmanager
    def running(self, work: Work) -> Iterator[Run]:
        """Send the job to all workers, and take it back at the end."""
        with self.sent(work.job.to_send()) as each:
            yield lambda items: each(do_item, items)

    @contextlib.contextmanager
    def sent(self, job: Any) -> Iterator[Each]:
        """Send what all tasks have in common to every worker, once.

        Parameters
        ----------
        job
            Something with `options`, of which the device is settled on each worker.

        Yields
        ------
        function
            A function of the job and an item, and items -> results, as they come; and
            optionally what stands for the result of an item that ended worker after
            worker, which else ends everything.
        """
        key = f"napari-unet-{uuid.uuid4().hex}"
        with told("The model could not be sent to the workers."):
            self.client.register_plugin(_plugin(key, pickle.dumps(job)))

        def each(
            function: Callable[[Any, Any], Any],
            items: Iterable[Any],
            deadly: Callable[[Any], Any] | None = None,
        ) -> Iterator[Any]:
            return self._run(functools.partial(call, key, function), items, deadly)

        try:
            yield each
        finally:
            # Asked of a scheduler that is gone, this would wait for it in vain.
            if self._is_connected:
                with contextlib.suppress(Exception):
                    self.client.unregister_worker_plugin(key)

    @property
    def _is_connected(self) -> bool:
        return bool(self.client.status == "running")

    def _check(self) -> None:
        if not self._is_connected:
            raise WorkerError(self.problem, RESUME)

    def _run(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        deadly: Callable[[Any], Any] | None,
    ) -> Iterator[Any]:
        from distributed import as_completed

        waiting = iter(items)
        client = self.client
        pending: dict[Future, Any] = {}

        def submit(n: int) -> list[Future]:
            """Hand out the next `n` items."""
            following = list(itertools.islice(waiting, n))
            if not following:
                return []
            # One by one: `map` takes half as long again for the few that follow.
            futures = [client.submit(function, item, pure=False) for item in following]
            pending.update(zip(futures, following, strict=True))
            self._check()  # a client that closes drops what it is given
            return futures

        with told(lambda: self.problem):
            self._check()
            ahead = max(1, len(client.nthreads())) * AHEAD
            # Results come by themselves: asking for one at a time costs a way there and
            # back each.
            running = as_completed(
                submit(ahead), loop=client.loop, with_results=True, raise_errors=False
            )
            try:
                for batch in running.batches():
                    running.update(submit(len(batch)))
                    for future, result in batch:
                        yield _result(future, result, pending.pop(future), deadly)
            finally:
                if pending and self._is_connected:
                    with contextlib.suppress(Exception):
                        client.cancel(list(pending))


def _result(
    future: Future, result: Any, item: Any, deadly: Callable[[Any], Any] | None
) -> Any:
    """Return what became of an item, or raise what it raised."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    if future.status == "error":
        if deadly is None or not isinstance(result[1], KilledWorker):
            raise result[1]
        return deadly(item)
    if isinstance(result, CancelledError):
        raise result
    return result


@contextlib.contextmanager
def told(problem: str | Callable[[], str]) -> Iterator[None]:
    """Turn what distributed raises when something has died into a `WorkerError`."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise WorkerError(
            f"One block has ended worker after worker ({error.task}).",
            "Give each worker more memory, or choose a smaller block. " + RESUME,
        ) from None
    except Exception as error:
        if not is_ended(error):
            raise
        said = problem if isinstance(problem, str) else problem()
        # What a cancelled item says of itself is advice to programmers.
        why = f" ({error})" if isinstance(error, OSError) else ""
        raise WorkerError(said + why, RESUME) from None


def connect(address: str, security: Any = None) -> Cluster:
    """Return the cluster at an address.

    Parameters
    ----------
    address
        Of a scheduler, such as ``"tls://head-node:8786"``. dask speaks pickle, so that
        anybody who can connect can run code: unencrypted addresses are refused.
    security
        `distributed.Security`; None: what dask's configuration names
        (``distributed.comm.tls``, or DASK_DISTRIBUTED__COMM__TLS__... variables).

    Raises
    ------
    WorkerError
        The address is not one of TLS, or nobody answers.
    """
    from distributed import Client

    if not address.startswith("tls://"):
        raise WorkerError(
            f"The address {address} is not encrypted.",
            "Give one that starts with tls://; the page on clusters says how.",
        )
    with told(f"The scheduler at {address} does not answer."):
        client = Client(
            address, security=security, timeout=CONNECT_TIMEOUT, set_as_default=False
        )
    cluster = Cluster(client)
    cluster._stack.enter_context(unlogged("distributed.client", "distributed.core"))
    cluster._stack.callback(_close, client)
    return cluster


def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=5)


# On a worker: what was sent, and what was made of it when it was first needed.
_SENT: dict[str, bytes] = {}
_KEPT: dict[str, Any] = {}
_LOCK = threading.Lock()


def _plugin(key: str, data: bytes) -> Any:
    """Return the plugin that brings a job to each worker."""
    from distributed import WorkerPlugin

    class Bring(WorkerPlugin):  # type: ignore[misc]
        """Keeps the job while the cluster works on it."""

        def setup(self, worker: Any) -> None:
            keep(key, data, str(worker.name))

        def teardown(self, worker: Any) -> None:
            forget(key)

    Bring.name = key
    return Bring()


def keep(key: str, data: bytes, worker: str) -> None:
    """Keep a job on a worker, and its name, which says which device is its own."""
    with _LOCK:
        _KEPT.clear()
        _SENT[key] = pickle.dumps((worker, data))


def forget(key: str) -> None:
    """Let a job go."""
    with _LOCK:
        _SENT.pop(key, None)
        _KEPT.pop(key, None)


def call(key: str, function: Callable[[Any, Any], Any], item: Any) -> Any:
    """Call a function with the job and an item, on a worker."""
    import dask

    with _LOCK:
        if key not in _KEPT:
            worker, data = pickle.loads(_SENT[key])  # noqa: S301 - see `connect`
            _KEPT[key] = _placed(pickle.loads(data), worker)  # noqa: S301
        job = _KEPT[key]
    # A dask image must not be computed by tasks that would wait for this one.
    with dask.config.set(scheduler="synchronous"):
        return function(job, item)


def _placed(job: Any, worker: str) -> Any:
    """Return a job with the device of this worker; several share a machine's."""
    n = n_devices("cuda")
    if job.options.device != "auto" or n < 2 or not worker.isdecimal():
        return job
    options = dataclasses.replace(job.options, device=f"cuda:{int(worker) % n}")
    return dataclasses.replace(job, options=options)


def do_item(job: Job, item: Item) -> Item:
    """Do an item on a worker."""
    with _LOCK:
        work = _work_of(job)
    work.do(item)
    return item


@functools.lru_cache(1)
def _work_of(job: Job) -> Work:
    return Work(job, job.plan())
