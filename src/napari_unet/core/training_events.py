"""Training events: what a training job yields while it works, and what it returns.

Plain values without torch: a window can show them in a process that never loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.events import Note
from napari_unet.core.training_doctor import Finding
from napari_unet.errors import UNetError
from napari_unet.settings import Recipe


class TrainingError(UNetError):
    """Training that cannot begin, or cannot go on."""


@dataclass(frozen=True)
class Planned:
    """The data are prepared and the network stands; training begins.

    Parameters
    ----------
    n_training, n_validation
        Images, or parts of one image.
    channels
        Names of the output channels.
    patch
        Pixels per spatial axis.
    n_parameters
        Of the network.
    device, precision
        Where and in which arithmetic it is trained.
    step
        Steps done before, if training was resumed.
    """

    n_training: int
    n_validation: int
    channels: tuple[str, ...]
    patch: tuple[int, ...]
    n_parameters: int
    device: str
    precision: str
    step: int = 0


@dataclass(frozen=True)
class StepDone:
    """One optimiser step.

    Parameters
    ----------
    step
        Steps done.
    progress
        Part of the budget that is used, 0..1.
    losses
        The terms by name, weighted as they are summed, and ``"total"``.
    learning_rate
        Of this step.
    seconds
        Time in training so far, interruptions not counted.
    """

    step: int
    progress: float
    losses: Mapping[str, float]
    learning_rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Example:
    """One validation image and what the network makes of it.

    Parameters
    ----------
    name
        Of the image.
    image
        float32 (C, *spatial), normalised.
    truth, labels
        int32 (*spatial).
    probabilities
        Fixed point (channels, *spatial).
    """

    name: str
    image: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    probabilities: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Validated:
    """The averaged weights were scored on the validation images.

    Parameters
    ----------
    step
        Steps done.
    loss
        Total, on fixed validation patches without augmentation.
    scores
        By name; the first is the one by which the best model is chosen.
    best
        Whether this is the best so far; it is saved then.
    seconds
        Time in training so far.
    example
        The first validation image.
    """

    step: int
    loss: float
    scores: Mapping[str, float]
    best: bool
    seconds: float
    example: Example


TrainingEvent = Planned | StepDone | Validated | Finding | Note


@dataclass(frozen=True)
class Report:
    """What came of a training.

    Parameters
    ----------
    path
        The checkpoint.
    recipe
        As it is stored there: channels, tuned separation, scores, settings.
    steps, seconds
        Spent.
    stopped
        Why training ended, one sentence.
    history
        One row for each validation: step, seconds, losses, scores.
    findings, notes
        What a user should read, one sentence each.
    """

    path: Path
    recipe: Recipe
    steps: int
    seconds: float
    stopped: str
    history: tuple[Mapping[str, float], ...] = ()
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def scores(self) -> dict[str, Any]:
        """Scores on the validation images, with the tuned separation."""
        return dict(self.recipe.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = asdict(self)
        values["path"] = str(self.path)
        values["recipe"] = self.recipe.model_dump(mode="json")
        values["scores"] = values["recipe"]["scores"]
        return values
