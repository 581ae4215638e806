"""Building: a network from its architecture and weights, strictly or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.graph_settings import Graph
from napari_unet.nn.graph import empty_graph
from napari_unet.nn.unet import empty_unet, encode_form
from napari_unet.nn.weight_files import COPY_AGAIN
from napari_unet.settings import Architecture, Opaque, Recipe

AnyArchitecture = Architecture | Graph | Opaque
NO_FIT = "The weights do not fit the recipe; save or download them again."


def empty_network(architecture: AnyArchitecture) -> nn.Module:
    """Return a network without values, on the meta device."""
    if isinstance(architecture, Opaque):
        raise not_rebuilt(architecture)
    if isinstance(architecture, Graph):
        return empty_graph(architecture)
    return empty_unet(architecture)


def not_rebuilt(architecture: Opaque) -> CheckpointError:
    """Return the error for a network that only its own file describes."""
    return CheckpointError(
        f"A network from {architecture.format} can be run, but neither trained nor "
        "saved anew.",
        "Load its weights from a state dict instead.",
    )


def build(
    architecture: AnyArchitecture,
    state: Mapping[str, Tensor],
    name: str = "The checkpoint",
) -> nn.Module:
    """Rebuild a network from its arguments and weights, strictly, in eval mode.

    Raises
    ------
    CheckpointError
        If a tensor is missing, superfluous, of another shape or kind, or not finite.
    """
    network = check_state(state, architecture, name)
    float32 = {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }
    network.load_state_dict(float32, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check_state(
    state: Mapping[str, Tensor], architecture: AnyArchitecture, name: str
) -> nn.Module:
    """Return the network, still empty, that `state` fits."""
    try:
        network = empty_network(architecture)
    except SettingsError as error:
        raise CheckpointError(
            f"The recipe in {name} is damaged: {error.problem}", COPY_AGAIN
        ) from None
    wanted = network.state_dict()
    for key in sorted(wanted.keys() | state.keys()):
        if key not in state or key not in wanted:
            what = "lacks the" if key in wanted else "holds an unknown"
            raise CheckpointError(f"{name} {what} tensor {key}.", NO_FIT)
        _check_tensor(state[key], wanted[key], f"{name}: tensor {key}")
    if isinstance(architecture, Architecture) and not torch.equal(
        state["form"], encode_form(architecture)
    ):
        raise CheckpointError(
            f"{name}: padding, up-sampling or pooling are not those of the weights.",
            NO_FIT,
        )
    return network


def _check_tensor(found: Tensor, wanted: Tensor, name: str) -> None:
    if found.shape != wanted.shape:
        raise CheckpointError(
            f"{name} has shape {tuple(found.shape)}, not {tuple(wanted.shape)}.", NO_FIT
        )
    plain = found.layout == torch.strided and found.device.type == "cpu"
    is_real = wanted.is_floating_point()
    if not plain or found.is_floating_point() != is_real or found.is_complex():
        raise CheckpointError(
            f"{name} holds {found.dtype} on {found.device}, not plain {wanted.dtype}.",
            NO_FIT,
        )
    if is_real and not found.float().isfinite().all():
        raise CheckpointError(
            f"{name} holds NaN or infinite weights.",
            "The training diverged or the file is damaged; use an earlier one.",
        )


def assume_recipe(
    architecture: AnyArchitecture, name: str
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
    normalization = recipe.normalization
    note = (
        f"The file holds weights alone; assumed: channels {', '.join(channels)}, "
        f"{recipe.activation}, percentiles {normalization.low:g} to "
        f"{normalization.high:g}."
    )
    return recipe, (note,)
