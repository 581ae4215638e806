"""Reading: from anybody's tensors to a network, a recipe and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from napari_unet.nn.building import assume_recipe, build
from napari_unet.nn.formats.report import Report
from napari_unet.nn.unet import infer_architecture
from napari_unet.settings import Recipe


@dataclass(frozen=True)
class Reading:
    """A network that was read off its tensors.

    Parameters
    ----------
    network
        Strictly loaded, in eval mode, without gradients; gives logits.
    recipe
        Rebuilds it, together with its state dict.
    report
        What the reading rests on.
    """

    network: nn.Module
    recipe: Recipe
    report: Report


def read_network(
    tensors: Mapping[str, Tensor],
    name: str,
    *,
    choices: Mapping[str, str] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Reading:
    """Rebuild the network that `tensors` belong to.

    Parameters
    ----------
    tensors
        A state dict, in the order of its file, without prefixes of wrappers.
    name
        Of the file, for messages and the recipe.
    choices
        Answers to what shapes cannot tell, such as ``{"padding": "valid"}``; the
        report's alternatives list the questions.
    hints
        Plain metadata found beside the tensors.

    Raises
    ------
    CheckpointError
        If they are not those of a U-Net that can be rebuilt.
    """
    del choices, hints
    architecture = infer_architecture(tensors, name)
    recipe, notes = assume_recipe(architecture, name)
    report = Report("napari-unet", verified=True, assumed=notes)
    return Reading(build(architecture, tensors, name), recipe, report)
