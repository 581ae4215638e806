"""The command `train`: its arguments and flags. What it does is in `cli.train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from napari_unet.cli.arguments import Assume, PixelSizes
from napari_unet.cli.options import numbers, parse_choices, settings_flags
from napari_unet.errors import SettingsError
from napari_unet.settings import Normalization, Settings
from napari_unet.training_settings import (
    AUGMENTATIONS,
    LOSSES,
    Augmentation,
    Loss,
    Training,
)

S = TypeVar("S", bound=Settings)

Images = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGES",
        help="Folder of images, or of images and labels; one image; a CSV of pairs.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Argument(
        metavar="[LABELS]",
        help="Folder of labels, one label image, or the name of labels in OME-Zarr; "
        "none: IMAGES holds both.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="MODEL", help="The model: NAME.safetensors."),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="MODEL", help="Go on from this model, bundled or a file."
    ),
]
LossPreset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Preset, changed by the flags below: {', '.join(LOSSES)}.",
    ),
]
AugmentationPreset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Preset, changed by the flags below: {', '.join(AUGMENTATIONS)}.",
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(help="One letter of TCZYX per axis, where the files do not say."),
]
IgnoreLabel = Annotated[
    int | None,
    typer.Option(help="Label that means 'not annotated', besides negative ones."),
]
Components = Annotated[
    bool,
    typer.Option(
        "--components",
        help="Labels are masks: one object per connected component of them.",
    ),
]
Planes = Annotated[
    bool,
    typer.Option("--planes", help="Train a 2-D network on the planes of stacks."),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT.png", help="Draw augmented patches and their weights here."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show pairs, findings and the plan; train nothing."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps or xpu.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a stopped training left off.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Train even if the data have an error.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@settings_flags
def train(
    images: Images,
    training: Training,
    loss: Loss,
    augmentation: Augmentation,
    normalization: Normalization,
    labels: Labels = None,
    out: Out = None,
    model: From = None,
    assume: Assume = None,
    loss_preset: LossPreset = None,
    augmentation_preset: AugmentationPreset = None,
    axes: Axes = None,
    pixel_size: PixelSizes = None,
    ignore_label: IgnoreLabel = None,
    components: Components = False,
    planes: Planes = False,
    sheet: Sheet = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a U-Net on annotated images, or train a model further.

    Pairs of images and labels are found by the conventions of Cellpose, StarDist,
    BiaPy, the Cell Tracking Challenge, nnU-Net, the 2018 Data Science Bowl, OME-Zarr,
    or from a CSV; they are shown, and refused when ambiguous. Labels: 0 background,
    negative not annotated, others one object each.

    Ctrl-C once ends training in order, with the best model; twice ends it at once,
    and --resume goes on.
    """
    from napari_unet.cli import train as command

    if loss_preset is not None:
        loss = loss.over(_preset(LOSSES, loss_preset, "--loss-preset"))
    if augmentation_preset is not None:
        augmentation = augmentation.over(
            _preset(AUGMENTATIONS, augmentation_preset, "--augmentation-preset")
        )
    request = command.Request(
        source=command.Source(
            images,
            labels,
            axes,
            ignore_label,
            components=components,
            planes=planes,
            pixel_size=numbers(pixel_size, "--pixel-size"),
        ),
        training=training.replace(
            loss=loss, augmentation=augmentation, normalization=normalization
        ),
        out=out,
        options={
            "model": model,
            "device": device,
            "resume": resume,
            "overwrite": overwrite,
            "force": force,
        },
        choices=parse_choices(assume or ()),
    )
    command.run_train(request, sheet=sheet, dry_run=dry_run, as_json=json)


def _preset(table: Mapping[str, Callable[[], S]], name: str, flag: str) -> S:
    if name not in table:
        raise SettingsError(
            f"{flag} {name} is no preset.", f"Choose one of {', '.join(table)}."
        )
    return table[name]()
