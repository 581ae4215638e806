"""Rules of the training doctor for the loop: what the curves say is going wrong.

They look at what a loop has anyway: the loss of each step, and at each validation the
score and how much of the image is predicted to be foreground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean

from napari_unet.core.training_facts import Finding

VALIDATIONS = 3
"""Validations in a row that must look alike before a rule speaks."""
PATIENCE = 5
"""Validations without progress that count as a plateau."""
PROGRESS = 0.005
"""Gain of the score that counts as progress."""
STEPS = 20
"""Fewest steps from which a trend of the loss is read."""


@dataclass(frozen=True)
class History:
    """Curves of a training, as far as it has come.

    Parameters
    ----------
    losses
        Training loss of each step.
    scores
        Score of each validation, higher is better, 0 to 1.
    foreground
        Part of the validation pixels predicted to be foreground, per validation.
    validation_losses
        Loss of each validation, if it is measured.
    true_foreground
        Part of the annotated validation pixels that are foreground; None if unknown.
    """

    losses: Sequence[float] = ()
    scores: Sequence[float] = ()
    foreground: Sequence[float] = ()
    validation_losses: Sequence[float] = ()
    true_foreground: float | None = None


def watch(history: History) -> list[Finding]:
    """Say what goes wrong during training; errors first.

    A loop may ask at every validation: it costs one pass over the curves.
    """
    found = [
        replace(finding, rule=name)
        for name, rule in WATCH_RULES.items()
        if (finding := rule(history)) is not None
    ]
    order = ("error", "warning", "info")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def loss_not_finite(history: History) -> Finding | None:
    """A loss of NaN or infinity."""
    broken = [i for i, loss in enumerate(history.losses) if not math.isfinite(loss)]
    if not broken:
        return None
    return Finding(
        "error",
        f"The loss is {history.losses[broken[0]]} at step {broken[0] + 1}.",
        "Look for NaN in the images; else halve the learning rate, or train in "
        "float32.",
    )


def loss_rises(history: History) -> Finding | None:
    """A loss well above what it has been."""
    fifths = _fifths(history.losses)
    if not fifths or fifths[-1] <= 1.5 * min(fifths):
        return None
    return Finding(
        "warning",
        f"The loss has risen from {min(fifths):.3g} to {fifths[-1]:.3g}.",
        "Lower the learning rate, or lengthen the warm-up.",
    )


def predicts_background(history: History) -> Finding | None:
    """Predictions that are black, though there is something to find."""
    last = history.foreground[-VALIDATIONS:]
    truth = history.true_foreground
    if len(last) < VALIDATIONS or truth == 0:
        return None
    if max(last) >= (0.001 if truth is None else 0.05 * truth):
        return None
    return Finding(
        "error",
        f"The last {VALIDATIONS} predictions are background almost everywhere.",
        "Check that labels lie on their cells; then raise the share of patches on "
        "objects, balance the classes, or change the learning rate.",
    )


def predicts_foreground(history: History) -> Finding | None:
    """Predictions that are foreground everywhere."""
    last = history.foreground[-VALIDATIONS:]
    if len(last) < VALIDATIONS or min(last) <= 0.98:
        return None
    if history.true_foreground is not None and history.true_foreground > 0.9:
        return None
    return Finding(
        "error",
        f"The last {VALIDATIONS} predictions are foreground almost everywhere.",
        "Check that background is labelled 0 and annotated; then lower the share of "
        "patches on objects, or the weight of the foreground.",
    )


def overfits(history: History) -> Finding | None:
    """Training that still improves while validation gets worse."""
    fifths = _fifths(history.losses)
    if not fifths or fifths[-1] >= 0.95 * fifths[-2]:
        return None
    if not (_falls(history.scores) or _falls([-x for x in history.validation_losses])):
        return None
    return Finding(
        "warning",
        "The training loss still falls, but validation has been better before.",
        "Stop here, the best model is kept; more annotated images or stronger "
        "augmentation help further.",
    )


def plateau(history: History) -> Finding | None:
    """A score that no longer improves."""
    before, last = history.scores[:-PATIENCE], history.scores[-PATIENCE:]
    if not before or max(last) > max(before) + PROGRESS or overfits(history):
        return None
    if predicts_background(history) or predicts_foreground(history):
        return None
    return Finding(
        "info",
        f"The score has not improved in the last {PATIENCE} validations "
        f"(best {max(history.scores):.3f}).",
        "Stop here, or correct the objects that are wrong and train on.",
    )


def _fifths(losses: Sequence[float]) -> list[float]:
    """Return the mean finite loss of each fifth; empty if there are too few."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < STEPS:
        return []
    ends = [len(finite) * i // 5 for i in range(6)]
    return [fmean(finite[a:b]) for a, b in pairwise(ends)]


def _falls(curve: Sequence[float]) -> bool:
    """Whether the last values of a curve all lie clearly below its best before."""
    before, last = curve[:-VALIDATIONS], curve[-VALIDATIONS:]
    if not before or len(last) < VALIDATIONS:
        return False
    return max(last) < max(before) - max(0.03, 0.03 * abs(max(before)))


Rule = Callable[[History], Finding | None]

WATCH_RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        loss_not_finite,
        predicts_background,
        predicts_foreground,
        loss_rises,
        overfits,
        plateau,
    )
}
"""Rules by name, in the order in which they are asked."""
