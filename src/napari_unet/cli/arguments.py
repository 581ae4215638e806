"""Arguments and flags that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN...",
        help="Images (TIFF, OME-TIFF, OME-Zarr, zarr, PNG, JPEG, .npy) or a folder.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "-o", "--out", help="Labels file for one image, folder for several or a folder."
    ),
]
ModelName = Annotated[
    str, typer.Option("-m", "--model", help="Bundled name or checkpoint file.")
]
Axes = Annotated[
    str | None,
    typer.Option(help="One letter of TCZYX per axis, where the file does not say."),
]
PixelSizes = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N..]", help="Micrometres per pixel: one number, or for Z,Y,X."
    ),
]
Diameter = Annotated[
    float | None, typer.Option(help="Typical object diameter in pixels of the image.")
]
Scale = Annotated[
    float | None, typer.Option(help="Model pixels per image pixel, given directly.")
]
Channels = Annotated[
    str | None,
    typer.Option(metavar="N[,N..]", help="Image channels for the model, from 0."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps or xpu.")]
Trust = Annotated[bool, typer.Option("--trust", help="Let code in the checkpoint run.")]
Assume = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="What the checkpoint does not say, as `inspect` lists it; repeatable.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a stopped run left off.")
]
