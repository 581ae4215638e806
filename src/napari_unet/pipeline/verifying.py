"""Verifying: a part of an image tiled, against the same part in one piece.

The one piece is read with all its real halo, so its inside is what the untiled network
gives. A user can press a button and see that tiling changed nothing.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.fixed_point import scale_of
from napari_unet.core.tiling import Grid, Tile, make_grid, round_up
from napari_unet.errors import SettingsError
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.reading import Source
from napari_unet.pipeline.region import Box, cut_to, meets
from napari_unet.pipeline.running import Backend

# The promise across tile shapes: 1e-5 before storing, so one step of uint16 after.
PROMISED_STEPS = 1


@dataclass(frozen=True)
class Verification:
    """How far a tiled result is from the same pixels in one piece.

    Parameters
    ----------
    n_pixels
        Pixels compared.
    n_tiles
        Tiles that they were cut into.
    largest
        Largest difference of stored probabilities, in units of probability.
    steps
        The same in steps of the fixed point.
    exact
        Whether the network's layers let tiling be exact.
    """

    n_pixels: int
    n_tiles: int
    largest: float
    steps: int
    exact: bool

    @property
    def is_kept(self) -> bool:
        """Whether the promise is kept."""
        return self.steps <= PROMISED_STEPS

    def __str__(self) -> str:
        found = (
            "no difference at all"
            if self.steps == 0
            else f"a largest difference of {self.largest:.2g}"
        )
        text = (
            f"{self.n_pixels:,} pixels in {self.n_tiles} tiles, against one piece: "
            f"{found}."
        )
        if not self.exact:
            text += " Some of the model's layers depend on the tile."
        return text


def verify(plan: Plan, backend: Backend) -> Verification:
    """Compare tiled with untiled on the region of `plan`, in its first sample.

    Raises
    ------
    SettingsError
        If one piece of the region does not fit the memory budget, or the image is
        scaled to the model's pixels.
    """
    if plan.resampling is not None:
        raise SettingsError(
            "The image is scaled to the model's pixels, which Verify does not compare.",
            "Verify without a diameter or pixel size.",
        )
    whole = _one_piece(plan)
    size = whole.tiles[0].n_read * plan.model.bytes_per_pixel
    if size > plan.options.tiling.memory_budget:
        raise SettingsError(
            f"One piece of this region needs {size / 2**30:.1f} GiB.",
            "Zoom in to verify a smaller region, or raise the memory budget.",
        )
    tiled, box = _several_pieces(plan), plan.region.box
    reader = Source(plan).normalised(plan.region.samples[0])
    results = []
    for grid in (whole, cut_to(tiled, box)):
        out = np.zeros(
            (len(plan.model.recipe.channels), *(p.stop - p.start for p in box)),
            plan.options.prediction.stored,
        )
        held = dataclasses.replace(grid, origin=tuple(part.start for part in box))
        for _ in backend.predict(plan, reader, held, out):
            pass
        results.append(out.astype(np.int32))
    return _compare(plan, results, len(tiled.tiles))


def _compare(plan: Plan, results: list[npt.NDArray[Any]], n_tiles: int) -> Verification:
    steps = int(np.abs(results[0] - results[1]).max(initial=0))
    return Verification(
        n_pixels=math.prod(results[0].shape[1:]),
        n_tiles=n_tiles,
        largest=steps / scale_of(plan.options.prediction.stored),
        steps=steps,
        exact=not plan.model.tile_dependent_layers,
    )


def _one_piece(plan: Plan) -> Grid:
    """Return a grid with one tile that writes the region and reads all its halo."""
    read, crop, write = [], [], []
    for part, axis, (low, high) in zip(
        plan.region.box, plan.model.geometry, plan.grid.canvas, strict=True
    ):
        left, right = axis.context
        start = part.start // axis.divisor * axis.divisor
        size = axis.output_size(part.stop - start)
        span = max(low, start - left), min(high, start + size + right)
        first = span[0] + axis.crop[0]
        read.append(span)
        crop.append(slice(part.start - first, part.stop - first))
        write.append(part)
    tile = Tile(0, tuple(read), tuple(crop), tuple(write))
    return dataclasses.replace(plan.grid, tiles=(tile,))


def _several_pieces(plan: Plan) -> Grid:
    """Return the plan's tiles of the region; smaller ones if it has only one."""
    box: Box = plan.region.box
    tiles = _needed(plan.grid, box)
    if len(tiles) > 1:
        return dataclasses.replace(plan.grid, tiles=tiles)
    sizes = [
        round_up(max(1, (part.stop - part.start) // 3), axis.divisor)
        for part, axis in zip(box, plan.model.geometry, strict=True)
    ]
    border = plan.options.tiling.border
    grid = make_grid(plan.grid.shape, tuple(sizes), plan.model.geometry, border=border)
    return dataclasses.replace(grid, tiles=_needed(grid, box))


def _needed(grid: Grid, box: Box) -> tuple[Tile, ...]:
    return tuple(tile for tile in grid.tiles if meets(tile.write, box))
