"""Large images on a worker: progress streams here, pixels go from disk to disk.

When the worker dies, finished blocks are in the output, and the same order goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from napari_unet.engine import large_tasks
from napari_unet.engine.large_order import LargeOrder, LargeResult
from napari_unet.engine.output import Progress
from napari_unet.errors import UNetError, WorkerError

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine


def iter_large(
    engine: Engine, order: LargeOrder, view: Callable[[], Any] = lambda: None
) -> Generator[Progress, None, LargeResult]:
    """Segment as `napari_unet.iter_segment_to` does, with the work on the worker.

    An output that a stopped run left is gone on with.

    Parameters
    ----------
    engine
        The way to the worker.
    order
        What is segmented.
    view
        Returns what is looked at, as a region by axis letters; that is done first.

    Raises
    ------
    UNetError
        As `napari_unet.iter_segment_to`, or if the worker has ended.
    """
    from distributed.protocol.pickle import dumps

    if engine.compute.address:
        raise WorkerError(
            "The image is on this machine, but the network runs on another one.",
            "Clear the compute address in the preferences, or choose a region.",
        )
    number = engine.call(large_tasks.begin, dumps(order))
    try:
        while True:
            event = engine.call(large_tasks.advance, number, view())
            if isinstance(event, LargeResult):
                return event
            yield event
    finally:
        # A worker that has died has nothing left to end.
        if engine.is_running:
            with contextlib.suppress(UNetError):
                engine.call(large_tasks.leave, number)
