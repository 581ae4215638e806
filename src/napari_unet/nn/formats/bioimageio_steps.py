"""Steps before and after a network, as bioimage.io writes them.

Only what a recipe says is written: percentiles of the whole image with the axes that
are measured together, and the activation once, after the network.
"""

from __future__ import annotations

from typing import Any

from napari_unet.errors import CheckpointError
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
    """Return the activation, which the packaged network does not contain."""
    if recipe.activation == "softmax":
        return [_step("softmax", axis="channel")]
    if recipe.activation == "sigmoid":
        return [{"id": "sigmoid"}]
    return [_step("clip", min=0.0, max=1.0)]


def _measured_together(recipe: Recipe) -> list[str]:
    settings = recipe.normalization
    return [
        *(["batch"] if settings.joint_frames else []),
        *(["channel"] if settings.joint_channels else []),
        *"zyx"[-recipe.architecture.ndim :],
    ]


def _step(name: str, **kwargs: Any) -> Step:
    return {"id": name, "kwargs": kwargs}
