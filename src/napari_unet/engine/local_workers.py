"""Workers on this machine, each a process of its own, over TLS on the loopback.

They are started with ``python -m``, never by multiprocessing, which would run the
user's script again; a nanny starts a worker that died anew. They end with this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.engine.cluster import Cluster, _close, told
from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

# Dask's nanny asks malloc to give all that is freed back to the system: the pages of
# every convolution would be faulted in anew, which made a worker 1.5 times slower. Its
# profiler looks at a worker a hundred times a second, while all cores are busy.
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}
START_TIMEOUT = 120.0
# A worker that finds no scheduler for so long ends; on a busy machine one that is
# started again takes its time.
ALONE_TIMEOUT = 300.0
STOP_TIMEOUT = 10.0


def local_workers(n: int) -> Cluster:
    """Start `n` workers on this machine.

    Parameters
    ----------
    n
        On a machine with GPUs, one for each of them.

    Raises
    ------
    WorkerError
        They do not start.
    """
    from distributed import Client, LocalCluster
    from distributed.security import Security

    security = Security.temporary()
    with told("The scheduler could not be started."), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the port of a dashboard we do not want
        scheduler = LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            scheduler_kwargs={"dashboard": False},
        )
        client = Client(scheduler, security=security, set_as_default=False)
    cluster = Cluster(client)
    cluster._stack.callback(scheduler.close, timeout=5)
    cluster._stack.callback(_close, client)
    folder = cluster._stack.enter_context(tempfile.TemporaryDirectory())
    flags = _write_credentials(Path(folder), security)
    processes = [
        _start(scheduler.scheduler_address, str(i), flags, Path(folder))
        for i in range(n)
    ]
    cluster._stack.callback(_stop, processes)
    try:
        _wait_for(client, processes)
    except BaseException:
        cluster.close()
        raise
    stopping = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(processes, cluster, stopping), daemon=True
    )
    watch.start()
    cluster._stack.callback(stopping.set)
    return cluster


def _write_credentials(folder: Path, security: Security) -> list[str]:
    """Write the workers' temporary credentials where only this user can read them."""
    held: dict[str, Any] = {
        "--tls-ca-file": security.tls_ca_file,
        "--tls-cert": security.tls_worker_cert,
        "--tls-key": security.tls_worker_key,
    }
    flags = []
    for flag, text in held.items():
        path = folder / f"{flag.strip('-')}.pem"
        path.touch(mode=0o600)
        path.write_text(str(text))
        flags += [flag, str(path)]
    return flags


def _start(
    address: str, name: str, flags: list[str], folder: Path
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *flags]
    command += ["--name", name, "--nthreads", "1", "--memory-limit", "0"]
    command += ["--no-dashboard", "--local-directory", str(folder)]
    command += ["--death-timeout", f"{ALONE_TIMEOUT:.0f}"]
    with (folder / f"worker-{name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**ENVIRONMENT, **os.environ},
        )


def _wait_for(client: Client, processes: list[subprocess.Popen[bytes]]) -> None:
    n, until = len(processes), time.monotonic() + START_TIMEOUT
    while len(client.nthreads()) < n:
        ended = [p.returncode for p in processes if p.poll() is not None]
        if ended:
            raise WorkerError(
                f"A worker ended while it started (status {ended[0]}).",
                f"Look why: {sys.executable} -m distributed.cli.dask_worker --help",
            )
        if time.monotonic() > until:
            raise WorkerError(
                f"{n} workers did not start within {START_TIMEOUT:.0f} s.",
                "Start fewer of them.",
            )
        time.sleep(0.05)


def _watch(
    processes: list[subprocess.Popen[bytes]],
    cluster: Cluster,
    stopping: threading.Event,
) -> None:
    """When no worker is left to wait for, end the waiting."""
    for process in processes:
        process.wait()
    if not stopping.is_set():
        cluster.problem = "All workers have ended."
        _close(cluster.client)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
