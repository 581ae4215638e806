"""Fixed point: probabilities are kept as integers, so that thresholds are exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import SettingsError


def scale_of(dtype: npt.DTypeLike) -> int:
    """Return the integer that stands for probability 1: 255 or 65535.

    Raises
    ------
    SettingsError
        If `dtype` is neither uint8 nor uint16.
    """
    kind = np.dtype(dtype)
    if not _is_stored(kind):
        raise SettingsError(
            f"Probabilities of type {kind} are not in fixed point.",
            "Give uint8, uint16, or numbers from 0 to 1.",
        )
    return int(np.iinfo(kind).max)


def _is_stored(kind: np.dtype[Any]) -> bool:
    """Return whether `kind` is uint8 or uint16, in either byte order."""
    return kind.kind == "u" and kind.itemsize <= 2


def to_fixed_point(
    probabilities: npt.NDArray[Any], dtype: npt.DTypeLike = np.uint16
) -> npt.NDArray[Any]:
    """Round probabilities in 0..1 to fixed point; NaN becomes 0.

    Arrays of uint8 or uint16 are taken as stored already and returned as they are;
    bool becomes 0 and 1.

    Raises
    ------
    SettingsError
        If values lie outside 0..1, as logits do.
    """
    kind = probabilities.dtype
    if _is_stored(kind):
        return probabilities.astype(kind.newbyteorder("="), copy=False)
    if kind.kind not in "biuf":
        raise SettingsError(
            f"Probabilities cannot be of type {kind}.", "Give numbers from 0 to 1."
        )
    with np.errstate(over="ignore"):
        values = np.nan_to_num(probabilities.astype(np.float32), copy=False, nan=0.0)
    if values.size and (values.min() < -1e-3 or values.max() > 1.001):
        raise SettingsError(
            f"Probabilities lie between 0 and 1, but these reach from "
            f"{values.min():.3g} to {values.max():.3g}.",
            "Apply softmax or sigmoid first; labels and raw images have none.",
        )
    scaled = np.clip(values, 0, 1) * np.float32(scale_of(dtype))
    stored: npt.NDArray[Any] = np.rint(scaled).astype(dtype)
    return stored


def threshold_of(threshold: float, scale: int) -> int:
    """Return t: for integers, ``value > t`` means ``value / scale > threshold``.

    Exact for the decimal that the user wrote: the product is first rounded to 9 places.
    """
    return math.floor(round(threshold * scale, 9))
