"""Large tasks: a run from disk to disk on a worker, one item of work a task.

So a run can be left between two blocks, and the view that decides what comes next may
move. Importing this loads neither torch nor zarr.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari_unet.engine import worker_tasks
from napari_unet.engine.large_order import LargeOrder, LargeResult
from napari_unet.engine.output import Output, Progress, Written
from napari_unet.errors import WorkerError


@dataclass(eq=False)
class _Run:
    """A run, and what is looked at."""

    job: Generator[Progress, None, Written] | None = None
    view: Any = None


_runs: dict[int, _Run] = {}
_numbers = itertools.count(1)


def begin(data: bytes) -> int:
    """Begin the run of a pickled `LargeOrder`, or go on with it; return its number."""
    from napari_unet.engine.segment_to import iter_segment_to

    order: LargeOrder = pickle.loads(data)  # noqa: S301 - from our own client
    output = Output(order.out, block=order.block, resume=True, preview=True)
    run, number = _Run(), next(_numbers)
    run.job = iter_segment_to(
        order.image,
        output,
        worker_tasks.load(order.model, trust=order.trust, choices=order.choices),
        first=lambda: run.view,
        **order.options,
    )
    _runs[number] = run
    return number


def advance(number: int, view: Any) -> Progress | LargeResult:
    """Do one item, and return what is done by now."""
    import dask

    run = _runs.get(number)
    if run is None or run.job is None:
        raise WorkerError("The worker does not know this run.", "Press Run to go on.")
    run.view = view
    try:
        # A dask image must not be computed by tasks that wait for this one.
        with dask.config.set(scheduler="synchronous"):
            return next(run.job)
    except StopIteration as stop:
        return _result(stop.value)


def leave(number: int) -> None:
    """Let a run go; what is finished stays on disk."""
    run = _runs.pop(number, None)
    if run is not None and run.job is not None:
        with contextlib.suppress(ValueError):  # in work: it ends when that is done
            run.job.close()


def _result(written: Written) -> LargeResult:
    import zarr

    facts: Any = zarr.open_group(written.path, mode="r").attrs["napari_unet"]
    return LargeResult(
        written.path, written.axes, written.n_objects, written.notes, dict(facts)
    )
