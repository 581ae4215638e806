"""Commands: what each is called, takes and says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_unet.cli import Cancelled
from napari_unet.cli.arguments import (
    Assume,
    Axes,
    Channels,
    Device,
    Diameter,
    Images,
    ModelName,
    Out,
    Overwrite,
    PixelSizes,
    Resume,
    Scale,
    Trust,
)
from napari_unet.cli.options import numbers, parse_choices, settings_flags, split
from napari_unet.cli.place import Place
from napari_unet.cli.train_command import train
from napari_unet.errors import SettingsError
from napari_unet.settings import (
    Credits,
    Normalization,
    Prediction,
    Separation,
    Tiling,
)


class Commands(TyperGroup):
    """The commands; an interrupt becomes `Cancelled`, which says what is done."""

    def invoke(self, ctx: Any) -> Any:
        """Run one command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled("Cancelled; nothing that was complete is lost.") from None


app = typer.Typer(
    name="napari-unet",
    cls=Commands,
    help="Cell segmentation with U-Nets: exact tiling, one label per cell.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("napari-unet-cells"))
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Cell segmentation with U-Nets: exact tiling, one label per cell."""


@app.command()
@settings_flags
def segment(
    images: Images,
    out: Out,
    place: Place,
    tiling: Tiling,
    prediction: Prediction,
    separation: Separation,
    normalization: Normalization,
    model: ModelName = "nuclei",
    trust: Trust = False,
    assume: Assume = None,
    axes: Axes = None,
    series: Annotated[int, typer.Option(help="Image in a file of several.")] = 0,
    channels: Channels = None,
    pixel_size: PixelSizes = None,
    diameter: Diameter = None,
    scale: Scale = None,
    device: Device = "auto",
    overlay: Annotated[
        bool | None, typer.Option(help="Write a picture (always for folders).")
    ] = None,
    objects: Annotated[
        bool | None, typer.Option(help="Write a table (always for folders).")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probabilities as well.")
    ] = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Segment images: one label per cell.

    One file leads to exactly OUT. A folder or several files lead to
    OUT/<stem>.tif, OUT/<stem>_overlay.png and OUT/<stem>_objects.csv.
    An OUT that ends with .zarr is OME-Zarr, made block by block: the image may be
    larger than memory, and --probabilities keeps them in it.
    Settings that are not given are the model's.
    """
    from napari_unet.io.folders import list_images

    if overwrite and resume:
        raise SettingsError(
            "--overwrite and --resume exclude each other.",
            "Start afresh with the one, or go on with the other.",
        )
    files = list_images(images)  # before torch is loaded: a typo is told at once
    single = len(images) == 1 and files == images
    large = single and out.suffix == ".zarr"
    place.check(single=single, large=large)

    from napari_unet.cli.batch import segment_many, segment_one
    from napari_unet.cli.large import segment_large
    from napari_unet.cli.request import Request
    from napari_unet.cli.targets import Wanted
    from napari_unet.nn.checkpoint import load_model
    from napari_unet.pipeline import Options

    options = Options(
        axes=axes,
        channels=tuple(_index(text) for text in split(channels or "")),
        pixel_size=numbers(pixel_size, "--pixel-size") or None,
        diameter=diameter,
        scale=scale,
        tiling=tiling,
        prediction=prediction,
        separation=separation,
        normalization=normalization,
        device=device,
    )
    wanted = Wanted(
        overlay=not single if overlay is None else overlay,
        objects=not single if objects is None else objects,
        probabilities=probabilities,
    )
    loaded = load_model(model, trust=trust, choices=parse_choices(assume or ()))
    request = Request(loaded, options, wanted, series)
    if large:
        segment_large(
            files[0], out, request, place=place, overwrite=overwrite, resume=resume
        )
    elif single:
        segment_one(files[0], out, request, overwrite=overwrite, resume=resume)
    else:
        segment_many(
            files, out, request, place=place, overwrite=overwrite, resume=resume
        )


@app.command()
@settings_flags
def separate(
    probabilities: Annotated[
        Path, typer.Argument(help="Probabilities of any network, channels first.")
    ],
    out: Out,
    separation: Separation,
    channels: Annotated[
        str | None,
        typer.Option(help="Names of the channels, such as background,interior."),
    ] = None,
    axes: Axes = None,
    planes: Annotated[
        bool, typer.Option("--planes", help="Separate each Z plane on its own.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn probabilities into labels, one per cell."""
    from napari_unet.cli.separate import separate_file

    separate_file(
        probabilities,
        out,
        separation,
        names=split(channels or ""),
        axes=axes,
        spatial="YX" if planes else None,
        overwrite=overwrite,
    )


app.command()(train)


@app.command()
def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Labels, a file or a folder.")
    ],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="True labels, paired by stem.")
    ],
    csv: Annotated[
        Path | None, typer.Option(help="Write the table of objects here.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print all scores as JSON.")
    ] = False,
    ignore: Annotated[
        int, typer.Option(help="True label of pixels that do not count.")
    ] = -1,
    classes: Annotated[
        int, typer.Option(help="Number of classes: semantic scores instead.")
    ] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Score labels against the truth: AP, F1, PQ, SEG, Dice, each object's error."""
    from napari_unet.cli.evaluate import evaluate_files

    evaluate_files(
        predictions,
        truth,
        csv=csv,
        as_json=json,
        ignore=ignore,
        n_classes=classes,
        overwrite=overwrite,
    )


@app.command()
@settings_flags
def demo(
    separation: Separation,
    image: Annotated[
        Path | None, typer.Option(help="Your own image instead of the sample.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder for the results (napari-unet-demo, which may be repeated).",
        ),
    ] = None,
    model: ModelName = "nuclei",
    axes: Axes = None,
    device: Device = "auto",
    volume: Annotated[
        bool, typer.Option("--volume", help="A 3-D sample, linked over Z.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Open the result in napari.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Segment a sample of touching nuclei and say how well it went."""
    from napari_unet.cli.demo import FOLDER, run_demo
    from napari_unet.pipeline import Options

    if image is not None and volume:
        raise SettingsError(
            "--image and --volume exclude each other.", "Give one of the two."
        )
    options = Options(axes=axes, device=device, separation=separation)
    run_demo(
        out or FOLDER,
        model,
        options,
        image=image,
        volume=volume,
        show=show,
        overwrite=overwrite or out is None,
    )


@app.command()
@settings_flags
def export(
    model: Annotated[str, typer.Argument(help="Bundled name or checkpoint file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Package, a .zip file.")],
    credits: Credits,  # noqa: A002  (the flags' panel)
    overwrite: Overwrite = False,
) -> None:
    """Write a bioimage.io package, once it has passed bioimageio.core's own test.

    Credits that are not given are the model's.
    """
    from napari_unet.cli.export import export_package

    export_package(model, out, credits, overwrite=overwrite)


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="Bundled name or checkpoint.")],
    assume: Assume = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List all tensors.")] = False,
) -> None:
    """Tell what is in a checkpoint, without running any of it.

    Weights, metadata, code, what was recognised and what would be assumed, and
    whether `segment` would run it.
    """
    from napari_unet.cli.inspection import inspect_file

    inspect_file(model, assume=assume or (), as_json=json, every=every)


@app.command()
def doctor() -> None:
    """Check torch, the device, Qt and napari, and say what to do."""
    from napari_unet.cli.doctor import run_doctor

    run_doctor()


def _index(text: str) -> Any:
    if not text.isdigit():
        raise SettingsError(
            f"--channels {text} is no channel.", "Count from 0, such as 0 or 0,2."
        )
    return int(text)
