"""The loop of training: steps, validations, and what is kept on disk meanwhile.

Everything random follows from the seed and the number of the step, and all else that
changes is in `TrainingState`: so a run that was interrupted and resumed ends with the
same weights as one that was not, if its budget is in steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_unet.core.training_doctor import Finding, History, watch
from napari_unet.core.training_events import (
    StepDone,
    TrainingError,
    TrainingEvent,
    Validated,
)
from napari_unet.errors import DeviceError
from napari_unet.nn.batches import Patches, iter_batches
from napari_unet.nn.checkpoint import save_model
from napari_unet.nn.device import is_out_of_memory, release_memory
from napari_unet.nn.losses import Batch
from napari_unet.nn.optimisation import (
    autocast,
    kernels,
    peak_rate,
    rate_factor,
    seeded,
    update_average,
)
from napari_unet.nn.training_plan import Start
from napari_unet.nn.training_state import Progress, TrainingState
from napari_unet.nn.validation import Judgement, Validator
from napari_unet.settings import Recipe

NO_SCORES = ("step", "seconds", "training_loss", "loss", "foreground")
Request = Literal["stop"] | None
Events = Generator[TrainingEvent, Request, None]

SAVE_EVERY = 60.0
"""Seconds after which the state is saved again."""
VALIDATION_SHARE = 0.2
"""Most of a time budget that validations take, but for the last one."""
SPREAD = 1_000_003
"""A prime: dropout of one seed's steps is not that of the next seed's."""
USED_UP = "The budget was used up."
ASKED = "It was stopped on request."
NO_PROGRESS = "The score did not rise any more."


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
    validation_seconds: float = 0.0
    validated_at: float = 0.0
    saved_at: float = field(default_factory=time.monotonic)

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
                if self.is_validation_due():
                    yield from self._tell(self.validate())
                    for finding in self.watch():
                        yield from self._tell(finding)
                if self.why_over():
                    return
                yield from self._tell(self.timed_step(batches))
                if time.monotonic() - self.saved_at > SAVE_EVERY:
                    self.save_state()
        finally:
            batches.close()

    def _tell(self, event: TrainingEvent) -> Events:
        if (yield event) == "stop":
            self.progress.stopped = ASKED

    # -- when ---------------------------------------------------------------------

    def fraction(self, steps_ahead: float = 0.0) -> float:
        """Return the part of the budget that is used."""
        training, progress = self.start.training, self.progress
        if training.steps is not None:
            return (progress.step + steps_ahead) / training.steps
        return min(1.0, progress.seconds / (60 * (training.minutes or math.inf)))

    def why_over(self) -> str:
        """Return why training is over, or nothing."""
        patience, progress = self.start.training.patience, self.progress
        if self.fraction() >= 1:
            return USED_UP
        if patience and progress.since_best > patience:
            return NO_PROGRESS
        return progress.stopped

    def is_validation_due(self) -> bool:
        """Return whether to validate now; the last time when training is over."""
        progress = self.progress
        if self.why_over():
            return progress.validated != progress.step
        return self._n_due() > progress.due and not self._too_soon()

    def _n_due(self) -> int:
        every = self.start.training.validate_every
        return math.floor(self.fraction() / every + 1e-9)

    def _too_soon(self) -> bool:
        """Return whether validations would take too much of a budget of time."""
        if self.start.training.steps is not None:
            return False
        rest = self.validation_seconds * (1 / VALIDATION_SHARE - 1)
        return self.progress.seconds - self.validated_at < rest

    # -- one step -----------------------------------------------------------------

    def timed_step(self, batches: Generator[Batch, None, None]) -> StepDone:
        """Do one step; the wait for its patches counts as well."""
        progress, training = self.progress, self.start.training
        began = time.perf_counter()
        factor = rate_factor(self.fraction(steps_ahead=0.5), training.warmup)
        rate = factor * peak_rate(training, fine_tuning=self.start.fine_tuning)
        losses = self.step(next(batches), rate)
        progress.losses.append(losses["total"])
        progress.step += 1
        progress.seconds += time.perf_counter() - began
        return StepDone(progress.step, self.fraction(), losses, rate, progress.seconds)

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Learn from one batch; return the losses by name."""
        training, state = self.start.training, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        seed = (training.random_seed * SPREAD + self.progress.step) % 2**63
        repeatable = training.steps is not None
        try:
            with seeded(seed, self.device), kernels(repeatable=repeatable):
                parts = self._learn(batch)
        except RuntimeError as error:
            raise _explained(error, self.device) from error
        decay, step = training.ema, self.progress.step + 1
        update_average(state.average, state.network, decay=decay, step=step)
        values = torch.stack(list(parts.values())).tolist()
        return dict(zip(parts, values, strict=True))

    def _learn(self, batch: Batch) -> dict[str, Tensor]:
        network, optimizer, scaler = self._learners()
        with autocast(self.device, self.precision):
            logits = network.train()(batch.image)
        losses = self.start.objective(logits, batch)
        self._check(losses["total"])
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(
            network.parameters(), self.start.training.clip_gradient
        )
        if not scaler.is_enabled():  # which skips such steps by itself
            self._check(norm)
        scaler.step(optimizer)
        scaler.update()
        return {name: loss.detach() for name, loss in losses.items()}

    def _learners(
        self,
    ) -> tuple[nn.Module, torch.optim.Optimizer, torch.amp.GradScaler]:
        return self.state.network, self.state.optimizer, self.state.scaler

    def _check(self, value: Tensor) -> None:
        if not value.isfinite():
            kept = "The best model so far is kept." if self.progress.best else ""
            raise TrainingError(
                f"Training diverged at step {self.progress.step + 1}: the loss is no "
                f"longer a number. {kept}".strip(),
                "Lower the learning rate or choose float32, and look for absurd values "
                "in the images.",
            )

    # -- validation ---------------------------------------------------------------

    def validate(self) -> Validated:
        """Score the averaged weights, and keep them if they are the best so far."""
        progress, average = self.progress, self.state.average
        began = time.perf_counter()
        probabilities = self.validator.predict(average, self.precision)
        judged = self.validator.judge(probabilities, self.start.model.recipe.separation)
        loss = self.validator.loss(average, self.precision)
        is_best = self._note(judged, loss)
        if is_best:
            self.save_best(judged.scores)
        self.validation_seconds = time.perf_counter() - began
        progress.seconds += self.validation_seconds
        self.validated_at = progress.seconds
        self.save_state()
        return Validated(
            step=progress.step,
            loss=loss,
            scores=judged.scores,
            best=is_best,
            seconds=progress.seconds,
            example=self.validator.example(probabilities, judged),
        )

    def _note(self, judged: Judgement, loss: float) -> bool:
        """Write a row of history; return whether this is the best so far."""
        progress = self.progress
        score = list(judged.scores.values())[:2]
        is_best = not progress.best or score > progress.best
        recent = progress.losses[max(0, progress.validated) :]
        progress.history.append(
            {
                "step": progress.step,
                "seconds": progress.seconds,
                "training_loss": math.fsum(recent) / max(1, len(recent)),
                "loss": loss,
                "foreground": judged.foreground,
                **judged.scores,
            }
        )
        progress.since_best = 0 if is_best else progress.since_best + 1
        progress.best = score if is_best else progress.best
        progress.validated, progress.due = progress.step, self._n_due()
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

    def save_best(self, scores: dict[str, float]) -> None:
        """Write the averaged weights as the model."""
        save_model(self.files.out, self.state.average, self.recipe(scores))

    def recipe(self, scores: dict[str, float]) -> Recipe:
        """Return the recipe with scores and what is known about this training."""
        progress, recipe = self.progress, self.start.model.recipe
        training: dict[str, Any] = {
            **recipe.training,
            "settings": self.start.training.model_dump(mode="json"),
            "step": progress.step,
            "seconds": round(progress.seconds, 3),
            "device": str(self.device),
            "precision": self.precision,
        }
        kept = {"validation": scores} if scores else {}
        return recipe.replace(training=training, scores=kept)

    def save_state(self) -> None:
        """Write what `resume` needs."""
        self.state.save(self.files.state, self.files.fingerprint)
        self.saved_at = time.monotonic()

    def leave(self) -> None:
        """Leave a model and a state behind, between two steps."""
        if not self.progress.step:
            return
        if not self.progress.best:
            self.save_best({})
        self.save_state()


def _explained(error: RuntimeError, device: torch.device) -> Exception:
    if not is_out_of_memory(error):
        return error
    release_memory(device)
    return DeviceError(
        f"The memory of {device} is too small for this batch.",
        "Lower the batch or the patch size, or the network's base channels.",
    )
