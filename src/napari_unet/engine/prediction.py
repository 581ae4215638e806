"""Prediction of one block: the tiles that it holds, cut to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.fixed_point import scale_of
from napari_unet.core.mirror import read_mirrored
from napari_unet.core.normalize import Reader
from napari_unet.core.resample import Resampling, resampled_reader
from napari_unet.core.stitching import gaussian_window
from napari_unet.core.tiling import Geometry, Grid, Tile
from napari_unet.engine.blocks import Region
from napari_unet.nn.predict import Predictor
from napari_unet.pipeline.local import LocalBackend
from napari_unet.pipeline.outlined import tiles_within
from napari_unet.pipeline.plan import Plan


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """An array over a region that takes what is written to the whole image.

    Parameters
    ----------
    values
        (C, ...) of the region.
    region
        Where it lies.
    """

    values: npt.NDArray[Any]
    region: Region

    def __len__(self) -> int:
        return len(self.values)

    def __setitem__(self, key: tuple[slice, ...], value: npt.NDArray[Any]) -> None:
        """Keep that part of `value`, written to `key` (C first), that lies within."""
        inside, target = [slice(None)], [slice(None)]
        for part, own in zip(key[1:], self.region, strict=True):
            start, stop = max(part.start, own.start), min(part.stop, own.stop)
            inside.append(slice(start - part.start, stop - part.start))
            target.append(slice(start - own.start, stop - own.start))
        self.values[tuple(target)] = value[tuple(inside)]


def predict_region(
    backend: LocalBackend, plan: Plan, reader: Reader, out: Window
) -> None:
    """Fill `out` with stored probabilities, those that the whole image has there.

    Parameters
    ----------
    backend
        Where the network runs.
    plan
        Of the whole image.
    reader
        Spatial region -> pixels as the network sees them.
    out
        What is filled.

    Raises
    ------
    DeviceFullError
        A tile does not fit into the device's memory.
    """
    model = backend.model
    if model.tile_dependent_layers:
        predict = model.predictor(plan.options.prediction, backend.device)
        _blend(predict, reader, plan.grid, out, model.geometry)
        return
    tiles = tuple(tile for tile in plan.grid.tiles if _meets(tile.write, out.region))
    part = tiles_within(plan, dataclasses.replace(plan.grid, tiles=tiles))
    target: Any = out
    for _ in backend.predict(plan, reader, part, target):
        pass


def resampled_region(
    read: Reader, resampling: Resampling, region: Region, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return a region of resampled fixed-point probabilities, as `resample_stored`."""
    return np.rint(resampled_reader(read, resampling)(region)).astype(dtype)


def _meets(write: Region, region: Region) -> bool:
    pairs = zip(write, region, strict=True)
    return all(a.start < b.stop and b.start < a.stop for a, b in pairs)


def _output(tile: Tile, geometry: Geometry, shape: tuple[int, ...]) -> Region:
    """Return the pixels of the image that the whole output of a tile covers."""
    axes = zip(tile.read, geometry, shape, strict=True)
    return tuple(
        slice(max(0, start + axis.crop[0]), min(stop - axis.crop[1], n))
        for (start, stop), axis, n in axes
    )


def _blend(
    predict: Predictor, reader: Reader, grid: Grid, out: Window, geometry: Geometry
) -> None:
    """Sum weighted tiles in the grid's order, as `core.stitching.Blender` does."""
    shape = out.values.shape[1:]
    total = np.zeros((len(out), *shape), np.float32)
    weight = np.zeros((1, *shape), np.float32)
    sums, weights = Window(total, out.region), Window(weight, out.region)
    for tile in grid.tiles:
        covered = _output(tile, geometry, grid.shape)
        if not _meets(covered, out.region):
            continue
        pixels = read_mirrored(reader, tile.read, grid.shape)
        found = predict.probabilities(pixels).cpu().numpy()
        window = gaussian_window(found.shape[1:])[None]
        kept = [slice(None)]
        for part, (start, _), axis in zip(covered, tile.read, geometry, strict=True):
            first = start + axis.crop[0]
            kept.append(slice(part.start - first, part.stop - first))
        window, found = window[tuple(kept)], found[tuple(kept)]
        key = (slice(None), *covered)
        _add(weights, key, window)
        _add(sums, key, found * window)
    scale = np.float32(scale_of(out.values.dtype))
    out.values[...] = np.rint(total / weight * scale)


def _add(
    target: Window, key: tuple[slice, ...], values: npt.NDArray[np.float32]
) -> None:
    """Add to what a window holds."""
    before = np.zeros_like(target.values)
    change = Window(before, target.region)
    change[key] = values
    np.add(target.values, change.values, out=target.values)
