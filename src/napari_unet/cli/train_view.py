"""What `napari-unet train` shows: the plan, the work as it goes on, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from napari_unet.cli.console import err, out
from napari_unet.core.events import Note
from napari_unet.core.training_events import (
    Planned,
    Report,
    StepDone,
    TrainingEvent,
    Validated,
)
from napari_unet.core.training_facts import Finding

if TYPE_CHECKING:
    from napari_unet.nn.preparation import Preparation

STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}
# What the scores of a line are called, by their names in the report.
SHORT_NAMES = {
    "ap@0.5": "AP@0.5",
    "mean_ap_50_90": "mean AP",
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
}


def training_bar() -> Progress:
    """Return a progress bar that leaves no trace when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


class View:
    """Shows the events of a training: lines that stay, and a bar that moves.

    Parameters
    ----------
    bar
        From `training_bar`, started.
    """

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task = bar.add_task("preparing", total=None)

    def show(self, event: TrainingEvent) -> None:
        """Show one event."""
        match event:
            case StepDone():
                text = f"step {event.step}, loss {event.losses['total']:.3f}"
                self.bar.update(
                    self.task, total=1.0, completed=event.progress, description=text
                )
            case Finding():
                show_finding(event)
            case Note():
                err.print(event.text, markup=False)
            case Planned():
                err.print(_planned_line(event), markup=False)
            case Validated():
                err.print(_validated_line(event), markup=False)


def show_finding(finding: Finding) -> None:
    """Show what the training doctor found, and what to do."""
    err.print(str(finding), style=STYLES[finding.severity], markup=False)


def show_plan(prepared: Preparation) -> None:
    """Show what training would begin with."""
    for text in prepared.notes:
        err.print(text, markup=False)
    for finding in prepared.findings:
        show_finding(finding)
    start, split = prepared.start, prepared.split
    arch = start.model.recipe.architecture
    diameter = start.model.recipe.diameter
    n_parameters = sum(p.numel() for p in start.model.network.parameters())
    lines = {
        "trained on": f"{len(split.train)} image(s) or parts of them",
        "validated on": f"{len(split.validation)}",
        "channels in": f"{arch.in_channels}",
        "channels out": ", ".join(start.objective.channels),
        "network": f"{arch.ndim}-D, {n_parameters:,} parameters",
        "patch": " x ".join(map(str, start.patch)),
        "median diameter": "unknown" if diameter is None else f"{diameter:.1f} px",
    }
    for name, text in lines.items():
        out.print(f"{name:<18}{text}", markup=False)


def show_report(report: Report) -> None:
    """Show what came of a training."""
    scores = report.scores.get("validation", {})
    out.print(
        f"{report.path}: {report.steps} steps in {report.seconds / 60:.1f} min; on the "
        f"validation images {scores_line(scores)}. {report.stopped}",
        markup=False,
    )


def scores_line(scores: Mapping[str, Any]) -> str:
    """Return the main scores in one line."""
    return ", ".join(
        f"{short} {scores[name]:.3f}"
        for name, short in SHORT_NAMES.items()
        if name in scores
    )


def _validated_line(event: Validated) -> str:
    best = ", the best so far" if event.best else ""
    return (
        f"step {event.step}, {event.seconds / 60:.1f} min: validation loss "
        f"{event.loss:.3f}, {scores_line(event.scores)}{best}"
    )


def _planned_line(event: Planned) -> str:
    patch = " x ".join(map(str, event.patch))
    resumed = f" Resumed at step {event.step}." if event.step else ""
    return (
        f"{event.n_training} image(s) to train on, {event.n_validation} to validate: "
        f"{', '.join(event.channels)}; patches of {patch}, {event.n_parameters:,} "
        f"parameters, {event.precision} on {event.device}.{resumed}"
    )
