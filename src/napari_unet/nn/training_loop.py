"""The loop of training: steps, validations, and what is kept on disk meanwhile.

Everything random follows from the seed and the number of the step, and all else that
changes is in `TrainingState`: so a run that was interrupted and resumed ends with the
same weights as one that was not, if its budget is in steps.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from napari_unet.core.training_doctor import Finding, History, watch
from napari_unet.core.training_events import (
    StepDone,
    TrainingError,
    TrainingEvent,
    Validated,
)
from napari_unet.errors import DeviceError
from napari_unet.nn.batches import Patches, iter_batches
from napari_unet.nn.budget import ASKED, Budget
from napari_unet.nn.checkpoint import save_model
from napari_unet.nn.device import is_out_of_memory, release_memory
from napari_unet.nn.kernels import training_kernels
from napari_unet.nn.losses import Batch
from napari_unet.nn.optimisation import peak_rate, rate_factor, seeded
from napari_unet.nn.step import take_step
from napari_unet.nn.training_plan import Start
from napari_unet.nn.training_state import Progress, TrainingState
from napari_unet.nn.validation import THRESHOLDS, Judgement, Validator
from napari_unet.settings import Recipe, Separation

NO_SCORES = ("step", "seconds", "training_loss", "loss", "foreground", *THRESHOLDS)
Request = Literal["stop"] | None
Events = Generator[TrainingEvent, Request, None]

SAVE_EVERY = 60.0
"""Seconds after which the state is saved again."""
SPREAD = 1_000_003
"""A prime: dropout of one seed's steps is not that of the next seed's."""


@dataclass(frozen=True)
class Files:
    """What a training keeps on disk.

    Parameters
    ----------
    out
        The checkpoint.
    state
        The file to resume from.
    fingerprint
        What data and settings that state belongs to.
    """

    out: Path
    state: Path
    fingerprint: str


@dataclass
class Loop:
    """One training on its way.

    Parameters
    ----------
    start
        Objective, settings, recipe.
    state
        All that changes.
    patches, validator
        Where patches and scores come from.
    precision
        Arithmetic of the network.
    files
        What is kept on disk.
    """

    start: Start
    state: TrainingState
    patches: Patches
    validator: Validator
    precision: str
    files: Files
    saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.budget = Budget(
            self.start.training,
            self.state.progress,
            # The model that is trained further may be the best one.
            score_the_start=self.start.fine_tuning,
        )

    @property
    def progress(self) -> Progress:
        """Plain numbers of the state."""
        return self.state.progress

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.validator.device

    def run(self) -> Events:
        """Step and validate until the budget is used up or a stop is asked for."""
        size, progress = self.start.training.batch, self.progress
        batches = iter_batches(self.patches, size, self.device, first=progress.step)
        try:
            while True:
                if self.budget.is_validation_due():
                    yield from self._tell(self.validate())
                    for finding in self.watch():
                        yield from self._tell(finding)
                if self.budget.why_over():
                    return
                yield from self._tell(self.timed_step(batches))
                if time.monotonic() - self.saved_at > SAVE_EVERY:
                    self.save_state()
        finally:
            batches.close()

    def _tell(self, event: TrainingEvent) -> Events:
        if (yield event) == "stop" and not self.progress.stopped:
            self.ask_stop()
            self.save_state()  # who cannot wait for the end loses nothing

    def ask_stop(self) -> None:
        """End in order before the next step."""
        self.progress.stopped = ASKED

    # -- one step -----------------------------------------------------------------

    def timed_step(self, batches: Iterator[Batch]) -> StepDone:
        """Do one step; the wait for its patches counts as well."""
        progress, training = self.progress, self.start.training
        began = time.perf_counter()
        factor = rate_factor(self.budget.fraction(steps_ahead=0.5), training.warmup)
        rate = factor * peak_rate(training, fine_tuning=self.start.fine_tuning)
        losses = self.step(next(batches), rate)
        progress.losses.append(losses["total"])
        progress.step += 1
        progress.seconds += time.perf_counter() - began
        return StepDone(
            progress.step, self.budget.fraction(), losses, rate, progress.seconds
        )

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Learn from one batch; return the losses by name."""
        training, number = self.start.training, self.progress.step
        seed = (training.random_seed * SPREAD + number) % 2**63
        repeatable = training.steps is not None
        try:
            kernels = training_kernels(repeatable=repeatable)
            with seeded(seed, self.device), kernels:
                losses = take_step(
                    self.state,
                    batch,
                    self.start.objective,
                    training,
                    precision=self.precision,
                    rate=rate,
                )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            release_memory(self.device)
            raise DeviceError(
                f"The memory of {self.device} is too small for this batch.",
                "Lower the batch or the patch size, or the network's base channels.",
            ) from error
        if losses is None:
            kept = " The best model so far is kept." if self.state.best else ""
            raise TrainingError(
                f"Training diverged at step {number + 1}: the loss is no longer a "
                f"number.{kept}",
                "Lower the learning rate or choose float32, and look for absurd values "
                "in the images.",
            )
        return losses

    # -- validation ---------------------------------------------------------------

    def validate(self) -> Validated:
        """Score the averaged weights, and keep them if they are the best so far."""
        progress, average = self.progress, self.state.average
        began = time.perf_counter()
        probabilities = self.validator.predict(average, self.precision)
        start = self.start.model.recipe.separation
        separation = self.validator.tune(probabilities, start)
        judged = self.validator.judge(probabilities, separation)
        loss = self.validator.loss(average, self.precision)
        is_best = self._note(judged, loss, separation)
        if is_best:
            self.state.keep_best()
        self._spend(time.perf_counter() - began)
        self.save_state()
        if is_best:
            self.write_best()
        return Validated(
            step=progress.step,
            loss=loss,
            scores=judged.scores,
            best=is_best,
            seconds=progress.seconds,
            example=self.validator.example(probabilities, judged),
        )

    def _spend(self, seconds: float) -> None:
        """Note how long a validation took; that of the start costs no budget."""
        if self.progress.step:
            self.progress.seconds += seconds
        self.budget.validation_seconds = seconds
        self.budget.validated_at = self.progress.seconds

    def _note(self, judged: Judgement, loss: float, separation: Separation) -> bool:
        """Write a row of history; return whether this is the best so far."""
        progress = self.progress
        recent = progress.losses[max(0, progress.validated) :]
        row = {
            "step": progress.step,
            "seconds": progress.seconds,
            "training_loss": math.fsum(recent) / max(1, len(recent)),
            "loss": loss,
            "foreground": judged.foreground,
            **{name: getattr(separation, name) for name in THRESHOLDS},
            **judged.scores,
        }
        progress.history.append(row)
        # Where nothing is found yet, or all is, the loss decides.
        first = next(iter(judged.scores.values()))
        score = [first if math.isfinite(first) else 0.0, -loss]
        is_best = score > progress.best
        progress.since_best = 0 if is_best else progress.since_best + 1
        if is_best:
            progress.best, progress.best_row = score, row
        progress.validated, progress.due = progress.step, self.budget.n_due()
        return is_best

    def watch(self) -> list[Finding]:
        """Ask the training doctor; each of its rules speaks once."""
        progress = self.progress
        rows = progress.history
        (first, *_) = [name for name in rows[-1] if name not in NO_SCORES]
        history = History(
            losses=progress.losses,
            scores=[row[first] for row in rows],
            foreground=[row["foreground"] for row in rows],
            validation_losses=[row["loss"] for row in rows],
            true_foreground=self.validator.true_foreground,
        )
        found = [f for f in watch(history) if f.rule not in progress.warned]
        progress.warned += [finding.rule for finding in found]
        return found

    # -- files --------------------------------------------------------------------

    def write_best(self) -> None:
        """Write the best model to its file, if there is one yet."""
        if self.state.best:
            row = self.progress.best_row
            self._write(self.state.best, self.recipe(row))

    def leave(self) -> None:
        """Leave a model and a state behind, between two steps."""
        if not self.progress.step:
            return
        self.save_state()
        if not self.state.best:
            now = {"step": self.progress.step, "seconds": self.progress.seconds}
            self._write(self.state.average.state_dict(), self.recipe(now))

    def save_state(self) -> None:
        """Write what `resume` needs."""
        self.state.save(self.files.state, self.files.fingerprint)
        self.saved_at = time.monotonic()

    def recipe(self, row: Mapping[str, float]) -> Recipe:
        """Return the recipe with scores and what is known about this training.

        Sizes of its separation count pixels of the network, until it is written.

        Parameters
        ----------
        row
            Of history, for the weights that are saved.
        """
        recipe = self.start.model.recipe
        training: dict[str, Any] = {
            **recipe.training,
            "settings": self.start.training.model_dump(mode="json"),
            "step": int(row["step"]),
            "seconds": round(row["seconds"], 3),
            "device": str(self.device),
            "precision": self.precision,
        }
        scores = {name: row[name] for name in row if name not in NO_SCORES}
        kept = {"validation": scores} if scores else {}
        tuned = {name: row[name] for name in THRESHOLDS if name in row}
        return recipe.replace(
            training=training,
            scores=kept,
            separation=recipe.separation.replace(**tuned),
        )

    def _write(self, weights: Mapping[str, Tensor], recipe: Recipe) -> None:
        network = copy.deepcopy(self.start.model.network)
        network.load_state_dict(weights)
        save_model(self.files.out, network, for_images(recipe, self.start))


def for_images(recipe: Recipe, start: Start) -> Recipe:
    """Return the recipe as it is stored: objects are told apart on the image's grid."""
    separation = recipe.separation.scaled(1 / start.volume)
    return recipe.replace(separation=separation, size_volume=start.volume)
