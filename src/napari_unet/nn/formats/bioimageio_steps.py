"""Steps before and after a network, as bioimage.io writes them.

Only what a recipe says is written: percentiles of the whole image with the axes that
are measured together, and the activation once, after the network.
"""

from __future__ import annotations

from typing import Any

from napari_unet.core.processing import is_measured
from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bioimageio_axes import INPUT
from napari_unet.processing_settings import (
    Measured,
    ProcessingStep,
    ScaleMeanVariance,
    Softmax,
)
from napari_unet.settings import Recipe

# What the format adds to the range, so that a constant image gives 0.
EPSILON = 1e-6

Step = dict[str, Any]


def preprocessing_steps(recipe: Recipe) -> list[Step]:
    """Return the steps that do what the recipe's normalisation does.

    Raises
    ------
    CheckpointError
        If the format cannot express the percentiles.
    """
    if recipe.preprocessing:
        return [_written(step, recipe) for step in recipe.preprocessing]
    settings = recipe.normalization
    if settings.low >= 100 or settings.high <= 1:
        raise CheckpointError(
            f"bioimage.io does not know percentiles {settings.low:g} to "
            f"{settings.high:g}: the upper one must be above 1.",
            "Export a model with other percentiles.",
        )
    kwargs = {
        "axes": _measured_together(recipe),
        "min_percentile": settings.low,
        "max_percentile": settings.high,
        "eps": EPSILON,
    }
    steps = [_step("scale_range", **kwargs)]
    if settings.invert:
        steps.append(_step("scale_linear", gain=-1.0, offset=1.0))
    if settings.clip:
        steps.append(_step("clip", min=0.0, max=1.0))
    return steps


def postprocessing_steps(recipe: Recipe) -> list[Step]:
    """Return the activation, which the packaged network does not contain, and after."""
    after = [_written(step, recipe) for step in recipe.postprocessing]
    if recipe.activation == "softmax":
        if "distance" in recipe.channels:
            raise CheckpointError(
                "bioimage.io knows no softmax over some of the channels, which a model "
                "with a distance channel needs.",
                "Export a model with another target.",
            )
        return [_step("softmax", axis="channel"), *after]
    if recipe.activation == "sigmoid":
        return [{"id": "sigmoid"}, *after]
    return after or [_step("clip", min=0.0, max=1.0)]


def _measured_together(recipe: Recipe) -> list[str]:
    settings = recipe.normalization
    return _axes(
        recipe, channels=settings.joint_channels, samples=settings.joint_frames
    )


def _axes(recipe: Recipe, *, channels: bool, samples: bool) -> list[str]:
    return [
        *(["batch"] if samples else []),
        *(["channel"] if channels else []),
        *"zyx"[-recipe.architecture.ndim :],
    ]


def _written(step: ProcessingStep, recipe: Recipe) -> Step:
    """Return a step of this package as the format writes it."""
    values = step.model_dump(exclude={"step", "per_channel", "joint_samples"})
    kwargs = {key: value for key, value in values.items() if value is not None}
    if kwargs.pop("unprocessed", False) or isinstance(step, ScaleMeanVariance):
        kwargs["reference_tensor"] = INPUT
    if isinstance(step, Measured) and is_measured(step):
        kwargs["axes"] = _axes(
            recipe, channels=not step.per_channel, samples=step.joint_samples
        )
    lists = {key for key, value in kwargs.items() if isinstance(value, tuple)}
    longest = max((len(kwargs[key]) for key in lists), default=0)
    for key in lists:
        several = list(kwargs[key]) * (longest // len(kwargs[key]))
        kwargs[key] = several if longest > 1 else several[0]
    if longest > 1 or isinstance(step, Softmax):
        kwargs["axis"] = "channel"
    return _step(step.step, **kwargs) if kwargs else {"id": step.step}


def _step(name: str, **kwargs: Any) -> Step:
    return {"id": name, "kwargs": kwargs}
