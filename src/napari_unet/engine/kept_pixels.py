"""Kept pixels: arrays that a worker holds, so that using them again sends none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.run_lengths import RunLengths
from napari_unet.engine import worker_tasks

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.engine.client import Engine
    from napari_unet.settings import Separation

Array = npt.NDArray[Any]

# Bytes that a worker is asked to hold; the oldest go first.
LIMIT = 2**28


class KeptPixels:
    """Sends each array once, until it is forgotten; safe from any thread.

    Parameters
    ----------
    engine
        The way to the worker.
    limit
        Bytes held at most, and never more than one array above it.
    """

    def __init__(self, engine: Engine, limit: int = LIMIT) -> None:
        self.engine, self.limit = engine, limit
        self._lock = threading.Lock()
        # The array is held beside its copy, so that its address stays its own.
        self._kept: dict[Any, tuple[Array, Future]] = {}

    def put(self, array: Array) -> Future:
        """Return the worker's copy of an array, whose values do not change."""
        with self._lock:
            key = _key(array, self.engine.pid)
            found = self._kept.pop(key, None)
            if found is None or found[1].status != "finished":
                found = (array, self.engine.send(np.ascontiguousarray(array)))
                key = _key(array, self.engine.pid)
            self._kept[key] = found
            while len(self._kept) > 1 and self._n_bytes() > self.limit:
                del self._kept[next(iter(self._kept))]
            return found[1]

    def forget(self) -> None:
        """Let go of all: their values are about to change."""
        with self._lock:
            self._kept.clear()

    def separate(
        self,
        stored: Array,
        channels: tuple[str, ...],
        separation: Separation,
        *,
        semantic: bool,
    ) -> npt.NDArray[np.int32]:
        """Return the labels of probabilities (C, [Z,] Y, X) that are kept."""
        packed: RunLengths = self.engine.call(
            worker_tasks.separate,
            self.put(stored),
            channels,
            separation,
            semantic=semantic,
        )
        return packed.decode()

    def _n_bytes(self) -> int:
        return sum(array.nbytes for array, _ in self._kept.values())


def _key(array: Array, pid: int | None) -> Any:
    """Return what tells arrays in memory apart, and the worker that holds a copy."""
    return pid, array.__array_interface__["data"][0], array.shape, array.strides
