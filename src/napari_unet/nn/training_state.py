"""Training state: all that changes from step to step, kept on disk for `--resume`.

Random numbers are not in it: they follow from the seed and the step. The file is read
with ``weights_only=True``, so that it can hold numbers and nothing else.
"""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_unet.core.training_events import TrainingError
from napari_unet.io.atomic import replacing
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.model import Model
from napari_unet.nn.weight_files import DAMAGED
from napari_unet.training_settings import Training

SUFFIX = ".resume.pt"
# What may differ when training goes on: how long it lasts, and what comes after.
BUDGET = {"minutes", "steps", "patience", "tune_for"}


@dataclass
class Progress:
    """Where training stands, in plain numbers.

    Parameters
    ----------
    step
        Optimiser steps done.
    seconds
        Time in training, interruptions not counted.
    due
        Validations that were due so far.
    validated
        Step of the last validation.
    best
        Score of the best model, first what counts most; empty: there is none yet.
    best_row
        Its row of history.
    since_best
        Validations since then.
    losses
        Total loss of each step.
    history
        One row for each validation.
    warned
        Rules of the training doctor that have spoken.
    stopped
        Why training was stopped before its time; empty: it was not.
    """

    step: int = 0
    seconds: float = 0.0
    due: int = 0
    validated: int = -1
    best: list[float] = field(default_factory=list)
    best_row: dict[str, float] = field(default_factory=dict)
    since_best: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    stopped: str = ""


@dataclass
class TrainingState:
    """Network, averaged network, optimiser, best model and progress.

    The best model is in here although it has a file of its own: one file, replaced in
    one step, cannot contradict itself, whenever training is killed. The model's file
    follows from it.

    Parameters
    ----------
    network, average
        The one that learns and its moving average.
    optimizer, scaler
        Theirs.
    progress
        Plain numbers.
    best
        Weights of the best model, on the CPU; empty: there is none yet.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)

    def keep_best(self) -> None:
        """Remember the averaged weights as the best."""
        tensors = self.average.state_dict().items()
        # A tensor that is on the CPU already would be shared.
        self.best = {name: t.detach().cpu().clone() for name, t in tensors}

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the state; the file appears complete or not at all."""
        parts = {
            "fingerprint": fingerprint,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "progress": vars(self.progress),
        }
        with replacing(path) as temporary:
            _write(parts, temporary)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to a saved state.

        Raises
        ------
        TrainingError
            If the file is damaged, or from other data or settings.
        """
        parts = _read(path)
        if parts.get("fingerprint") != fingerprint:
            raise TrainingError(
                f"{path.name} was left by training with other images, settings, or "
                "another start.",
                "Give the same ones (only the budget may differ), or overwrite it to "
                "start afresh.",
            )
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.scaler.load_state_dict(parts["scaler"])
        self.best = parts["best"]
        # Who goes on has changed their mind about a stop.
        self.progress = Progress(**{**parts["progress"], "stopped": ""})


def state_path(out: Path) -> Path:
    """Return the file beside the checkpoint that training is resumed from."""
    return out.with_name(out.name + SUFFIX)


def fingerprint(
    training: Training, images: Sequence[TrainingImage], model: Model
) -> str:
    """Return a digest of all that must be the same when training goes on.

    Parameters
    ----------
    training
        Settings; the budget does not count.
    images
        Names, pixels and labels count.
    model
        That training starts with. Two networks may have the same weights, and differ in
        what no weight tells.
    """
    digest = hashlib.sha256(training.model_dump_json(exclude=BUDGET).encode())
    digest.update(model.recipe.architecture.model_dump_json().encode())
    for name, tensor in model.network.state_dict().items():
        digest.update(f"{name} {_checksum(tensor.cpu().numpy())}".encode())
    for image in images:
        sizes = sorted(image.pixel_size.items())
        digest.update(f"{image.name} {image.image.shape} {sizes}".encode())
        digest.update(f"{_checksum(image.image)} {_checksum(image.labels)}".encode())
    return digest.hexdigest()


def _checksum(array: npt.NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _write(parts: dict[str, Any], path: Path) -> None:
    """Write an archive of torch's; an error of the disk is told as what it is.

    Given a name, torch counts bytes and says that there are too few; given an open
    file, it says the same, but the system's error is behind it.
    """
    try:
        with path.open("wb") as file:
            torch.save(parts, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        parts: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGED, pickle.UnpicklingError):
        parts = None
    if not isinstance(parts, dict):
        raise TrainingError(
            f"{path.name} is damaged or no training state.",
            "Overwrite to start afresh, or delete it.",
        )
    return parts
