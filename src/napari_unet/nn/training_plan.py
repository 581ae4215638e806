"""Training plan: which network, channels, patch and recipe suit the images.

All guesses of training are made here, before any pixel is touched, and each is a note.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

from napari_unet.core.tiling import Geometry
from napari_unet.core.tuning_doubt import first_separation
from napari_unet.errors import SettingsError
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.fine_tuning import (
    adapt_network,
    adopt_settings,
    check_dimensions,
    class_names,
)
from napari_unet.nn.fitting import check_images
from napari_unet.nn.losses import Objective, plan_objective
from napari_unet.nn.optimisation import seeded
from napari_unet.nn.samples import (
    common_pixel_size,
    find_classes,
    median_diameter,
    relative_spacing,
)
from napari_unet.nn.scaling import Scaling
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe
from napari_unet.training_settings import Training

# An axis is pooled once its pixels are less than this times as large as the smallest.
NEARLY_ISOTROPIC = 2.0
USUAL_PATCH = {2: 256**2, 3: 2**18}
AS_THEY_ARE = Scaling()


@dataclass(frozen=True)
class Start:
    """What training starts with.

    Parameters
    ----------
    model
        The network and its recipe, which lacks scores.
    objective
        Channels and loss.
    training
        Settings, with what a trained model decides.
    patch
        Pixels per spatial axis.
    fine_tuning
        Whether the network was trained before.
    notes
        What was guessed, one sentence each.
    volume
        Pixels of the network in one of the images, where these were scaled.
    """

    model: Model
    objective: Objective
    training: Training
    patch: tuple[int, ...]
    fine_tuning: bool
    notes: tuple[str, ...] = ()
    volume: float = 1.0


def plan_training(
    images: Sequence[TrainingImage],
    training: Training,
    model: Model | None = None,
    *,
    name: str = "",
    scaling: Scaling = AS_THEY_ARE,
) -> Start:
    """Choose or adapt the network, its channels and the patch.

    Parameters
    ----------
    images
        All of them, validation included, scaled already.
    training
        Settings.
    model
        To start from; None: a new network.
    name
        Of the model that comes of it.
    scaling
        By which the images were scaled.

    Raises
    ------
    AxesError
        If the images differ in dimensions or channels, or do not fit the model.
    SettingsError
        If settings, labels and model contradict each other.
    """
    ndim, _ = check_images(images)
    notes: list[str] = []
    if model is None:
        objective = _objective(images, training, training.classes)
        arch = new_architecture(images, training, len(objective.channels))
        with seeded(training.random_seed):
            network: nn.Module = UNet(arch)
        recipe = Recipe(architecture=arch, channels=objective.channels)
    else:
        check_dimensions(model, ndim)
        training = adopt_settings(training, model.recipe)
        objective = _objective(images, training, class_names(training, model.recipe))
        network, recipe = adapt_network(model, objective, training.random_seed, notes)
    recipe = describe(recipe, images, objective, training)
    recipe = recipe.replace(name=name, scale=scaling.scale)
    planned = Model(network, recipe)
    patch = choose_patch(images, training.patch, planned.geometry)
    _check_statistics(planned, patch, training.batch)
    asked = _per_axis(training.patch, ndim)
    if asked and patch != asked:
        notes.append(f"The patch {asked} was rounded up to {patch} for the network.")
    return Start(
        planned,
        objective,
        training,
        patch,
        fine_tuning=model is not None,
        notes=tuple(notes),
        volume=scaling.volume,
    )


def new_architecture(
    images: Sequence[TrainingImage], training: Training, out_channels: int
) -> Architecture:
    """Return the arguments of a new, padded U-Net with batch norm."""
    ndim, n_channels = check_images(images)
    spacing = np.median([relative_spacing(image) for image in images], axis=0)
    return Architecture.parse(
        {
            "ndim": ndim,
            "in_channels": n_channels,
            "out_channels": out_channels,
            "depth": training.depth,
            "base_channels": training.base_channels,
            "pooling": choose_pooling(tuple(spacing), training.depth),
        }
    )


def choose_pooling(
    spacing: tuple[float, ...], depth: int
) -> tuple[tuple[int, ...], ...]:
    """Return the pooling per stage and axis; empty if it is 2 everywhere.

    A coarse axis, such as Z of most stacks, is pooled only from the stage on where the
    others have become about as coarse.
    """
    current = list(spacing)
    stages = []
    for _ in range(depth):
        limit = NEARLY_ISOTROPIC * min(current)
        stage = tuple(2 if size < limit else 1 for size in current)
        current = [size * factor for size, factor in zip(current, stage, strict=True)]
        stages.append(stage)
    return () if all(set(stage) == {2} for stage in stages) else tuple(stages)


def choose_patch(
    images: Sequence[TrainingImage], asked: tuple[int, ...], geometry: Geometry
) -> tuple[int, ...]:
    """Return the patch: what was asked for, or the usual size, cubic in space.

    No longer than the longest image unless asked for, and rounded up to what the
    network takes.
    """
    ndim = len(geometry)
    sizes = _per_axis(asked, ndim)
    if not sizes:
        spacing = np.median([relative_spacing(image) for image in images], axis=0)
        edge = (USUAL_PATCH[ndim] * math.prod(spacing)) ** (1 / ndim)
        longest = np.max([image.labels.shape for image in images], axis=0)
        wanted = np.minimum(np.rint(edge / spacing), longest)
        sizes = tuple(int(size) for size in wanted)
    axes = zip(sizes, geometry, strict=True)
    return tuple(axis.accepted_size(max(1, size)) for size, axis in axes)


def describe(
    recipe: Recipe,
    images: Sequence[TrainingImage],
    objective: Objective,
    training: Training,
) -> Recipe:
    """Return the recipe with what the images say, without the scores of another."""
    instances = objective.task == "instances"
    separation = recipe.separation
    if instances and not separation.model_fields_set:
        separation = first_separation(image.labels for image in images)
    elif instances:  # of a model whose images were scaled, it counts their pixels
        separation = separation.scaled(recipe.size_volume)
    return recipe.replace(
        separation=separation,
        size_volume=1.0,
        task=objective.task,
        activation="softmax",
        pixel_size=common_pixel_size(images),
        diameter=median_diameter(images) if instances else None,
        normalization=training.normalization,
        # Patches were scaled by `normalization` alone.
        preprocessing=(),
        postprocessing=(),
        scores={},
        versions={
            "napari-unet-cells": version("napari-unet-cells"),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


def _objective(
    images: Sequence[TrainingImage], training: Training, classes: tuple[str, ...]
) -> Objective:
    if training.loss.target != "semantic":
        return plan_objective(training.loss)
    return plan_objective(training.loss, find_classes(images, classes))


def _per_axis(asked: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    if len(asked) == 1:
        return asked * ndim
    if asked and len(asked) != ndim:
        raise SettingsError(
            f"The patch {asked} has {len(asked)} axes, the images have {ndim}.",
            "Give one number, or one per spatial axis.",
        )
    return asked


def _check_statistics(model: Model, patch: tuple[int, ...], batch: int) -> None:
    """Refuse a batch whose coarsest features are one pixel: it has no deviation."""
    axes = zip(patch, model.geometry, strict=True)
    coarsest = math.prod(max(1, size // axis.divisor) for size, axis in axes)
    norms = (nn.BatchNorm2d, nn.BatchNorm3d)
    if batch * coarsest < 2 and any(
        isinstance(m, norms) for m in model.network.modules()
    ):
        raise SettingsError(
            f"A single patch of {patch} is one pixel at the bottom of the network.",
            "Give a larger patch, a larger batch, or a smaller depth.",
        )
