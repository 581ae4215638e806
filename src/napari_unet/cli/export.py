"""`napari-unet export`: a model as a bioimage.io package that passes its own test."""

from __future__ import annotations

from pathlib import Path

from napari_unet.cli.console import err
from napari_unet.cli.console import out as stdout
from napari_unet.nn.formats.bioimageio_export import export_model
from napari_unet.settings import Credits


def export_package(
    model: str,
    target: Path,
    credits: Credits,  # noqa: A002  (as `export_model` calls it)
    *,
    overwrite: bool,
) -> None:
    """Export, show that something is going on, and say what was tested."""
    with err.status("writing the package and testing it in a process of its own"):
        done = export_model(model, target, credits=credits, overwrite=overwrite)
    for line in done.warnings:
        err.print(f"bioimage.io would like more: {line}", markup=False)
    n_tests = len(done.tests)
    stdout.print(
        f"{done.path}: passed {n_tests} tests of bioimageio.core", markup=False
    )
