"""Plan: how one image meets one model, decided before a pixel is read.

Needs neither torch nor the network: what it asks of a model are plain numbers, so a
viewer plans, checks and draws while the network itself lives in another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from napari_unet.core.axes import ArrayLike, AxesPlan, guess_axes, plan_axes
from napari_unet.core.channels import ChannelPlan, plan_channels
from napari_unet.core.outline import Outline
from napari_unet.core.pixel_size import spatial_pixel_size
from napari_unet.core.resample import Resampling, plan_resampling, resampled_shape
from napari_unet.core.tiling import (
    Geometry,
    Grid,
    choose_tile,
    make_grid,
    uniform_tile,
)
from napari_unet.errors import AxesError, DeviceError, SettingsError
from napari_unet.pipeline.linking import check_link
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.outlined import parse_outline, within
from napari_unet.pipeline.region import Region, parse_region
from napari_unet.processing_settings import ProcessingStep
from napari_unet.settings import Normalization, Recipe, Separation, Tiling

# Beyond this, a pixel size is a mistake in the metadata rather than an image.
LARGEST_FACTOR = 100.0
UNSCALED = (
    "The model learned from images that were scaled to one pixel size; that of this "
    "image is not known, so it stays as it is."
)


class ModelFacts(Protocol):
    """What a plan asks of a model; `nn.checkpoint.Model` has it, and `ModelCard`."""

    @property
    def recipe(self) -> Recipe:
        """Channels, normalisation, separation, scores."""

    @property
    def sha256(self) -> str:
        """Of the file."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed while loading."""

    @property
    def geometry(self) -> Geometry:
        """Divisor, halo and crop per axis."""

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes of activations for each pixel read."""

    @property
    def tile_dependent_layers(self) -> tuple[str, ...]:
        """Layers whose result depends on the tile."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be done.

    Parameters
    ----------
    image
        Level 0 of the image.
    model
        Its recipe and geometry.
    options
        As given.
    axes
        Where each axis goes.
    channels
        What the network sees.
    resampling
        To the model's pixel size; None if the image stays as it is.
    grid
        The tiles of one sample.
    region
        What of the image is segmented.
    outline
        Outside of it is background; None: there is none.
    own_separation
        The model's, its sizes in pixels of the image.
    separation, normalization
        The model's, with what was given.
    notes
        Guesses and assumptions, one sentence each.
    """

    image: ArrayLike
    model: ModelFacts
    options: Options
    axes: AxesPlan
    channels: ChannelPlan
    resampling: Resampling | None
    grid: Grid
    region: Region
    outline: Outline | None
    own_separation: Separation
    separation: Separation
    normalization: Normalization
    notes: tuple[str, ...]

    @property
    def semantic(self) -> bool:
        """Whether labels are classes instead of objects."""
        return self.model.recipe.task == "semantic"

    @property
    def steps(self) -> tuple[ProcessingStep, ...]:
        """Steps before the network; empty: the normalisation, as where one is given."""
        given = self.options.normalization.model_fields_set
        return () if given else self.model.recipe.preprocessing


def make_plan(
    image: ArrayLike | Sequence[ArrayLike], model: ModelFacts, options: Options
) -> Plan:
    """Plan how `image` is segmented by `model`.

    Raises
    ------
    UNetError
        If they do not fit.
    """
    several = isinstance(image, (list, tuple))
    level0 = cast("ArrayLike", image[0] if several else image)
    recipe = model.recipe
    if recipe.refusal:
        raise AxesError(
            recipe.refusal, "Choose a model from one image to probabilities."
        )
    axes, channels, guesses = _plan_axes(level0, model, options)
    factors = _factors(axes, model, options)
    resampling, scaled = _plan_resampling(axes, recipe, factors)
    shape = axes.spatial_shape if resampling is None else resampled_shape(resampling)
    grid = _plan_grid(shape, model, options.tiling)
    own = _own_separation(recipe, factors)
    separation = options.separation.over(own)
    check_link(axes, separation)
    outline = parse_outline(options.outline, axes.spatial_shape[-2:])
    return Plan(
        image=level0,
        model=model,
        options=options,
        axes=axes,
        channels=channels,
        resampling=resampling,
        grid=grid,
        region=within(parse_region(options.region, axes), outline),
        outline=outline,
        own_separation=own,
        separation=separation,
        normalization=options.normalization.over(recipe.normalization),
        notes=(*model.notes, *guesses, *scaled, *_tiling_notes(model, grid)),
    )


def smaller_grid(plan: Plan, grid: Grid) -> Grid:
    """Return a grid with the longest side of the tile halved.

    Raises
    ------
    DeviceError
        If there is no smaller tile.
    """
    geometry = plan.model.geometry
    longest = max(range(len(grid.tile)), key=lambda axis: grid.tile[axis])
    tile = list(grid.tile)
    tile[longest] //= 2
    if tile[longest] < geometry[longest].divisor:
        raise DeviceError(
            "The device's memory is too small for any tile.",
            "Close other programs that use it, or choose the device cpu.",
        )
    border = plan.options.tiling.border
    return make_grid(grid.shape, tuple(tile), geometry, border=border)


def _plan_axes(
    image: ArrayLike, model: ModelFacts, options: Options
) -> tuple[AxesPlan, ChannelPlan, list[str]]:
    shape, arch = tuple(image.shape), model.recipe.architecture
    notes = []
    rgb = _looks_rgb(image, options.axes) if options.rgb is None else options.rgb
    letters = options.axes
    if letters is None:
        letters = guess_axes(shape, rgb=rgb)
        notes.append(f"The axes were guessed to be {letters}.")
    axes = plan_axes(letters, shape, ndim=arch.ndim)
    channels = plan_channels(
        axes.n_channels, arch.in_channels, rgb=rgb, chosen=options.channels
    )
    if channels.note:
        notes.append(channels.note)
    return axes, channels, notes


def _looks_rgb(image: ArrayLike, axes: str | None) -> bool:
    """Return whether the last of three axes, or C at the end, holds 8-bit colours."""
    shape = image.shape
    last = len(shape) == 3 if axes is None else axes.upper().endswith("C")
    return last and shape[-1] in (3, 4) and image.dtype == np.uint8


def _plan_resampling(
    axes: AxesPlan, recipe: Recipe, factors: tuple[float, ...] | None
) -> tuple[Resampling | None, list[str]]:
    if factors is None:
        return None, [UNSCALED] if recipe.size_volume != 1 else []
    shown = " x ".join(f"{factor:.3g}" for factor in factors)
    if any(not 1 / LARGEST_FACTOR <= f <= LARGEST_FACTOR for f in factors):
        raise SettingsError(
            f"The image would be scaled by {shown} to the model's pixels.",
            "Correct the pixel size, the diameter or the scale.",
        )
    resampling = plan_resampling(axes.spatial_shape, factors)
    if resampling is None:
        return None, []
    note = (
        f"The image is scaled by {shown} to the model's pixel size, and the "
        "probabilities are scaled back."
    )
    return resampling, [note]


def _factors(
    axes: AxesPlan, model: ModelFacts, options: Options
) -> tuple[float, ...] | None:
    """Return network pixels per image pixel; None: as many.

    By the scale given, else the diameter given, else the pixel sizes if both are known,
    else as the images were scaled that the model was trained on.
    """
    recipe, ndim = model.recipe, len(axes.spatial)
    for name in ("scale", "diameter"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise SettingsError(
                f"The {name} {value} is not positive.", "Give a number above 0."
            )
    if options.scale is not None:
        return (options.scale,) * ndim
    if options.diameter is not None:
        if recipe.diameter is None:
            raise SettingsError(
                "The model does not know the diameter of its objects.",
                "Give the scale directly instead of a diameter.",
            )
        return (recipe.diameter / options.diameter,) * ndim
    sizes = spatial_pixel_size(options.pixel_size, axes.spatial)
    if sizes is None or recipe.pixel_size is None:
        return None if recipe.scale == 1 else (recipe.scale,) * ndim
    pairs = zip(sizes, recipe.pixel_size, strict=True)
    return tuple(image / network for image, network in pairs)


def _own_separation(recipe: Recipe, factors: tuple[float, ...] | None) -> Separation:
    """Return the model's; to its network, sizes are the same at any scale."""
    return recipe.separation.scaled(recipe.size_volume / math.prod(factors or ()))


def _plan_grid(shape: tuple[int, ...], model: ModelFacts, tiling: Tiling) -> Grid:
    geometry = model.geometry
    if tiling.tile:
        tile = uniform_tile(tiling.tile, len(shape))
    else:
        tile = choose_tile(
            shape,
            geometry,
            border=tiling.border,
            bytes_per_pixel=model.bytes_per_pixel,
            memory_budget=tiling.memory_budget,
        )
    return make_grid(shape, tile, geometry, border=tiling.border)


def _tiling_notes(model: ModelFacts, grid: Grid) -> list[str]:
    layers = model.tile_dependent_layers
    if not layers or len(grid.tiles) == 1:
        return []
    note = (
        f"The result depends on the tiling, which is blended: {len(layers)} layer(s) "
        f"normalise or interpolate by the tile, such as {layers[0]}."
    )
    return [note]
