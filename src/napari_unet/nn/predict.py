"""Prediction: tiles through the network into fixed-point probabilities.

Each tile is computed alone, so neither the order nor the number of tiles in flight can
change a value. `iter_predict` yields as tiles finish and may be closed at any time.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.core.events import TileDone
from napari_unet.core.fixed_point import scale_of
from napari_unet.core.mirror import read_mirrored
from napari_unet.core.normalize import Reader
from napari_unet.core.stitching import Blender
from napari_unet.core.tiling import Geometry, Grid, Tile
from napari_unet.nn.device import exact_arithmetic, is_out_of_memory, release_memory
from napari_unet.nn.receptive_field import FIXED_NORMS
from napari_unet.settings import Prediction, Recipe

# Tiles whose results may exist at once: enough to keep the workers busy, few enough
# to cancel quickly.
IN_FLIGHT = 3

Turn = tuple[tuple[int, ...], int]


@dataclass(frozen=True)
class Predictor:
    """A network ready to run on a device; the original is untouched.

    Parameters
    ----------
    network
        A copy with batch norm folded, on `device`.
    activation
        ``"softmax"``, ``"sigmoid"`` or ``"none"``: applied to the logits.
    prediction
        Precision, averaging and storage.
    device
        Where it runs.
    ndim
        Spatial dimensions.
    """

    network: nn.Module
    activation: str
    prediction: Prediction
    device: torch.device
    ndim: int

    def __call__(
        self, tile: npt.NDArray[np.float32], crop: tuple[slice, ...]
    ) -> npt.NDArray[Any]:
        """Return stored probabilities (C, ...) of the cropped part of one tile."""
        probabilities = self.probabilities(tile)[(slice(None), *crop)]
        stored = cast("str", self.prediction.stored)
        scaled = probabilities.mul(scale_of(stored)).round_()
        return scaled.to(getattr(torch, stored)).cpu().numpy()

    def probabilities(self, tile: npt.NDArray[np.float32]) -> Tensor:
        """Return float32 probabilities (C, ...) of one tile (C, ...), on the device."""
        with exact_arithmetic(self.device, self.prediction.precision):
            x = torch.from_numpy(np.ascontiguousarray(tile))[None].to(self.device)
            turns = _turns(self.prediction.test_time_averaging, self.ndim)
            parts = (self._turned(x, *turn) for turn in turns)
            total = functools.reduce(Tensor.add_, parts)
            return total[0] if len(turns) == 1 else total[0].div_(len(turns))

    def _turned(self, x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
        logits = self.network(_turn(x, flips, quarters))
        return _turn_back(self._activate(logits), flips, quarters)

    def _activate(self, logits: Tensor) -> Tensor:
        logits = logits.float()
        if self.activation == "softmax":
            return logits.softmax(dim=1)
        return logits.sigmoid() if self.activation == "sigmoid" else logits.clamp(0, 1)


def make_predictor(
    network: nn.Module, recipe: Recipe, prediction: Prediction, device: torch.device
) -> Predictor:
    """Prepare a copy of `network` for inference on `device`."""
    ndim = recipe.architecture.ndim
    ready = fold_batch_norm(copy.deepcopy(network).eval()).to(device)
    layout = torch.channels_last if ndim == 2 else torch.channels_last_3d
    ready = ready.to(memory_format=layout)  # type: ignore[call-overload]
    return Predictor(ready, recipe.activation, prediction, device, ndim)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in place; return it."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            fixed = isinstance(norm, FIXED_NORMS) and norm.track_running_stats
            if fixed and isinstance(conv, (nn.Conv2d, nn.Conv3d)):
                fused = fuse_conv_bn_eval(conv, cast("nn.BatchNorm2d", norm))
                setattr(module, name, fused)
                setattr(module, norm_name, nn.Identity())
    return network


def iter_predict(
    predict: Predictor,
    reader: Reader,
    grid: Grid,
    out: npt.NDArray[Any],
    *,
    workers: int = 1,
    blend: Geometry | None = None,
) -> Iterator[TileDone]:
    """Fill `out` tile by tile, in the grid's order; yield after each.

    Parameters
    ----------
    predict
        From `make_predictor`.
    reader
        Spatial region -> normalised (C, ...) float32 pixels; called from threads.
    grid
        The tiles.
    out
        (C, ...) of the stored type, over the image's pixels.
    workers
        Tiles computed at once; on the CPU each by one share of the threads.
    blend
        The network's geometry, if tiles must be blended because its layers depend on
        the tile; None: exact tiles, each pixel written once.

    Raises
    ------
    torch.OutOfMemoryError
        If one tile alone does not fit on the device.
    """

    def read(tile: Tile) -> npt.NDArray[np.float32]:
        return read_mirrored(reader, tile.read, grid.shape)

    if blend is not None:
        yield from _blended(predict, read, grid, out, blend)
        return

    def write(tile: Tile) -> None:
        out[(slice(None), *tile.write)] = predict(read(tile), tile.crop)

    n_tiles = len(grid.tiles)
    for tile in _in_order(write, grid.tiles, workers, predict.device):
        yield TileDone(tile, tile.index + 1, n_tiles)


def _blended(
    predict: Predictor,
    read: Callable[[Tile], npt.NDArray[np.float32]],
    grid: Grid,
    out: npt.NDArray[Any],
    geometry: Geometry,
) -> Iterator[TileDone]:
    """Average overlapping tiles under a Gaussian window, always in the grid's order."""
    blender = Blender(len(out), grid, geometry)
    for tile in grid.tiles:
        blender.add(tile, predict.probabilities(read(tile)).cpu().numpy())
        yield TileDone(tile, tile.index + 1, len(grid.tiles))
    blender.store(out)


