"""Export: a model as a bioimage.io package that has passed its own test."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.io.atomic import replacing
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.nn.formats.bioimageio_check import check_package
from napari_unet.nn.formats.bioimageio_extra import require_bioimageio
from napari_unet.nn.formats.bioimageio_package import write_package
from napari_unet.settings import Credits, Recipe

CREDITS = Credits()
DESCRIPTION = "rdf.yaml"
LINE_WIDTH = 88


@dataclass(frozen=True)
class Export:
    """A package that was written.

    Parameters
    ----------
    path
        The zip.
    tests
        One line for each test that it passed.
    warnings
        What bioimage.io would like better, one line each.
    """

    path: Path
    tests: tuple[str, ...]
    warnings: tuple[str, ...]


def export_model(
    model: Model | str | Path,
    out: str | Path,
    *,
    credits: Credits = CREDITS,  # noqa: A002  (the word of the format)
    overwrite: bool = False,
) -> Export:
    """Write a model as a bioimage.io package, once that has passed its own test.

    bioimageio.core tests it in a fresh process that cannot import ours. It repeats the
    prediction with every kind of weights, and runs other sizes and batches.

    Parameters
    ----------
    model
        From `load_model`, a bundled name, or a path.
    out
        A file that ends in ``.zip``; it appears complete and tested, or not at all.
    credits
        Authors, licence and citations; those not given are the model's own.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    CheckpointError
        If the model cannot be packaged, or the package fails the test: what failed is
        in the message.
    """
    target = _checked_target(Path(out), overwrite=overwrite)
    require_bioimageio()
    loaded = model if isinstance(model, Model) else load_model(model)
    named = replace(loaded, recipe=_with_credits(loaded.recipe, credits))
    with tempfile.TemporaryDirectory(prefix="napari-unet-export-") as name:
        content, package = Path(name, "content"), Path(name, "package.zip")
        content.mkdir()
        write_zip(write_package(named, content), content, package)
        checked = check_package(package, Path(name))
        if not checked.passed:
            failed = [line for line in checked.tests if line.startswith("failed")]
            raise CheckpointError(
                f"The package does not pass bioimageio.core's test and was not "
                f"written: {'; '.join(failed)}.",
                "Please report this with the checkpoint.",
            )
        with replacing(target) as temporary:
            shutil.copyfile(package, temporary)
    return Export(target, checked.tests, checked.warnings)


def _checked_target(path: Path, *, overwrite: bool) -> Path:
    if path.suffix.lower() != ".zip":
        raise CheckpointError(
            f"{path.name} is no name for a package.", "End it with .zip."
        )
    if not path.parent.is_dir():
        raise CheckpointError(
            f"The folder {path.parent} does not exist.", "Create it first."
        )
    if path.exists() and not overwrite:
        raise CheckpointError(
            f"{path} exists.", "Choose another name, or allow to overwrite it."
        )
    return path


def _with_credits(recipe: Recipe, given: Credits) -> Recipe:
    changes = {name: getattr(given, name) for name in given.model_fields_set}
    return recipe.replace(**changes) if changes else recipe


def write_zip(description: dict[str, Any], content: Path, package: Path) -> None:
    """Write the description and all files into a zip."""
    from ruyaml import YAML

    yaml: Any = YAML()
    yaml.default_flow_style = False
    yaml.width = LINE_WIDTH
    with (content / DESCRIPTION).open("w", encoding="utf-8") as file:
        yaml.dump(description, file)
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(content.iterdir()):
            archive.write(path, path.name)
