"""Client backend: the pipeline's loop here, network and watershed on a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.events import TileDone
from napari_unet.core.mirror import read_mirrored
from napari_unet.core.normalize import Reader
from napari_unet.core.stitching import Blender
from napari_unet.core.tiling import Grid, Tile
from napari_unet.engine import worker_tasks
from napari_unet.engine.worker_tasks import NetworkUse
from napari_unet.pipeline.plan import Plan
from napari_unet.settings import Separation

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.engine.client import Engine

Array = npt.NDArray[Any]

# Enough that the worker never waits for pixels, few enough to cancel quickly.
IN_FLIGHT = 3


class WorkerBackend:
    """Sends tiles to a worker; see `napari_unet.pipeline.running.Backend`.

    Parameters
    ----------
    engine
        The way to it.
    use
        Which network, and how it is run.
    """

    def __init__(self, engine: Engine, use: NetworkUse) -> None:
        self.engine = engine
        self.use = use

    def predict(
        self, plan: Plan, reader: Reader, grid: Grid, out: Array
    ) -> Iterator[TileDone]:
        """Fill `out` with the grid's tiles in their order; raise `DeviceFullError`."""

        def read(tile: Tile) -> Array:
            return read_mirrored(reader, tile.read, grid.shape)

        if plan.model.tile_dependent_layers:
            yield from self._blended(plan, read, grid, out)
            return

        def send(tile: Tile) -> Future:
            task = worker_tasks.predict_tile
            return self.engine.submit(task, self.use, read(tile), tile.crop)

        for n_done, (tile, stored) in enumerate(self._stream(grid, send), start=1):
            out[(slice(None), *grid.target(tile))] = stored
            yield TileDone(tile, n_done, len(grid.tiles))

    def separate(
        self,
        stored: Array,
        channels: tuple[str, ...],
        separation: Separation,
        *,
        semantic: bool,
    ) -> npt.NDArray[np.int32]:
        """Return the labels of one sample's probabilities (C, [Z,] Y, X)."""
        task, pixels = worker_tasks.separate, np.ascontiguousarray(stored)
        packed = self.engine.call(task, pixels, channels, separation, semantic=semantic)
        return packed.decode()

    def facts(self) -> dict[str, Any]:
        """Return device, threads and versions, for the provenance."""
        return self.engine.call(worker_tasks.device_facts, self.use.device)

    def _blended(
        self, plan: Plan, read: Callable[[Tile], Array], grid: Grid, out: Array
    ) -> Iterator[TileDone]:
        """Average overlapping tiles, always in the grid's order."""

        def send(tile: Tile) -> Future:
            return self.engine.submit(worker_tasks.predict_whole, self.use, read(tile))

        blender = Blender(len(out), grid, plan.model.geometry, out.shape[1:])
        for n_done, (tile, pixels) in enumerate(self._stream(grid, send), start=1):
            blender.add(tile, pixels)
            yield TileDone(tile, n_done, len(grid.tiles))
        blender.store(out)

    def _stream(
        self, grid: Grid, send: Callable[[Tile], Future]
    ) -> Iterator[tuple[Tile, Array]]:
        """Yield tiles with their results, in order, a few of them in flight.

        When the caller stops, tiles that have not begun are dropped.
        """
        todo = deque(grid.tiles)
        waiting: deque[tuple[Tile, Future]] = deque()
        try:
            while todo or waiting:
                while todo and len(waiting) < IN_FLIGHT:
                    tile = todo.popleft()
                    waiting.append((tile, send(tile)))
                tile, future = waiting.popleft()
                yield tile, self.engine.result(future)
        finally:
            self.engine.drop(future for _, future in waiting)
