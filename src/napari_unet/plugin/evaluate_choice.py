"""Choice: what the Evaluate widget compares and measures, as one value."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from napari_unet.errors import AxesError, SettingsError
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


def n_leading(choice: EvaluateChoice, ndim: int) -> int:
    """Return how many leading axes of an array count samples, not pixels."""
    return max(0, ndim - (3 if choice.objects == "volumes" else 2))


def sample_in_view(viewer: Any, layer: Any, n_leading: int) -> tuple[int, ...]:
    """Return which sample of a layer is looked at, as its leading indices."""
    beyond = viewer.dims.ndim - layer.ndim
    point = np.asarray(viewer.dims.point)[beyond:]
    at = np.rint(layer.world_to_data(point)).astype(int)[:n_leading]
    last = np.array(layer.data.shape)[:n_leading] - 1
    return tuple(int(i) for i in np.clip(at, 0, last))


def guess_objects(layer: Any) -> Objects:
    """Return whether the objects of a labels layer extend over Z."""
    first = layer.axis_labels[-3].strip().lower() if layer.ndim >= 3 else "t"
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
        If they differ in shape.
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
    if labels.data.shape != truth.data.shape:
        raise AxesError(
            f"The labels have the shape {tuple(labels.data.shape)}, the truth "
            f"{tuple(truth.data.shape)}.",
            "Choose layers of the same image.",
        )
