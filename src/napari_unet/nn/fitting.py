"""Fitting: training images with the axes and channels that one network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_unet.core.black_white import NOTE, are_masks, as_classes, without_void
from napari_unet.core.channels import ChannelPlan, plan_channels
from napari_unet.errors import AxesError, ChannelsError
from napari_unet.io.training_image import TrainingImage, as_planes
from napari_unet.nn.checkpoint import Model


def check_images(images: Sequence[TrainingImage]) -> tuple[int, int]:
    """Return the spatial dimensions and the channels that all images share.

    Raises
    ------
    AxesError
        If there is no image, or they differ.
    """
    if not images:
        raise AxesError("There are no images to train on.", "Give at least one pair.")
    first = images[0]
    for image in images:
        if image.labels.ndim != first.labels.ndim:
            raise AxesError(
                f"{image.name} is {image.labels.ndim}-D, but {first.name} is "
                f"{first.labels.ndim}-D.",
                "Train on images of one kind.",
            )
        if len(image.image) != len(first.image):
            raise AxesError(
                f"{image.name} has {len(image.image)} channel(s), but {first.name} has "
                f"{len(first.image)}.",
                "Give all images the same channels in the same order.",
            )
    return first.labels.ndim, len(first.image)


def fit_images(
    images: Sequence[TrainingImage], model: Model | None
) -> tuple[list[TrainingImage], list[str]]:
    """Give images the axes and channels that the model takes, and say what was done.

    For a 2-D model stacks become their annotated planes; for a model of one channel
    colour becomes grey, as it does for a new one where colour and grey are mixed.

    Raises
    ------
    AxesError
        If the channels do not fit the model.
    """
    fitted, notes = list(images), []
    if model is not None and model.recipe.architecture.ndim == 2:
        fitted = [plane for image in images for plane in as_planes(image)]
        if len(fitted) != len(images):
            notes.append("The model is 2-D: stacks are taken plane by plane.")
    n_network = _n_channels(fitted, model)
    if n_network is None:
        return fitted, notes
    said = []
    for index, image in enumerate(fitted):
        plan = _plan_channels(image, n_network)
        said += [plan.note] if plan.note else []
        fitted[index] = replace(image, image=plan.apply(image.image))
    return fitted, [*notes, *dict.fromkeys(said)]


def _plan_channels(image: TrainingImage, n_network: int) -> ChannelPlan:
    """Return what the model sees of an image; else say what can be done in training."""
    n_image = len(image.image)
    try:
        return plan_channels(n_image, n_network, rgb=image.rgb)
    except ChannelsError:
        raise ChannelsError(
            f"The model to start from takes {n_network} channel(s), but {image.name} "
            f"has {n_image}.",
            "Start from a new network, which learns from all channels, or train on "
            f"images of {n_network} channel(s); in napari, Split Stack in the layer's "
            "menu makes an image of each.",
        ) from None


def as_semantic(
    images: Sequence[TrainingImage], names: tuple[str, ...]
) -> tuple[list[TrainingImage], list[str]]:
    """Take black-and-white masks for two classes, and say so; else 255 is void.

    Parameters
    ----------
    images
        Their labels are classes.
    names
        Of the classes, if they are known: of three, 0 and 255 are no two.
    """
    if len(names) <= 2 and are_masks(image.labels for image in images):
        return [replace(i, labels=as_classes(i.labels)) for i in images], [NOTE]
    return [replace(i, labels=without_void(i.labels)) for i in images], []


def _n_channels(images: Sequence[TrainingImage], model: Model | None) -> int | None:
    """Return how many channels the network takes; None: those of the images."""
    if model is not None:
        return model.recipe.architecture.in_channels
    is_colour = {len(image.image): image.rgb for image in images}
    mixed = set(is_colour) == {1, 3} and is_colour[3]
    return 1 if mixed else None
