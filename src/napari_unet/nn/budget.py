"""Budget: how much of it is used, when to validate, and why training is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_unet.nn.training_state import Progress
from napari_unet.training_settings import Training

VALIDATION_SHARE = 0.2
"""Most of a time budget that validations take, but for the last one."""
USED_UP = "The budget was used up."
ASKED = "It was stopped on request."
NO_PROGRESS = "The score did not rise any more."


@dataclass
class Budget:
    """What is left of the time or the steps of a training.

    Parameters
    ----------
    training
        Settings: the budget, and how often to validate.
    progress
        Where training stands; read, not changed.
    score_the_start
        Whether to validate before the first step.
    validation_seconds
        Time that the last validation took.
    validated_at
        When it ended, in seconds of training.
    """

    training: Training
    progress: Progress
    score_the_start: bool = False
    validation_seconds: float = 0.0
    validated_at: float = 0.0

    def fraction(self, steps_ahead: float = 0.0) -> float:
        """Return the part of the budget that is used, 0..1."""
        training, progress = self.training, self.progress
        if training.steps is not None:
            return min(1.0, (progress.step + steps_ahead) / training.steps)
        return min(1.0, progress.seconds / (60 * (training.minutes or math.inf)))

    def why_over(self) -> str:
        """Return why training is over, or nothing."""
        patience, progress = self.training.patience, self.progress
        if self.fraction() >= 1:
            return USED_UP
        if patience and progress.since_best >= patience:
            return NO_PROGRESS
        return progress.stopped

    def n_due(self) -> int:
        """Return how many validations the used part of the budget asks for."""
        return math.floor(self.fraction() / self.training.validate_every + 1e-9)

    def is_validation_due(self) -> bool:
        """Return whether to validate now; the last time when training is over."""
        progress = self.progress
        if self.why_over():
            return progress.validated != progress.step
        if self.score_the_start and progress.validated < 0:
            return True
        return self.n_due() > progress.due and not self._too_soon()

    def _too_soon(self) -> bool:
        """Return whether validations would take too much of a budget of time."""
        if self.training.steps is not None:
            return False
        rest = self.validation_seconds * (1 / VALIDATION_SHARE - 1)
        return self.progress.seconds - self.validated_at < rest
