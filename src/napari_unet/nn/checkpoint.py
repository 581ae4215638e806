"""Checkpoints: weights and recipe in one `.safetensors` file, loaded without executing.

Whatever is wrong with a file becomes one clear line: a checkpoint loads as it was
saved, or not at all.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from napari_unet.core.tiling import Geometry
from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.io.atomic import replacing
from napari_unet.nn.building import assume_recipe, build, check_state
from napari_unet.nn.predict import Predictor, make_predictor
from napari_unet.nn.receptive_field import network_geometry, tile_dependent_layers
from napari_unet.nn.shapes import bytes_per_pixel
from napari_unet.nn.unet import infer_architecture
from napari_unet.nn.weight_files import (
    COPY_AGAIN,
    METADATA_KEY,
    read_pickle,
    read_safetensors,
    shortened,
)
from napari_unet.settings import FORMAT_VERSION, Prediction, Recipe

BUNDLED = Path(__file__).parents[1] / "models"
SUFFIXES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Model:
    """A network with all that is needed for the same answer elsewhere.

    Parameters
    ----------
    network
        In eval mode, untouched: nothing folded, no activation added.
    recipe
        Channels, normalisation, separation, scores.
    sha256
        Of the file that it came from.
    notes
        What was assumed while loading, one sentence each.
    """

    network: nn.Module
    recipe: Recipe
    sha256: str = ""
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def geometry(self) -> Geometry:
        """Divisor, halo and crop per axis, probed once."""
        arch = self.recipe.architecture
        return network_geometry(
            self.network, ndim=arch.ndim, in_channels=arch.in_channels
        )

    @functools.cached_property
    def bytes_per_pixel(self) -> float:
        """Bytes of activations for each pixel read."""
        arch = self.recipe.architecture
        return bytes_per_pixel(
            self.network, ndim=arch.ndim, in_channels=arch.in_channels
        )

    @functools.cached_property
    def tile_dependent_layers(self) -> tuple[str, ...]:
        """Layers whose result depends on the tile; empty: tiling is exact."""
        return tile_dependent_layers(self.network)

    @functools.cached_property
    def _predictors(self) -> dict[tuple[Prediction, torch.device], Predictor]:
        return {}

    def predictor(self, prediction: Prediction, device: torch.device) -> Predictor:
        """Return the network ready to run; the last one made is kept."""
        key = prediction, device
        if key not in self._predictors:
            self._predictors.clear()
            self._predictors[key] = make_predictor(
                self.network, self.recipe, prediction, device
            )
        return self._predictors[key]


def bundled_models() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.safetensors")))


def load_model(source: str | Path, *, trust: bool = False) -> Model:
    """Load a model by its bundled name or from a file.

    Parameters
    ----------
    source
        A bundled name such as ``"nuclei"``, or a path to a `.safetensors` checkpoint
        or to a state dict (`.pt`, `.pth`) of this package's U-Net.
    trust
        Whether code in the file may be executed. No supported format holds code, so
        this changes nothing yet.

    Raises
    ------
    CheckpointError
        If there is no such model, or the file is damaged, foreign or newer.
    """
    del trust
    path = _find(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}.", "Check the file's rights."
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    notes: tuple[str, ...] = ()
    recipe = None
    if path.suffix.lower() == ".safetensors":
        state, text = read_safetensors(data, path.name)
        recipe = None if text is None else _parse_recipe(text, path.name)
    else:
        state = read_pickle(data, path.name)
    if recipe is None:
        recipe, notes = assume_recipe(infer_architecture(state, path.name), path.stem)
    return Model(build(recipe.architecture, state, path.name), recipe, digest, notes)


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
    _check_recipe(recipe, path.name)
    check_state(state, recipe.architecture, path.name)
    data = save_tensors(state, {METADATA_KEY: recipe.model_dump_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _find(source: str | Path) -> Path:
    if str(source) in bundled_models():
        return BUNDLED / f"{source}.safetensors"
    path = Path(source)
    try:
        is_file, exists = path.is_file(), path.exists()
    except OSError as error:
        raise CheckpointError(
            f"{shortened(str(path))} cannot be read: {error.strerror}.",
            "Check the path and its rights.",
        ) from None
    if is_file and path.suffix.lower() in SUFFIXES:
        return path
    if exists:
        raise CheckpointError(
            f"{path} is not a checkpoint of a known kind.",
            f"Give a file that ends in {', '.join(SUFFIXES)}.",
        )
    raise CheckpointError(
        f"There is no model called {source}.",
        f"Give a path, or one of the bundled models: {', '.join(bundled_models())}.",
    )


def _parse_recipe(text: str, name: str) -> Recipe:
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise CheckpointError(f"The recipe in {name} is damaged.", COPY_AGAIN) from None
    version = values.get("format_version", 0) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{name} was written by a newer version (format {version}; this one "
            f"reads up to {FORMAT_VERSION}).",
            "Update napari-unet-cells.",
        )
    try:
        recipe = Recipe.parse(values)
    except SettingsError as error:
        raise CheckpointError(
            f"The recipe in {name} is damaged: {shortened(error.problem)}", COPY_AGAIN
        ) from None
    _check_recipe(recipe, name)
    return recipe


def _check_recipe(recipe: Recipe, name: str) -> None:
    architecture = recipe.architecture
    counts = [("channels", len(recipe.channels), architecture.out_channels, "outputs")]
    if recipe.pixel_size is not None:
        n_sizes = len(recipe.pixel_size)
        counts.append(("pixel sizes", n_sizes, architecture.ndim, "axes"))
    for what, found, wanted, of in counts:
        if found != wanted:
            raise CheckpointError(
                f"The recipe in {name} names {found} {what} for {wanted} {of}.",
                COPY_AGAIN,
            )
