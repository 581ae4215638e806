"""Host: scheduler and worker in one process, started with ``python -m``.

Never multiprocessing, which would run the user's script again. The process that starts
it writes one line of JSON (TLS credentials) to its standard input and keeps that open:
when the input ends, the parent is gone, however it died, and so is this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
from typing import Any

LOOPBACK = "127.0.0.1"

# One thread computes tiles; the other separates what is looked at meanwhile.
N_THREADS = 2

CONFIG: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # a crash is said, never repeated
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,  # a long tile is not a dead worker
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.diagnostics.nvml": False,
}


async def serve(credentials: dict[str, str], folder: str) -> None:
    """Run a scheduler and its worker until one of them is closed."""
    import dask
    from distributed import Scheduler, Worker
    from distributed.security import Security

    dask.config.set(CONFIG)
    security = Security(require_encryption=True, **credentials)
    here: dict[str, Any] = {
        "host": LOOPBACK,
        "dashboard": False,
        "dashboard_address": f"{LOOPBACK}:0",
        "security": security,
    }
    async with (
        Scheduler(protocol="tls", port=0, **here) as scheduler,
        Worker(
            scheduler.address,
            nthreads=N_THREADS,
            memory_limit=0,
            local_directory=folder,
            **here,
        ) as worker,
    ):
        sys.stdout.write(json.dumps({"address": scheduler.address}) + "\n")
        sys.stdout.flush()
        # Nobody reads further lines, and a pipe that is full would stop who prints.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        # A scheduler without its worker would let everybody wait for ever.
        ends = [asyncio.ensure_future(part.finished()) for part in (scheduler, worker)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


def _leave_with_parent(folder: str) -> None:
    """End this process when its standard input does."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # nothing here is worth waiting for: a tile may take minutes


def main() -> None:
    """Read the credentials, then serve until the parent is gone."""
    credentials = json.loads(sys.stdin.buffer.readline())
    folder = tempfile.mkdtemp(prefix="napari-unet-worker-")
    watch = threading.Thread(target=_leave_with_parent, args=[folder], daemon=True)
    watch.start()
    asyncio.run(serve(credentials, folder))


if __name__ == "__main__":
    main()
