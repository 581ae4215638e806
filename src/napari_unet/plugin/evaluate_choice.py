"""Choice: what the Evaluate widget compares and measures, as one value."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from napari_unet.errors import AxesError, SettingsError
from napari_unet.plugin.layers import finest, full_pixels, own_axes, pixels_like
from napari_unet.plugin.thin_axes import order_between
from napari_unet.settings import Settings

Objects = Literal["planes", "volumes"]


class EvaluateChoice(Settings):
    """What a user chose in the Evaluate widget."""

    labels: str = Field("", description="Labels layer that is scored or corrected.")
    truth: str = Field(
        "",
        description="Labels layer with the truth; pixels of -1 are not annotated and "
        "count nowhere.",
    )
    image: str = Field(
        "", description="Image layer whose intensities are measured; none: sizes only."
    )
    objects: Objects = Field(
        "planes",
        description="planes: every plane or frame is scored on its own, as 2-D models "
        "segment; volumes: an object extends over Z.",
    )


def n_leading(choice: EvaluateChoice, layer: Any) -> int:
    """Return how many of a layer's own axes, the first, count samples, not pixels."""
    return max(0, len(own_axes(layer)) - (3 if choice.objects == "volumes" else 2))


def sample_in_view(viewer: Any, layer: Any, n_leading: int) -> tuple[int, ...]:
    """Return which sample of a layer is looked at, as its leading indices."""
    beyond = viewer.dims.ndim - layer.ndim
    point = np.asarray(viewer.dims.point)[beyond:]
    at = np.rint(layer.world_to_data(point)).astype(int)[list(own_axes(layer))]
    last = np.array(full_pixels(layer).shape) - 1
    return tuple(int(i) for i in np.clip(at, 0, last)[:n_leading])


def guess_objects(layer: Any) -> Objects:
    """Return whether the objects of a labels layer extend over Z."""
    axes = own_axes(layer)
    first = layer.axis_labels[axes[-3]].strip().lower() if len(axes) >= 3 else "t"
    made = layer.metadata.get("napari_unet", {})
    if made.get("ndim") == 2 or first in ("t", "time", "frame", "frames"):
        return "planes"
    return "volumes"


def check_pair(labels: Any, truth: Any) -> None:
    """Raise the reason why two labels layers cannot be compared.

    Raises
    ------
    SettingsError
        If one is missing, or both are the same.
    AxesError
        If they differ in shape by more than axes of length 1.
    """
    if labels is None or truth is None:
        raise SettingsError(
            "There is nothing to compare." if labels is None else "There is no truth.",
            "Open two labels layers, such as a result and what was drawn by hand.",
        )
    if labels is truth:
        raise SettingsError(
            "Labels and truth are the same layer.", "Choose another truth."
        )
    shape = tuple(full_pixels(labels).shape)
    if order_between(finest(truth).shape, shape) is None:
        raise AxesError(
            f"The labels have the shape {shape}, the truth "
            f"{tuple(full_pixels(truth).shape)}.",
            "Choose layers of the same image.",
        )


def compared_pixels(labels: Any, truth: Any) -> tuple[Any, Any]:
    """Return the pixels of two layers that fit (`check_pair`), in one shape."""
    found = full_pixels(labels)
    return found, pixels_like(truth, found.shape)
