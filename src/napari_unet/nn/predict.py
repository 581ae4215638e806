"""Prediction: tiles through the network into fixed-point probabilities.

Each tile is computed alone, so neither the order nor the number of tiles in flight can
change a value. `iter_predict` yields as tiles finish and may be closed at any time.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
from napari_unet.core.processing import Processing
from napari_unet.core.stitching import Blender
from napari_unet.core.tiling import Geometry, Grid, Tile
from napari_unet.errors import SettingsError
from napari_unet.nn.averaging import turn, turn_back, turns_of
from napari_unet.nn.device import is_out_of_memory, release_memory
from napari_unet.nn.graph import GraphNetwork
from napari_unet.nn.kernels import exact_arithmetic
from napari_unet.nn.monotone import FIXED_NORMS
from napari_unet.settings import Prediction, Recipe

# Tiles whose results may exist at once: enough to keep the workers busy, few enough
# to cancel quickly.
IN_FLIGHT = 3
NO_STEPS = Processing()


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
    after
        Steps after the activation.
    distances
        Channels that are no class: softmax leaves them as they are, within 0..1.
    """

    network: nn.Module
    activation: str
    prediction: Prediction
    device: torch.device
    ndim: int
    after: Processing = NO_STEPS
    distances: tuple[int, ...] = ()

    def __call__(
        self, tile: npt.NDArray[np.float32], crop: tuple[slice, ...]
    ) -> npt.NDArray[Any]:
        """Return stored probabilities (C, ...) of the cropped part of one tile."""
        probabilities = self.probabilities(tile)[(slice(None), *crop)]
        return to_stored(probabilities, self.prediction.stored)

    def probabilities(self, tile: npt.NDArray[np.float32]) -> Tensor:
        """Return float32 probabilities (C, ...) of one tile (C, ...), on the device.

        Raises
        ------
        SettingsError
            If numbers became too large for the precision.
        """
        values = self.values(tile)
        limited = self.activation != "none" and not self.after.steps
        limited &= not self.distances
        return values if limited else values.clamp(0, 1)

    def values(self, tile: npt.NDArray[np.float32]) -> Tensor:
        """Return what the network and the steps after it give, within 0..1 or not.

        Raises
        ------
        SettingsError
            If numbers became too large for the precision.
        """
        with exact_arithmetic(self.device, self.prediction.precision):
            x = torch.from_numpy(np.ascontiguousarray(tile))[None].to(self.device)
            turns = turns_of(self.prediction.test_time_averaging, self.ndim)
            parts = (self._turned(x, flips, quarters) for flips, quarters in turns)
            total = functools.reduce(Tensor.add_, parts)[0]
            if total.isnan().any():
                total = self._without_nan(total)
            return total if len(turns) == 1 else total.div_(len(turns))

    def _without_nan(self, probabilities: Tensor) -> Tensor:
        """Return zeros for NaN, which only pixels of absurd brightness cause."""
        if self.prediction.precision != "float32":
            raise SettingsError(
                f"The network's numbers are too large for {self.prediction.precision}.",
                "Choose float32.",
            )
        return probabilities.nan_to_num_(nan=0.0)

    def _turned(self, x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
        logits = self.network(turn(x, flips, quarters))
        return turn_back(self._activate(logits.float()), flips, quarters)

    def _activate(self, values: Tensor) -> Tensor:
        if self.activation == "softmax":
            values = self._softmax(values)
        elif self.activation == "sigmoid":
            values = values.sigmoid()
        if not self.after.steps:
            return values
        arrays = map(self.after.apply, values.cpu().numpy())
        return torch.from_numpy(np.stack(list(arrays))).to(values.device)

    def _softmax(self, values: Tensor) -> Tensor:
        if not self.distances:
            return values.softmax(dim=1)
        n = values.shape[1]
        classes = [index for index in range(n) if index not in self.distances]
        values = values.clone()
        values[:, classes] = values[:, classes].softmax(dim=1)
        return values


def to_stored(probabilities: Tensor, stored: str) -> npt.NDArray[Any]:
    """Return probabilities in fixed point, ``"uint16"`` or ``"uint8"``, on the CPU."""
    whole = probabilities.mul(scale_of(stored)).round_()
    if whole.device.type == "cpu":
        return whole.to(getattr(torch, stored)).numpy()
    return as_bits(whole, stored).contiguous().cpu().numpy().view(stored)


def as_bits(whole: Tensor, stored: str) -> Tensor:
    """Return whole numbers in 8 or 16 bits, where they are: there is less to bring.

    Every device knows 16 bits with a sign, and the bits are the same as without.
    """
    bits = torch.uint8 if stored == "uint8" else torch.int16
    return whole.to(torch.int32).to(bits)


def make_predictor(
    network: nn.Module, recipe: Recipe, prediction: Prediction, device: torch.device
) -> Predictor:
    """Prepare a copy of `network` for inference on `device`."""
    ndim = recipe.architecture.ndim
    ready = fold_batch_norm(copy.deepcopy(network).eval()).to(device)
    layout = torch.channels_last if ndim == 2 else torch.channels_last_3d
    ready = ready.to(memory_format=layout)  # type: ignore[call-overload]
    steps = recipe.postprocessing
    after = Processing(steps, ((),) * len(steps))
    return Predictor(
        ready,
        recipe.activation,
        prediction,
        device,
        ndim,
        after,
        tuple(i for i, name in enumerate(recipe.channels) if name == "distance"),
    )


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in place; return it."""
    if isinstance(network, GraphNetwork):
        network.fold_batch_norm()
        return network
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        if type(module).forward is not nn.Sequential.forward:
            continue
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            fixed = isinstance(norm, FIXED_NORMS) and norm.track_running_stats
            if fixed and isinstance(conv, (nn.Conv2d, nn.Conv3d)):
                dtype = conv.weight.dtype
                # In float64, so that folding itself rounds only once.
                pair = conv.double(), cast("nn.BatchNorm2d", norm).double()
                setattr(module, name, fuse_conv_bn_eval(*pair).to(dtype))
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
        (C, ...) of the stored type, over the image's pixels from `grid.origin` on.
    workers
        Tiles computed at once; on the CPU each with all of torch's threads.
    blend
        The network's geometry, if tiles must be blended because its layers depend on
        the tile; None: exact tiles, each pixel written once.

    Raises
    ------
    RuntimeError, MemoryError
        If one tile alone does not fit in memory; see `is_out_of_memory`.
    """

    def read(tile: Tile) -> npt.NDArray[np.float32]:
        return read_mirrored(reader, tile.read, grid.shape)

    if blend is not None:
        yield from _blended(predict, read, grid, out, blend)
        return

    def write(tile: Tile) -> None:
        out[(slice(None), *grid.target(tile))] = predict(read(tile), tile.crop)

    done = _in_order(write, grid.tiles, workers, predict.device)
    for n_done, tile in enumerate(done, start=1):
        yield TileDone(tile, n_done, len(grid.tiles))


def _blended(
    predict: Predictor,
    read: Callable[[Tile], npt.NDArray[np.float32]],
    grid: Grid,
    out: npt.NDArray[Any],
    geometry: Geometry,
) -> Iterator[TileDone]:
    """Average overlapping tiles under a Gaussian window, always in the grid's order."""
    blender = Blender(len(out), grid, geometry, out.shape[1:])
    for n_done, tile in enumerate(grid.tiles, start=1):
        blender.add(tile, predict.probabilities(read(tile)).cpu().numpy())
        yield TileDone(tile, n_done, len(grid.tiles))
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

    def fits(tile: Tile) -> bool:
        """Work, and return False if memory was full: an error would keep it so."""
        try:
            work(tile)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    todo = deque(tiles)
    waiting: deque[tuple[Tile, Future[bool]]] = deque()
    n_most = min(IN_FLIGHT, workers + 1)
    with _thread_pool(workers, device) as pool:
        while todo or waiting:
            while todo and len(waiting) < n_most:
                tile = todo.popleft()
                waiting.append((tile, pool.submit(fits, tile)))
            tile, future = waiting.popleft()
            if not future.result():
                n_most = 1
                wait(other for _, other in waiting)
                release_memory(device)
                pool.submit(work, tile).result()
            yield tile


@contextlib.contextmanager
def _thread_pool(workers: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads compute with as many of torch's threads as the caller.

    Fewer for each would change the last bits on some processors: the labels would
    depend on `workers`.
    """
    n_threads = torch.get_num_threads()
    share = n_threads if device.type == "cpu" else 1
    pool = ThreadPoolExecutor(workers, "tile", lambda: torch.set_num_threads(share))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(n_threads)
