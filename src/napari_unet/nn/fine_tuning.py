"""Fine-tuning: what a trained model decides, and how its network is adapted.

The model's target, normalisation and classes hold where the settings say nothing; its
last layer starts afresh where other channels are to be trained.
"""

from __future__ import annotations

import copy

from torch import nn

from napari_unet.errors import AxesError, SettingsError
from napari_unet.graph_settings import Graph
from napari_unet.nn.building import not_rebuilt
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.graph import GraphNetwork, with_outputs
from napari_unet.nn.losses import INSTANCE_CHANNELS, Objective
from napari_unet.nn.optimisation import seeded
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Opaque, Recipe, Separation
from napari_unet.training_settings import Training


def check_dimensions(model: Model, ndim: int) -> None:
    """Raise `AxesError` if the model has not the images' number of dimensions."""
    arch = model.recipe.architecture
    if arch.ndim != ndim:
        raise AxesError(
            f"The model is {arch.ndim}-D, but the images are {ndim}-D.",
            "Start from a model of the same dimensions, or train a new one.",
        )


def adopt_settings(training: Training, recipe: Recipe) -> Training:
    """Let the model decide what the settings do not say: target and normalisation."""
    loss = training.loss
    known = {channels: target for target, channels in INSTANCE_CHANNELS.items()}
    target = "semantic" if recipe.task == "semantic" else known.get(recipe.channels)
    if "target" not in loss.model_fields_set and target is not None:
        loss = loss.replace(target=target)
    normalization = training.normalization.over(recipe.normalization)
    return training.replace(loss=loss, normalization=normalization)


def class_names(training: Training, recipe: Recipe) -> tuple[str, ...]:
    """Return the names that the settings or a semantic model give to classes."""
    kept = recipe.channels if recipe.task == "semantic" else ()
    return training.classes or kept


def adapt_network(
    model: Model, objective: Objective, seed: int, notes: list[str]
) -> tuple[nn.Module, Recipe]:
    """Return a copy that learns, with a new last layer if the channels differ.

    Parameters
    ----------
    model
        It is not changed.
    objective
        The channels that are to be trained.
    seed
        Of the new layer's weights.
    notes
        A new last layer is noted here, and what is left behind.

    Raises
    ------
    SettingsError
        If the channels differ and the network cannot be given another last layer.
    """
    network = copy.deepcopy(model.network).requires_grad_(True)
    if model.recipe.preprocessing or model.recipe.postprocessing:
        notes.append("The model's own steps around the network are left behind.")
    recipe = model.recipe.replace(
        training={"from": {"name": model.recipe.name, "sha256": model.sha256}},
        preprocessing=(),
        postprocessing=(),
        refusal="",
    )
    if recipe.channels == objective.channels and recipe.activation == "softmax":
        return network, recipe
    if not isinstance(network, UNet | GraphNetwork):
        raise SettingsError(
            f"The model gives {', '.join(recipe.channels)}, but "
            f"{', '.join(objective.channels)} are to be trained.",
            "Choose the target that the model has, or train a new model.",
        )
    arch, fresh, head = _with_outputs(recipe, len(objective.channels), seed)
    state = network.state_dict().items()
    kept = {k: v for k, v in state if not k.startswith(f"{head}.")}
    fresh.load_state_dict({**fresh.state_dict(), **kept})
    notes.append(
        f"The last layer starts afresh: the model gives {', '.join(recipe.channels)}, "
        f"but {', '.join(objective.channels)} are trained."
    )
    changed = recipe.replace(
        architecture=arch, channels=objective.channels, separation=Separation()
    )
    return fresh, changed


def _with_outputs(
    recipe: Recipe, n_outputs: int, seed: int
) -> tuple[Architecture | Graph, nn.Module, str]:
    """Return the architecture, a new network and its head's name."""
    with seeded(seed):
        if isinstance(recipe.architecture, Graph):
            graph, head = with_outputs(recipe.architecture, n_outputs)
            return graph, GraphNetwork(graph), head
        arch = recipe.architecture
        if isinstance(arch, Opaque):
            raise not_rebuilt(arch)
        arch = arch.replace(out_channels=n_outputs)
        return arch, UNet(arch), "head"
