"""`napari-unet train`: from files to a model, with everything shown on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.cli.console import err, out
from napari_unet.cli.targets import refuse_existing
from napari_unet.cli.train_view import View, show_plan, show_report, training_bar
from napari_unet.core.training_events import Report
from napari_unet.errors import SettingsError
from napari_unet.io.overlay import write_picture
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import load_pair
from napari_unet.io.training_image import (
    TrainingImage,
    as_planes,
    by_components,
    with_pixel_size,
)
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.nn.interrupt import run_to_end
from napari_unet.nn.preparation import Preparation, draw_sheet, prepare
from napari_unet.nn.training import check_out, iter_train
from napari_unet.training_settings import Training


@dataclass(frozen=True)
class Source:
    """Where annotated images come from, and how they are read.

    Parameters
    ----------
    images, labels
        See `find_pairs`.
    axes, ignore_label
        See `load_pair`.
    components
        Whether labels are masks, which become one object per connected component.
    planes
        Whether stacks are taken plane by plane.
    pixel_size
        Micrometres per pixel, where the files do not say or are wrong: one number, or
        for Z, Y, X; empty: what they say.
    """

    images: Path
    labels: Path | None = None
    axes: str | None = None
    ignore_label: int | None = None
    components: bool = False
    planes: bool = False
    pixel_size: tuple[float, ...] = ()

    def load(self) -> list[TrainingImage]:
        """Show how images and labels were paired, and read them."""
        pairing = find_pairs(self.images, self.labels)
        err.print(str(pairing), markup=False)
        images: list[TrainingImage] = []
        with training_bar() as bar:
            for pair in bar.track(pairing.pairs, description="reading"):
                images += load_pair(
                    pair, axes=self.axes, ignore_label=self.ignore_label
                )
        if self.components:
            images = [by_components(image) for image in images]
        if self.planes:
            images = [plane for image in images for plane in as_planes(image)]
        return with_pixel_size(images, self.pixel_size or None)


@dataclass(frozen=True)
class Request:
    """What is to be trained.

    Parameters
    ----------
    source
        Annotated images.
    training
        Settings.
    out
        The checkpoint; None for a dry run.
    options
        Fields of `napari_unet.nn.training.Options`.
    choices
        Answers to what the file of the model to start from does not say.
    """

    source: Source
    training: Training
    out: Path | None
    options: dict[str, Any]
    choices: dict[str, str] = field(default_factory=dict)

    def model(self) -> Model | None:
        """Return the model to start from."""
        name = self.options["model"]
        if name is None and self.choices:
            raise SettingsError(
                "--assume would do nothing: no model is given to start from.",
                "Give one with --from, or leave --assume out.",
            )
        return None if name is None else load_model(name, choices=self.choices)


def run_train(
    request: Request, *, sheet: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Train, or only show what would be trained."""
    if request.out is not None:
        check_out(request.out, **request.options)
    elif not dry_run:
        raise SettingsError(
            "The model has no name.", "Give one: -o NAME.safetensors, or --dry-run."
        )
    if sheet is not None:
        refuse_existing([sheet], overwrite=request.options["overwrite"])
    images = request.source.load()
    if dry_run or sheet is not None:
        prepared = _prepare(request, images)
        if sheet is not None:
            write_picture(sheet, draw_sheet(prepared))
            err.print(f"Augmented patches: {sheet}", markup=False)
        if dry_run:
            show_plan(prepared)
            return
    report = _train(request, images)
    if as_json:
        out.print(json.dumps(report.to_dict(), indent=1), markup=False)
    else:
        show_report(report)


def _prepare(request: Request, images: list[TrainingImage]) -> Preparation:
    return prepare(images, request.training, request.model())


def _train(request: Request, images: list[TrainingImage]) -> Report:
    options = {**request.options, "model": request.model()}
    job = iter_train(images, request.out or "", training=request.training, **options)
    try:
        with training_bar() as bar:
            return run_to_end(job, View(bar).show)
    except KeyboardInterrupt:
        err.print("Stopped at once. The same command with --resume goes on.")
        raise
