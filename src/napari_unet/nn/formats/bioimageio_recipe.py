"""A recipe from a description: what it says about channels, steps and pixel size."""

from __future__ import annotations

from typing import Any

from napari_unet.core.processing import is_measured
from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.nn.formats.bioimageio_described import Described, TensorDescribed
from napari_unet.nn.formats.bioimageio_steps import (
    postprocessing_steps,
    preprocessing_steps,
)
from napari_unet.nn.formats.bioimageio_steps_read import StepReader
from napari_unet.processing_settings import (
    EnsureDtype,
    ProcessingStep,
    Sigmoid,
    Softmax,
)
from napari_unet.settings import Recipe

# Names of channels that mean what ours do.
SYNONYMS = {
    "foreground": "interior",
    "boundaries": "boundary",
    "border": "boundary",
    "fg": "interior",
    "bg": "background",
}
KNOWN = ("background", "interior", "boundary", "distance")
ACTIVATIONS = {Sigmoid: "sigmoid", Softmax: "softmax"}


def own_recipe(described: Described) -> Recipe | None:
    """Return the recipe that this package wrote, if it says what the description says.

    A description that was edited counts more than the recipe in it.
    """
    if not isinstance(described.recipe, dict):
        return None
    try:
        recipe = Recipe.parse(described.recipe)
        before, after = preprocessing_steps(recipe), postprocessing_steps(recipe)
    except (CheckpointError, SettingsError):
        return None
    wanted = _read(before, described.inputs[0]), _read(after, described.outputs[0])
    found = described.inputs[0].steps, described.outputs[0].steps
    same = all(
        _without_casts(a) == _without_casts(b)
        for a, b in zip(wanted, found, strict=True)
    )
    return recipe if same else None


def _read(
    steps: list[dict[str, Any]], tensor: TensorDescribed
) -> tuple[ProcessingStep, ...]:
    reader = StepReader(tensor.letters, unprocessed=True)
    return tuple(reader.read(s["id"], s.get("kwargs", {})) for s in steps)


def _without_casts(steps: tuple[ProcessingStep, ...]) -> list[ProcessingStep]:
    return [
        s for s in steps if not (isinstance(s, EnsureDtype) and s.dtype == "float32")
    ]


def described_recipe(recipe: Recipe, described: Described) -> Recipe:
    """Return the recipe of a network with all that its description says.

    Parameters
    ----------
    recipe
        With the architecture; what it assumed otherwise is replaced.
    described
        The description.
    """
    source, output = described.inputs[0], described.outputs[0]
    activation, after = after_activation(output.steps)
    channels, task = _channels(output, recipe)
    if "distance" in channels:  # here it would not take part in the softmax
        activation, after = "none", tuple(_without_casts(output.steps))
    sizes = [axis.micrometres for axis in source.spatial]
    names = next((axis.names for axis in source.axes if axis.letter == "c"), ())
    return recipe.replace(
        name=described.name,
        description=described.description,
        channels=channels,
        task=task,
        input_channels=names,
        activation=activation,
        preprocessing=source.steps,
        postprocessing=after,
        pixel_size=tuple(sizes) if all(sizes) else None,
        authors=described.authors,
        licence=described.licence,
        cite=described.cite,
        refusal=refusal(described),
    )


def refusal(described: Described) -> str:
    """Return why images cannot be segmented with the model; empty: they can."""
    if len(described.inputs) > 1:
        names = ", ".join(tensor.name for tensor in described.inputs)
        return f"The model takes {len(described.inputs)} inputs at once: {names}."
    for tensor in (described.inputs[0], described.outputs[0]):
        odd = sorted(set(tensor.letters) - set("bczyx"))
        if odd or not {"y", "x"} <= set(tensor.letters):
            return f"The model's axes are {tensor.letters}, not those of an image."
    for step in described.outputs[0].steps:
        if is_measured(step):
            return f"The model gives an image, by {step.step}, and not probabilities."
    return ""


def after_activation(
    steps: tuple[ProcessingStep, ...],
) -> tuple[str, tuple[ProcessingStep, ...]]:
    """Return the activation, and the steps after it."""
    left = tuple(_without_casts(steps))
    kind = ACTIVATIONS.get(type(left[0])) if left else None
    return ("none", left) if kind is None else (kind, left[1:])


def _channels(output: TensorDescribed, recipe: Recipe) -> tuple[tuple[str, ...], str]:
    """Return the names of the channels and the task, after what they are called."""
    names = next((axis.names for axis in output.axes if axis.letter == "c"), ())
    n = recipe.architecture.out_channels
    meant = tuple(SYNONYMS.get(name.lower(), name.lower()) for name in names)
    if len(meant) == n and set(meant) <= set(KNOWN) and len(set(meant)) == n:
        return meant, "instances"
    plain = all(name.rstrip("0123456789_ ") in ("channel", "c") for name in meant)
    if len(names) != n or plain:
        return recipe.channels, recipe.task
    return names, "semantic"