def _in_order(
    work: Callable[[Tile], None],
    tiles: Sequence[Tile],
    workers: int,
    device: torch.device,
) -> Iterator[Tile]:
    """Run `work` on every tile, several at once; yield the tiles in order.

    Out of memory first lowers the number of tiles in flight to one. When the caller
    stops, tiles that have begun are finished and the rest is dropped.
    """
    waiting: deque[tuple[Tile, Future[None]]] = deque()
    todo = deque(tiles)
    n_most = min(IN_FLIGHT, workers + 1)
    with _thread_pool(workers, device) as pool:
        try:
            while todo or waiting:
                while todo and len(waiting) < n_most:
                    tile = todo.popleft()
                    waiting.append((tile, pool.submit(work, tile)))
                tile, future = waiting.popleft()
                error = future.exception()
                if error is not None and is_out_of_memory(error):
                    for _, other in waiting:
                        other.exception()
                    release_memory(device)
                    work(tile)
                    n_most = 1
                elif error is not None:
                    raise error
                yield tile
        finally:
            for _, future in waiting:
                future.cancel()


class _thread_pool:
    """A pool whose threads share torch's CPU threads; restores them at the end."""

    def __init__(self, workers: int, device: torch.device) -> None:
        self.threads = torch.get_num_threads()
        share = max(1, self.threads // workers) if device.type == "cpu" else 1
        self.pool = ThreadPoolExecutor(
            workers, "tile", lambda: torch.set_num_threads(share)
        )

    def __enter__(self) -> ThreadPoolExecutor:
        return self.pool

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self.threads)


def _turns(averaging: str, ndim: int) -> list[Turn]:
    """Return the mirrored axes and quarter turns to average over.

    ``"flips"``: every combination of mirrored axes; ``"rotations"``: all symmetries of
    the square in YX (times a flip of Z in 3-D).
    """
    axes = tuple(range(2, 2 + ndim))
    if averaging == "none":
        return [((), 0)]
    if averaging == "flips":
        subsets = range(2**ndim)
        return [
            (tuple(a for i, a in enumerate(axes) if bits >> i & 1), 0)
            for bits in subsets
        ]
    flat: list[Turn] = [((), q) for q in range(4)] + [
        ((axes[-1],), q) for q in range(4)
    ]
    if ndim == 2:
        return flat
    return flat + [((axes[0], *flips), q) for flips, q in flat]


def _turn(x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
    x = x.flip(flips) if flips else x
    return x.rot90(quarters, (-2, -1)) if quarters else x


def _turn_back(x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
    x = x.rot90(-quarters, (-2, -1)) if quarters else x
    return x.flip(flips) if flips else x
