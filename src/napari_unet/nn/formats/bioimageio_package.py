"""The files of a bioimage.io package, and the description that names them."""

from __future__ import annotations

import hashlib
import string
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.graph_settings import Graph
from napari_unet.io.overlay import write_picture
from napari_unet.nn.formats.bioimageio_axes import (
    INPUT,
    OUTPUT,
    input_axes,
    output_axes,
)
from napari_unet.nn.formats.bioimageio_example import (
    Example,
    draw_cover,
    make_example,
)
from napari_unet.nn.formats.bioimageio_extra import CONFIG_KEY
from napari_unet.nn.formats.bioimageio_readme import write_readme
from napari_unet.nn.formats.bioimageio_source import self_contained_source
from napari_unet.nn.formats.bioimageio_steps import (
    postprocessing_steps,
    preprocessing_steps,
)
from napari_unet.nn.graph import GraphNetwork
from napari_unet.nn.model import Model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe, Settings

FACTORY = "make_network"
U_NET_PAPER = "10.1007/978-3-319-24574-4_28"
ALLOWED_IN_NAMES = set(string.ascii_letters + string.digits + "_+- ()")
NAME_LENGTHS = 5, 64
LONGEST_DESCRIPTION = 512

Description = dict[str, Any]


def write_package(model: Model, folder: Path) -> Description:
    """Write all files of a package into `folder`; return its description.

    Parameters
    ----------
    model
        Its recipe holds the credits.
    folder
        Exists, and is empty.
    """
    recipe, example = model.recipe, make_example(model)
    np.save(folder / "test_input.npy", example.image[None])
    np.save(folder / "test_output.npy", example.probabilities[None])
    write_picture(folder / "cover.png", draw_cover(model, example))
    name, description = package_name(recipe), _described(recipe)
    layers = model.tile_dependent_layers
    readme = write_readme(recipe, name=name, description=description, layers=layers)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    weights = _write_weights(model, example, folder)
    inputs = {
        "id": INPUT,
        "axes": input_axes(recipe, model.geometry, blocks=not layers),
        "test_tensor": _file(folder / "test_input.npy"),
        "data": {"type": "float32"},
        "pad": {"mode": "reflect"},
        "preprocessing": preprocessing_steps(recipe),
    }
    outputs = {
        "id": OUTPUT,
        "axes": output_axes(recipe, model.geometry),
        "test_tensor": _file(folder / "test_output.npy"),
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "postprocessing": postprocessing_steps(recipe),
    }
    return {
        "format_version": _format_version(),
        "type": "model",
        "name": name,
        "description": description,
        **_credits(recipe),
        "documentation": _file(folder / "README.md"),
        "covers": [_file(folder / "cover.png")],
        "tags": _tags(recipe),
        "inputs": [inputs],
        "outputs": [outputs],
        "weights": weights,
        "config": _config(model),
    }


def _file(path: Path) -> Description:
    """Return how the description names a file: relative, with its hash."""
    return {
        "source": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def package_name(recipe: Recipe) -> str:
    """Return the recipe's name in the letters and the length that the format allows."""
    shortest, longest = NAME_LENGTHS
    letters = (c if c in ALLOWED_IN_NAMES else "-" for c in recipe.name.strip())
    name = "".join(letters)[:longest].strip()
    return name if len(name) >= shortest else f"{name} U-Net".strip()


def _described(recipe: Recipe) -> str:
    channels = ", ".join(recipe.channels)
    fallback = f"A {recipe.architecture.ndim}-D U-Net that predicts {channels}."
    return (recipe.description or fallback)[:LONGEST_DESCRIPTION]


def _format_version() -> str:
    from bioimageio.spec import ModelDescr

    return str(ModelDescr.implemented_format_version)


def _credits(recipe: Recipe) -> Description:
    texts = {U_NET_PAPER: "Ronneberger, Fischer, Brox: U-Net (2015)"}
    ours = isinstance(recipe.architecture, Architecture)
    cited = dict.fromkeys([*recipe.cite, *([U_NET_PAPER] if ours else [])])
    found: Description = {
        "authors": [{"name": name} for name in recipe.authors],
        "cite": [{"text": texts.get(doi, doi), "doi": doi} for doi in cited],
    }
    return found | ({"license": recipe.licence} if recipe.licence else {})


def _tags(recipe: Recipe) -> list[str]:
    kind = "instance" if recipe.task == "instances" else "semantic"
    dims = f"{recipe.architecture.ndim}d"
    return [dims, "pytorch", "unet", f"{kind}-segmentation", "napari-unet"]


def _config(model: Model) -> Description:
    recipe, parameters = model.recipe, model.network.parameters()
    return {
        "bioimageio": {
            "architecture_type": f"{recipe.architecture.ndim}D U-Net",
            "model_parameter_count": sum(p.numel() for p in parameters),
            "task": "segmentation",
        },
        CONFIG_KEY: recipe.model_dump(mode="json"),
    }


# -- weights ------------------------------------------------------------------------


def _write_weights(model: Model, example: Example, folder: Path) -> Description:
    """Write state dict, source and TorchScript; return their entries."""
    network, version = model.network, torch.__version__.partition("+")[0]
    source, kwargs = network_source(network)
    (folder / "network.py").write_text(source, encoding="utf-8")
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    torch.save(state, folder / "weights.pt")
    scripted = traced(network, torch.from_numpy(example.seen[None]))
    torch.jit.save(scripted, folder / "weights_torchscript.pt")
    return {
        "pytorch_state_dict": {
            **_file(folder / "weights.pt"),
            "pytorch_version": version,
            "architecture": {
                **_file(folder / "network.py"),
                "callable": FACTORY,
                "kwargs": kwargs,
            },
        },
        "torchscript": {
            **_file(folder / "weights_torchscript.pt"),
            "pytorch_version": version,
            "parent": "pytorch_state_dict",
        },
    }


def network_source(network: nn.Module) -> tuple[str, Description]:
    """Return the source of a file that makes the network, and the factory's arguments.

    Raises
    ------
    CheckpointError
        If the network is not one of this package's own classes.
    """
    kinds: dict[type, type[Settings]] = {UNet: Architecture, GraphNetwork: Graph}
    settings = kinds.get(type(network))
    if settings is None or not isinstance(network, (UNet, GraphNetwork)):
        raise CheckpointError(
            f"A network of type {type(network).__name__} cannot be exported.",
            "Export a model that was trained here, or opened from its weights alone.",
        )
    kwargs = network.architecture.model_dump(mode="json")
    return self_contained_source(type(network), settings, FACTORY), kwargs


def traced(network: nn.Module, x: Tensor) -> torch.jit.ScriptModule:
    """Return the network as TorchScript, traced on `x`."""
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        # The size check compares numbers, which a trace turns into constants; that the
        # trace takes other sizes is what the package's test shows.
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        found: torch.jit.ScriptModule = trace(network, x, check_trace=False)
    return found
