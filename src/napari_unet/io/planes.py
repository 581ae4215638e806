"""Planes: which slice of a stack or a time-lapse stands for all of it in a picture."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.core.axes import ArrayLike


def pick_plane(labels: ArrayLike, axes: str) -> dict[str, int]:
    """Choose the plane of labels to be shown.

    The first T that holds an object, and in it the middle one of the Z that hold
    objects; if there is no object at all, the first T and the middle Z.

    Parameters
    ----------
    labels
        Labels, 0 is background; may be lazy: read plane by plane up to the first
        frame with objects.
    axes
        One letter of TZYX per axis.

    Returns
    -------
    dict
        Index by axis letter for every axis but Y and X; empty for 2-D labels.
    """
    size = dict(zip(axes, labels.shape, strict=True))
    for t in range(size.get("T", 1)):
        full = [
            z
            for z in range(size.get("Z", 1))
            if take_plane(labels, axes, plane={"T": t, "Z": z}).any()
        ]
        if full:
            return _only({"T": t, "Z": full[len(full) // 2]}, axes)
    return _only({"T": 0, "Z": size.get("Z", 1) // 2}, axes)


def take_plane(
    array: ArrayLike, axes: str, *, plane: Mapping[str, int], step: int = 1
) -> npt.NDArray[Any]:
    """Read one plane of an image or of labels.

    Parameters
    ----------
    array
        Image or labels, may be lazy: only the plane is read.
    axes
        One letter of TCZYX per axis.
    plane
        Index by axis letter, as `pick_plane` returns it; axes that `array` does not
        have are ignored, and an axis that is not named is shown at 0.
    step
        Only every `step`-th row and column is read.

    Returns
    -------
    numpy.ndarray
        (Y, X), or (Y, X, C) if the array has channels.
    """
    every = {"Y": slice(None, None, step), "X": slice(None, None, step)}
    at = {**dict.fromkeys("TZ", 0), **plane, **every, "C": slice(None)}
    found = np.asarray(array[tuple(at[a] for a in axes)])
    kept = [a for a in axes if a in "YXC"]
    order = "YXC" if "C" in kept else "YX"
    return found.transpose([kept.index(a) for a in order])


def display_step(shape: tuple[int, ...], *, largest: int = 4096) -> int:
    """Return the whole step that brings the sides of a picture to `largest` or less."""
    return max(1, *(-(-side // largest) for side in itertools.islice(shape, 2)))


def _only(plane: dict[str, int], axes: str) -> dict[str, int]:
    return {axis: index for axis, index in plane.items() if axis in axes}
