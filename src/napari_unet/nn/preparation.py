"""Preparation: all that is known about a training before the first step.

Network, split and the training doctor's findings follow from images and settings. A
dry run shows them; a training begins with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_unet.core.augmentation_sheet import Picture, augmentation_sheet
from napari_unet.core.split import split_validation
from napari_unet.core.split_parts import Split
from napari_unet.core.training_doctor import Finding, examine_data
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.fine_tuning import adopt_settings, class_names
from napari_unet.nn.fitting import as_semantic, fit_images
from napari_unet.nn.samples import (
    check_sigma,
    class_weights,
    named_by_data,
    normalise,
    prepare_samples,
    relative_spacing,
    take_parts,
)
from napari_unet.nn.scaling import plan_scaling
from napari_unet.nn.training_plan import Start, plan_training
from napari_unet.training_settings import Training


@dataclass(frozen=True, eq=False)
class Preparation:
    """What training would begin with.

    Parameters
    ----------
    images
        With the channels, axes and pixels that the network takes.
    start
        Network, objective, patch.
    split
        What is trained and what is validated on.
    findings
        Of the training doctor, errors first.
    notes
        What was guessed or decided, one sentence each.
    """

    images: tuple[TrainingImage, ...]
    start: Start
    split: Split
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def prepare(
    images: Sequence[TrainingImage],
    training: Training,
    model: Model | None = None,
    *,
    name: str = "",
) -> Preparation:
    """Choose network, patch and validation images, and examine the data.

    Parameters
    ----------
    images
        All of them; validation is taken from these.
    training
        Settings.
    model
        To start from; None: a new network.
    name
        Of the model that comes of it.

    Raises
    ------
    UNetError
        If images, settings and model do not fit together.
    """
    given, fitting = fit_images(images, model)
    names = training.classes
    if model is not None:
        training = adopt_settings(training, model.recipe)
        names = class_names(training, model.recipe)
    if training.loss.target == "semantic":
        given, said = as_semantic(given, names or named_by_data(given))
        fitting += said
    check_sigma(given, training.loss)
    scaling = plan_scaling(given, training, model)
    fitted = scaling.apply(given, training.normalization)
    start = plan_training(fitted, training, model, name=name, scaling=scaling)
    semantic = start.objective.task == "semantic"
    pixels = scaling.unmixed(given)
    split = split_validation(
        [(seen, image.labels) for seen, image in zip(pixels, fitted, strict=True)],
        fraction=training.validation,
        random_seed=training.random_seed,
        groups=[image.group for image in fitted],
        gap=max(max(axis.halo) for axis in start.model.geometry),
        semantic=semantic,
    )
    findings = examine_data(
        [
            (seen, image.labels, image.name)
            for seen, image in zip(pixels, fitted, strict=True)
        ],
        patch=start.patch,
        split=split,
        semantic=semantic,
    )
    # A split that warns is one of the findings.
    kept = [] if split.warning else [split.note]
    notes = (*fitting, *scaling.notes, *start.notes, *kept)
    return Preparation(tuple(fitted), start, split, tuple(findings), notes)


def draw_sheet(prepared: Preparation, *, n: int = 12) -> Picture:
    """Draw augmented patches of the training image with the most objects.

    Parameters
    ----------
    prepared
        From `prepare`.
    n
        Number of patches; see `napari_unet.core.augmentation_sheet`.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8.
    """
    start, parts = prepared.start, prepared.split.train
    objective, training = start.objective, start.training
    trained = take_parts(prepared.images, parts, objective)
    n_objects = [np.unique(image.labels[image.labels > 0]).size for image in trained]
    richest = int(np.argmax(n_objects))
    index = parts[richest].image
    whole = normalise([prepared.images[index]], training.normalization)
    part = replace(parts[richest], image=0)
    (sample,) = prepare_samples(
        take_parts(whole, [part], objective),
        objective,
        class_weights(trained, objective),
    )
    return augmentation_sheet(
        sample,
        training.augmentation,
        n=n,
        patch_shape=start.patch,
        random_seed=training.random_seed,
        spacing=relative_spacing(whole[0]),
    )
