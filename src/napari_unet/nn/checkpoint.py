"""Checkpoints: weights and recipe in one `.safetensors` file, loaded without executing.

Whatever is wrong with a file becomes one clear line. Foreign `.pt` files are read with
``weights_only=True``, always.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from napari_unet.core.tiling import Geometry
from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.io.atomic import replacing
from napari_unet.nn.predict import Predictor, make_predictor
from napari_unet.nn.receptive_field import (
    bytes_per_pixel,
    network_geometry,
    tile_dependent_layers,
)
from napari_unet.nn.unet import UNet, infer_architecture
from napari_unet.settings import FORMAT_VERSION, Architecture, Prediction, Recipe

METADATA_KEY = "napari_unet"
BUNDLED = Path(__file__).parents[1] / "models"
DAMAGED = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    OSError,
    zipfile.BadZipFile,
)
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
    if path.suffix == ".safetensors":
        state, recipe = _read_safetensors(data, path)
        notes: tuple[str, ...] = ()
    else:
        state, recipe = _read_pickle(path), None
    if recipe is None:
        recipe, notes = assume_recipe(infer_architecture(state), path.stem)
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
    state = {name: value.contiguous().cpu() for name, value in tensors}
    data = save_tensors(state, {METADATA_KEY: recipe.model_dump_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def build(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    name: str = "The checkpoint",
) -> UNet:
    """Rebuild a `UNet` from its arguments and weights, strictly, in eval mode.

    Raises
    ------
    CheckpointError
        If a tensor is missing, superfluous, of another shape or not finite.
    """
    with torch.device("meta"):
        network = UNet(architecture)
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    for key in sorted(wanted.keys() | state.keys()):
        if key not in state or key not in wanted:
            what = "lacks" if key in wanted else "holds an unknown"
            raise CheckpointError(
                f"{name} {what} tensor {key}.", "The file does not fit its recipe."
            )
        if wanted[key] != state[key].shape:
            raise CheckpointError(
                f"{name}: tensor {key} has shape {tuple(state[key].shape)}, not "
                f"{tuple(wanted[key])}.",
                "The file does not fit its recipe.",
            )
        if state[key].is_floating_point() and not state[key].isfinite().all():
            raise CheckpointError(
                f"{name}: tensor {key} holds NaN or infinite weights.",
                "The training diverged or the file is damaged; use an earlier one.",
            )
    float32 = {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }
    network.load_state_dict(float32, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def assume_recipe(
    architecture: Architecture, name: str
) -> tuple[Recipe, tuple[str, ...]]:
    """Return a recipe for weights that came without one, and what was assumed."""
    known = {
        1: ("interior",),
        2: ("background", "interior"),
        3: ("background", "interior", "boundary"),
    }
    n = architecture.out_channels
    channels = known.get(n, tuple(f"class_{index}" for index in range(n)))
    recipe = Recipe(
        name=name,
        architecture=architecture,
        channels=channels,
        task="instances" if n in known else "semantic",
        activation="sigmoid" if n == 1 else "softmax",
    )
    note = (
        f"The file holds weights alone; assumed: channels {', '.join(channels)}, "
        f"{recipe.activation}, percentiles 1 to 99.8."
    )
    return recipe, (note,)


def _find(source: str | Path) -> Path:
    path = Path(source)
    bundled = BUNDLED / f"{source}.safetensors"
    if str(source) in bundled_models():
        return bundled
    if path.is_file() and path.suffix in SUFFIXES:
        return path
    if path.exists():
        raise CheckpointError(
            f"{path} is not a checkpoint of a known kind.",
            f"Give a file that ends in {', '.join(SUFFIXES)}.",
        )
    raise CheckpointError(
        f"There is no model called {source}.",
        f"Give a path, or one of the bundled models: {', '.join(bundled_models())}.",
    )


def _read_safetensors(
    data: bytes, path: Path
) -> tuple[dict[str, Tensor], Recipe | None]:
    try:
        state = load_tensors(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path.name} is damaged or no safetensors file ({error}).",
            "Copy or download it again.",
        ) from None
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    return state, None if text is None else _parse_recipe(text, path)


def _parse_recipe(text: str, path: Path) -> Recipe:
    remedy = "Copy or download the file again."
    try:
        values: Any = json.loads(text)
    except json.JSONDecodeError:
        raise CheckpointError(
            f"The recipe in {path.name} is damaged.", remedy
        ) from None
    version = values.get("format_version", 0) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path.name} was written by a newer version (format {version}; this one "
            f"reads up to {FORMAT_VERSION}).",
            "Update napari-unet-cells.",
        )
    try:
        recipe = Recipe.parse(values)
    except SettingsError as error:
        raise CheckpointError(
            f"The recipe in {path.name} is damaged: {error.problem}", remedy
        ) from None
    if len(recipe.channels) != recipe.architecture.out_channels:
        raise CheckpointError(
            f"The recipe in {path.name} names {len(recipe.channels)} channels for "
            f"{recipe.architecture.out_channels} outputs.",
            remedy,
        )
    return recipe


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing anything."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path.name} holds code or objects besides weights; it was not loaded.",
            "Save the state dict alone: torch.save(network.state_dict(), path).",
        ) from None
    except DAMAGED as error:
        raise CheckpointError(
            f"{path.name} is damaged or no PyTorch file ({_first_line(error)}).",
            "Copy or download it again.",
        ) from None
    if not _is_state(found):
        raise CheckpointError(
            f"{path.name} is not a bare state dict.",
            "Save the state dict alone: torch.save(network.state_dict(), path).",
        )
    return dict(found)


def _is_state(found: object) -> bool:
    if not isinstance(found, dict) or not found:
        return False
    names = all(isinstance(name, str) for name in found)
    return names and all(isinstance(value, Tensor) for value in found.values())


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
