"""Losses: weighted cross-entropy, Dice, focal factor, distance; and their sum.

What makes touching cells come apart is the weight map inside the cross-entropy. All
terms are written out here, and pixels that are not annotated have exactly no influence
on any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_unet.core.targets import IGNORED
from napari_unet.errors import SettingsError
from napari_unet.nn.unet import center_crop
from napari_unet.training_settings import Loss

THREE_CLASSES = ("background", "interior", "boundary")
INSTANCE_CHANNELS: dict[str, tuple[str, ...]] = {
    "two_class": ("background", "interior"),
    "three_class": THREE_CLASSES,
    "distance": (*THREE_CLASSES, "distance"),
}
# Classes of pixels with no other names would be taken for cells.
CELL_NAMES = frozenset({*INSTANCE_CHANNELS["distance"], "foreground"})
# Below this the distance term is quadratic, above it linear: the thin rim of a cell
# must count beside its deep middle.
QUADRATIC_BELOW = 0.1
# Pixels added to both sides of the fraction: a class of a few pixels moves it gently.
DICE_SMOOTHING = 1.0
LARGEST_CERTAINTY = 1 - 1e-6


@dataclass(frozen=True)
class Batch:
    """Patches on the device.

    Parameters
    ----------
    image
        float32 (N, C, ...).
    target
        int64 classes (N, ...); `IGNORED` where not annotated.
    weight
        float32 (N, ...).
    distance
        float32 (N, ...), or None if the objective has no such channel.
    """

    image: Tensor
    target: Tensor
    weight: Tensor
    distance: Tensor | None = None

    def crop(self, size: torch.Size) -> Batch:
        """Return the batch with targets cropped to the output of a valid network."""
        if self.target.shape[1:] == size:
            return self

        def cut(x: Tensor) -> Tensor:
            return center_crop(x[:, None], size)[:, 0]

        distance = None if self.distance is None else cut(self.distance)
        return Batch(self.image, cut(self.target), cut(self.weight), distance)


@dataclass(frozen=True)
class Objective:
    """What the output channels mean, and the loss that teaches them.

    The classes are taught by softmax; a distance channel follows them as it is.

    Parameters
    ----------
    loss
        Terms and their weights.
    channels
        Names of the output channels; see `plan_objective`.
    """

    loss: Loss
    channels: tuple[str, ...]

    @property
    def task(self) -> Literal["instances", "semantic"]:
        """Whether labels are cells or classes."""
        return "semantic" if self.loss.target == "semantic" else "instances"

    @property
    def has_distance(self) -> bool:
        """Whether the last channel is a distance."""
        return self.loss.target == "distance"

    @property
    def n_classes(self) -> int:
        """Number of channels that share a softmax."""
        return len(self.channels) - self.has_distance

    def __call__(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms by name, and ``"total"``.

        Parameters
        ----------
        logits
            (N, channels, ...); smaller than the batch for a valid network.
        batch
            Targets.
        """
        batch = batch.crop(logits.shape[2:])
        log_p = logits[:, : self.n_classes].float().log_softmax(1)
        loss = self.loss
        parts = {
            "cross_entropy": weighted_cross_entropy(
                log_p, batch.target, batch.weight, focal=loss.focal
            )
        }
        if loss.dice:
            parts["dice"] = loss.dice * dice_loss(log_p.exp(), batch.target)
        if self.has_distance and batch.distance is not None:
            predicted = logits[:, -1].float()
            annotated = batch.weight * (batch.target != IGNORED)
            term = weighted_smooth_l1(predicted, batch.distance, annotated)
            parts["distance"] = loss.distance * term
        return {"total": torch.stack(list(parts.values())).sum(), **parts}


def plan_objective(loss: Loss, classes: tuple[str, ...] = ()) -> Objective:
    """Name the output channels that `loss` asks for.

    Parameters
    ----------
    loss
        Its `target` decides.
    classes
        Names of the classes, background first; used for semantic labels alone.

    Raises
    ------
    SettingsError
        If there are fewer than two or more than 255 classes, or their names are those
        of instance channels.
    """
    if loss.target != "semantic":
        return Objective(loss, INSTANCE_CHANNELS[loss.target])
    if not 2 <= len(classes) <= IGNORED:
        raise SettingsError(
            f"{len(classes)} class(es) cannot be told apart.",
            "Give labels with 0 for the background and 1 to at most 254 for classes.",
        )
    if set(classes) <= CELL_NAMES:
        raise SettingsError(
            f"The classes {', '.join(classes)} are named like the channels of cells.",
            "Give them other names, or train instances instead.",
        )
    return Objective(loss, classes)


def weighted_cross_entropy(
    log_p: Tensor, target: Tensor, weight: Tensor, *, focal: float = 0.0
) -> Tensor:
    """Cross-entropy of the softmax, ``sum(w (1 - p)^g (-log p)) / sum(w)``.

    p is the probability of the right class and g the focal exponent (Lin et al. 2017).
    Dividing by the weights keeps the step size independent of w0 and of the number of
    annotated pixels; with all weights 1 and g = 0 this is the mean cross-entropy, the
    energy of Ronneberger et al. (2015) with the sign that makes it fall.

    Parameters
    ----------
    log_p
        (N, classes, ...), from ``log_softmax``.
    target
        int64 (N, ...); pixels of class `IGNORED` weigh nothing.
    weight
        (N, ...).
    focal
        Exponent; 0: none.

    Returns
    -------
    Tensor
        Scalar; 0 if no pixel weighs anything.
    """
    annotated = target != IGNORED
    weight = weight * annotated
    right = torch.where(annotated, target, 0)[:, None]
    log_right = log_p.gather(1, right)[:, 0]
    energy = -log_right
    if focal:
        # The slope of x^g at 0 is infinite for g < 1: stop just before.
        uncertainty = 1 - log_right.exp().clamp(max=LARGEST_CERTAINTY)
        energy = energy * uncertainty**focal
    return _weighted_mean(energy, weight)


def dice_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """Soft Dice, ``1 - mean of (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``.

    Sums run over the whole batch; the mean runs over the classes that occur in it,
    without the background (Milletari et al. 2016; batch-wise as in nnU-Net).

    Parameters
    ----------
    probabilities
        (N, classes, ...), background first.
    target
        int64 (N, ...); `IGNORED` where not annotated.

    Returns
    -------
    Tensor
        Scalar in 0..1; 0 if no class occurs.
    """
    annotated = target != IGNORED
    scores, present = [], []
    for index in range(1, probabilities.shape[1]):
        p, truth = probabilities[:, index] * annotated, target == index
        n_true = truth.sum()
        overlap = 2 * (p * truth).sum() + DICE_SMOOTHING
        scores.append(overlap / (p.sum() + n_true + DICE_SMOOTHING))
        present.append(n_true > 0)
    return _weighted_mean(1 - torch.stack(scores), torch.stack(present).float())


def weighted_smooth_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the smooth L1 distance; pixels that weigh 0 may be NaN.

    Parameters
    ----------
    predicted, target, weight
        (N, ...).

    Returns
    -------
    Tensor
        Scalar; 0 if no pixel weighs anything.
    """
    known = torch.where(weight > 0, target, predicted.detach())
    error = F.smooth_l1_loss(predicted, known, reduction="none", beta=QUADRATIC_BELOW)
    return _weighted_mean(error, weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    smallest = torch.finfo(weight.dtype).tiny
    return (values * weight).sum() / weight.sum().clamp(min=smallest)
