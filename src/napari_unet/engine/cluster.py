"""Clusters: many workers at once, of dask.distributed, here or on other machines.

The job, with the model in it, travels once to every worker, also to one that joins or
is started again later; a task is then a few bytes. Finished items leave records in the
output, so whatever dies, at most the items in hand are lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pickle
import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from napari_unet.engine.executors import Run
from napari_unet.engine.job import Job
from napari_unet.engine.work import Item, Work
from napari_unet.errors import UNetError, WorkerError
from napari_unet.nn.device import n_devices

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_TIMEOUT = 30.0
# Items handed out beyond those that run: enough to keep workers busy, few to cancel.
AHEAD = 2
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
        with told("The job could not be sent to the workers."):
            plugin = _plugin(work.job.to_send())
            self.client.register_plugin(plugin)

        def run(items: Iterable[Item]) -> Iterator[Item]:
            return self._run(items, plugin.name)

        try:
            yield run
        finally:
            with contextlib.suppress(Exception):
                self.client.unregister_worker_plugin(plugin.name)

    def _run(self, items: Iterable[Item], key: str) -> Iterator[Item]:
        from distributed import as_completed

        waiting = iter(items)
        client = self.client

        def submit(item: Item) -> Future:
            return client.submit(run_item, key, item, pure=False)

        with told("The connection to the scheduler was lost."):
            ahead = max(1, len(client.nthreads())) * AHEAD
            first = [submit(item) for item in itertools.islice(waiting, ahead)]
            running = as_completed(first, loop=client.loop)
            pending = set(first)
            try:
                for future in running:
                    pending.discard(future)
                    done = future.result()
                    for item in itertools.islice(waiting, 1):
                        new = submit(item)
                        pending.add(new)
                        running.add(new)
                    yield done
            finally:
                if pending:
                    with contextlib.suppress(Exception):
                        client.cancel(list(pending))


@contextlib.contextmanager
def told(problem: str) -> Iterator[None]:
    """Turn what distributed raises when something has died into a `WorkerError`."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        yield
    except UNetError:
        raise
    except KilledWorker as error:
        raise WorkerError(
            f"One block has ended worker after worker ({error.task}).",
            "Give each worker more memory, or choose a smaller block. " + RESUME,
        ) from None
    except (CancelledError, OSError, TimeoutError) as error:
        raise WorkerError(f"{problem} ({error})", RESUME) from None


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
    cluster._stack.callback(_close, client)
    return cluster


def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=5)


_JOBS: dict[str, bytes] = {}
_WORKS: dict[str, Work] = {}
_LOCK = threading.Lock()


def _plugin(job: Job) -> Any:
    """Return the plugin that brings a job to each worker."""
    from distributed import WorkerPlugin

    name = f"napari-unet-{uuid.uuid4().hex}"
    data = pickle.dumps(job)

    class Bring(WorkerPlugin):  # type: ignore[misc]
        """Keeps the job while the cluster works on it."""

        def setup(self, worker: Any) -> None:
            keep_job(name, data, str(worker.name))

        def teardown(self, worker: Any) -> None:
            forget_job(name)

    Bring.name = name
    return Bring()


def keep_job(key: str, data: bytes, worker: str) -> None:
    """Keep a job on a worker; several on one machine share its devices."""
    job: Job = pickle.loads(data)  # noqa: S301 - from the client, over TLS
    n = n_devices("cuda")
    if job.options.device == "auto" and n > 1 and worker.isdecimal():
        options = dataclasses.replace(job.options, device=f"cuda:{int(worker) % n}")
        job = dataclasses.replace(job, options=options)
    with _LOCK:
        _WORKS.clear()
        _JOBS[key] = pickle.dumps(job)


def forget_job(key: str) -> None:
    """Let a job go."""
    with _LOCK:
        _JOBS.pop(key, None)
        _WORKS.pop(key, None)


def run_item(key: str, item: Item) -> Item:
    """Do an item on a worker."""
    with _LOCK:
        if key not in _WORKS:
            job: Job = pickle.loads(_JOBS[key])  # noqa: S301 - see keep_job
            _WORKS[key] = Work(job, job.plan())
        work = _WORKS[key]
    work.do(item)
    return item
