"""Validation: whole images through the network, as in prediction, and their scores."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_unet.core.augment import Sample
from napari_unet.core.metrics import evaluate
from napari_unet.core.normalize import Region
from napari_unet.core.overlap import NOT_ANNOTATED
from napari_unet.core.semantic_metrics import semantic_scores
from napari_unet.core.separation import separate_instances, separate_semantic
from napari_unet.core.targets import IGNORED
from napari_unet.core.tiling import Geometry, choose_tile, make_grid
from napari_unet.core.training_events import Example
from napari_unet.core.tuning import TuningPlan, tune_separation
from napari_unet.errors import DeviceError, SettingsError
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.device import is_out_of_memory, release_memory
from napari_unet.nn.losses import Batch, Objective
from napari_unet.nn.optimisation import autocast
from napari_unet.nn.predict import Predictor, iter_predict, make_predictor
from napari_unet.settings import Prediction, Separation, Tiling

Stored = npt.NDArray[Any]
Labels = npt.NDArray[np.int32]
Pixels = npt.NDArray[np.float32]

THRESHOLDS = ("seed_threshold", "mask_threshold")
TUNING_PIXELS = 2**21
"""Pixels that each validation tunes on: a second or two of work."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What validation says about one state of the network.

    Parameters
    ----------
    scores
        By name; the first chooses the best model.
    labels
        Of each image.
    foreground
        Part of the annotated pixels that is predicted to be no background.
    """

    scores: dict[str, float]
    labels: list[Labels]
    foreground: float


@dataclass(frozen=True, eq=False)
class Validator:
    """The validation images and how they are judged.

    Parameters
    ----------
    model
        Any network of this architecture, for its geometry.
    objective
        Channels and task.
    names
        Of the images.
    samples
        Prepared images; their labels are the truth.
    patches
        Fixed batches for the loss.
    device
        Where the network runs.
    """

    model: Model
    objective: Objective
    names: Sequence[str]
    samples: Sequence[Sample]
    patches: Sequence[Batch]
    device: torch.device

    @functools.cached_property
    def truth(self) -> list[Labels]:
        """True labels of each image; classes for a semantic task."""
        if self.objective.task == "instances":
            return [_labels(sample) for sample in self.samples]
        # Widened first: in uint8 what is not annotated would be class 255 again.
        targets = (np.asarray(s.target).astype(np.int32) for s in self.samples)
        return [np.where(t == IGNORED, NOT_ANNOTATED, t) for t in targets]

    @functools.cached_property
    def true_foreground(self) -> float:
        """Part of the annotated pixels that is no background."""
        return _foreground(self.truth, self.truth)

    def predict(self, network: nn.Module, precision: str) -> list[Stored]:
        """Return stored probabilities (channels, *spatial) of each image."""
        recipe = self.model.recipe
        prediction = Prediction.parse({"precision": precision})
        predictor = make_predictor(network, recipe, prediction, self.device)
        blend = self.model.geometry if self.model.tile_dependent_layers else None
        return [
            self._predict(predictor, sample.image, blend) for sample in self.samples
        ]

    def _predict(
        self, predictor: Predictor, pixels: Pixels, blend: Geometry | None
    ) -> Stored:
        """Return one image's probabilities, in smaller tiles if memory is full."""
        shape = pixels.shape[1:]
        out = np.empty((len(self.model.recipe.channels), *shape), np.uint16)
        for tile in self._tiles(shape):
            grid = make_grid(shape, tile, self.model.geometry)
            tiles = iter_predict(predictor, _reader(pixels), grid, out, blend=blend)
            try:
                for _ in tiles:
                    pass
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                release_memory(self.device)
            else:
                return out
        raise DeviceError(
            f"The memory of {self.device} is too small for validation.",
            "Lower the batch, the patch size, or the network's base channels.",
        )

    def _tiles(self, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Yield the usual tile, then smaller and smaller ones."""
        budget, last = Tiling().memory_budget, None
        while budget:
            try:
                tile = choose_tile(
                    shape,
                    self.model.geometry,
                    bytes_per_pixel=self.model.bytes_per_pixel,
                    memory_budget=budget,
                )
            except SettingsError:
                if last is None:
                    raise
                return
            if tile != last:
                yield tile
            budget, last = budget // 4, tile

    def separate(self, stored: Stored, separation: Separation) -> Labels:
        """Return cells, or classes."""
        if self.objective.task == "semantic":
            return separate_semantic(stored)
        return separate_instances(stored, self.objective.channels, separation)

    def tune(self, probabilities: Sequence[Stored], start: Separation) -> Separation:
        """Find the thresholds that suit the network as it is now, on a few images.

        They move while a network learns: under fixed ones a better network can score
        worse.
        """
        if self.objective.task == "semantic":
            return start
        return tune_separation(
            probabilities,
            self.truth,
            self.objective.channels,
            start,
            TuningPlan(THRESHOLDS, most_pixels=TUNING_PIXELS),
        ).separation

    def judge(
        self, probabilities: Sequence[Stored], separation: Separation
    ) -> Judgement:
        """Separate all images and score them together."""
        labels = [self.separate(stored, separation) for stored in probabilities]
        truth = self.truth
        if self.objective.task == "semantic":
            scores = self._semantic_scores(labels, truth)
        else:
            found = evaluate(labels, truth, ignore=NOT_ANNOTATED).summary()
            first = ("mean_ap_50_90", "ap@0.5")
            scores = {name: float(found[name]) for name in (*first, *found)}
        return Judgement(scores, labels, _foreground(labels, truth))

    @torch.no_grad()
    def loss(self, network: nn.Module, precision: str) -> float:
        """Return the total loss on the fixed patches; NaN without any."""
        network.eval()
        totals = []
        for batch in self.patches:
            with autocast(self.device, precision):
                logits = network(batch.image)
            totals.append(float(self.objective(logits, batch)["total"]))
        return float(np.mean(totals)) if totals else float("nan")

    def example(self, probabilities: Sequence[Stored], judgement: Judgement) -> Example:
        """Return the first image and its result."""
        return Example(
            name=self.names[0],
            image=self.samples[0].image,
            truth=self.truth[0],
            labels=judgement.labels[0],
            probabilities=probabilities[0],
        )

    def _semantic_scores(
        self, labels: Sequence[Labels], truth: Sequence[Labels]
    ) -> dict[str, float]:
        n_classes = self.objective.n_classes
        found = semantic_scores(
            labels, truth, n_classes=n_classes, ignore=NOT_ANNOTATED
        )
        scores = {
            "mean_iou": found["mean_iou"],
            "mean_dice": found["mean_dice"],
            "pixel_accuracy": found["pixel_accuracy"],
        }
        for index, iou in found["iou"].items():
            scores[f"iou of {self.objective.channels[index]}"] = iou
        return scores


def _foreground(labels: Sequence[Labels], truth: Sequence[Labels]) -> float:
    """Return the part of the pixels that are annotated in `truth` with a label."""
    annotated = sum(int(np.count_nonzero(t >= 0)) for t in truth)
    both = zip(labels, truth, strict=True)
    found = sum(int(np.count_nonzero((p > 0) & (t >= 0))) for p, t in both)
    return found / max(1, annotated)


def _labels(sample: Sample) -> Labels:
    if sample.labels is None:
        raise ValueError("validation needs the labels")
    return sample.labels


def _reader(pixels: Pixels) -> Any:
    def read(region: Region) -> Pixels:
        return pixels[(slice(None), *region)]

    return read
