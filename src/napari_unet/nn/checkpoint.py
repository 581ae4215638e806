"""Checkpoints: weights and recipe in one `.safetensors` file, loaded without executing.

Whatever is wrong with a file becomes one clear line: a checkpoint loads as it was
saved, or not at all. Foreign files are opened by `formats`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save as save_tensors
from torch import nn

from napari_unet.errors import CheckpointError, UntrustedError
from napari_unet.io.atomic import replacing
from napari_unet.nn.building import build, check_state
from napari_unet.nn.formats.containers import open_checkpoint
from napari_unet.nn.formats.contents import Contents
from napari_unet.nn.formats.opaque import OpaqueNetwork, assume_opaque_recipe
from napari_unet.nn.formats.promoted import promoted
from napari_unet.nn.formats.reading import Reading, read_network
from napari_unet.nn.model import Model as Model
from napari_unet.nn.recipes import check_recipe, parse_recipe
from napari_unet.nn.weight_files import (
    DAMAGED,
    METADATA_KEY,
    first_line,
    shortened,
)
from napari_unet.settings import Recipe

BUNDLED = Path(__file__).parents[1] / "models"
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".onnx")
# Choices that say where in a file to look; the others are the reader's.
PLACES = ("weights", "fold")


def bundled_models() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.safetensors")))


def load_model(
    source: str | Path,
    *,
    trust: bool = False,
    choices: Mapping[str, str] | None = None,
) -> Model:
    """Load a model by its bundled name or from a file.

    Parameters
    ----------
    source
        A bundled name such as ``"nuclei"``, or the path of a checkpoint: of this
        package, of any trainer (`.safetensors`, `.pt`, `.pth`, `.ckpt`, a model folder
        of nnU-Net), TorchScript or ONNX.
    trust
        Whether code in the file may be executed: that of TorchScript. Without it, the
        weights alone are read.
    choices
        Answers to what a foreign file does not say, as `inspect_model` lists them:
        ``weights`` and ``fold`` where it holds several, ``padding`` and others.

    Raises
    ------
    CheckpointError
        If there is no such model, or the file is damaged, not recognised, or newer.
    """
    given = dict(choices or {})
    weights, fold = (given.pop(name, None) for name in PLACES)
    path = find_model(source)
    contents = open_checkpoint(path, trust=trust, weights=weights, fold=fold)
    return model_of(contents, given)


def model_of(contents: Contents, choices: Mapping[str, str]) -> Model:
    """Return the model in an opened checkpoint, settled by what lies beside it.

    Parameters
    ----------
    contents
        Its network is run as it is, where the file describes it and that is allowed;
        else it is rebuilt from the weights.
    choices
        Answers to what shapes cannot tell.

    Raises
    ------
    CheckpointError
        If the weights do not fit the recipe, or are those of no known network.
    """
    if contents.settle is None:
        return _model_of(contents, choices)
    make = functools.partial(_model_of, contents)
    settled: Model = contents.settle(make, choices)
    return replace(settled, sha256=contents.sha256)


def _model_of(contents: Contents, choices: Mapping[str, str]) -> Model:
    name = contents.path.name
    if contents.recipe is not None:
        recipe = parse_recipe(contents.recipe, name)
        network = build(recipe.architecture, contents.tensors, name)
        return Model(network, recipe, contents.sha256)
    if contents.network is not None:
        opaque = contents.network()
        assert isinstance(opaque, OpaqueNetwork)  # noqa: S101 - by construction
        kind = contents.format.split(", ")[-1]  # of a package, that of its weights
        recipe, notes = assume_opaque_recipe(opaque.form, kind, name)
        return Model(opaque, recipe, contents.sha256, (*contents.notes, *notes))
    found = _read(contents, choices)
    doubt = (found.report.doubt,) if found.report.doubt else ()
    notes = (*contents.notes, *doubt, *found.report.assumed)
    if contents.needs_trust:
        said = "The network was rebuilt from its weights; its own code was not run."
        notes = (*notes, said)
    return Model(found.network, found.recipe, contents.sha256, notes, found.report)


def _read(contents: Contents, choices: Mapping[str, str]) -> Reading:
    try:
        return read_network(
            contents.tensors,
            contents.path.name,
            choices=choices,
            hints=promoted(contents.hints),
        )
    except DAMAGED as error:  # the tensors may be anything
        raise CheckpointError(
            f"The tensors in {contents.path.name} are those of no network that can be "
            f"rebuilt ({first_line(error)}).",
            "Check that it is a U-Net; the file may be damaged.",
        ) from error
    except CheckpointError as error:
        if not contents.needs_trust:
            raise
        remedy = f"If you trust {contents.needs_trust}, allow it: trust=True, --trust."
        raise UntrustedError(error.problem, remedy) from None


def save_model(path: str | Path, network: nn.Module, recipe: Recipe) -> None:
    """Write a checkpoint; it appears complete or not at all.

    Parameters
    ----------
    path
        Ends in ``.safetensors``.
    network
        Its state dict is stored as it is.
    recipe
        Travels in the file's metadata.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path.name} is no name for a checkpoint.", "End it with .safetensors."
        )
    tensors = network.state_dict().items()
    state = {name: value.detach().cpu().contiguous() for name, value in tensors}
    check_recipe(recipe, path.name)
    check_state(state, recipe.architecture, path.name)
    data = save_tensors(state, {METADATA_KEY: recipe.model_dump_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def find_model(source: str | Path) -> Path:
    """Return the path of a bundled model, or the given path if there is something.

    Raises
    ------
    CheckpointError
        If there is nothing.
    """
    if str(source) in bundled_models():
        return BUNDLED / f"{source}.safetensors"
    path = Path(source)
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{shortened(str(path))} cannot be read: {error}.",
            "Check the path and its rights.",
        ) from None
    if exists:
        return path
    raise CheckpointError(
        f"There is no model called {shortened(str(source))}.",
        f"Give a path, or one of the bundled models: {', '.join(bundled_models())}.",
    )
