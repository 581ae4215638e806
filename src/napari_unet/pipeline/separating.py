"""Separating: probabilities, of any network, to labels over all samples of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import ArrayLike, guess_axes, plan_axes
from napari_unet.core.fixed_point import to_fixed_point
from napari_unet.core.separation import separate_instances, separate_semantic
from napari_unet.errors import AxesError
from napari_unet.pipeline.linking import check_link, link
from napari_unet.settings import Separation

Array = npt.NDArray[Any]

SEPARATION = Separation()


def separate(
    probabilities: ArrayLike,
    separation: Separation = SEPARATION,
    *,
    channels: Sequence[str] = (),
    axes: str | None = None,
    spatial: str | None = None,
    semantic: bool | None = None,
) -> npt.NDArray[np.int32]:
    """Turn probabilities of any network into labels.

    Parameters
    ----------
    probabilities
        C first: (C, Y, X), (C, Z, Y, X), or (C, ...) with `axes`. uint8 and uint16
        are fixed point; others are numbers from 0 to 1. May be lazy: it is read one
        sample at a time.
    separation
        Thresholds and the rest.
    channels
        Names of C; by default interior; background, interior; background, interior,
        boundary for 1, 2, 3 channels.
    axes
        Axes after C; by default YX or ZYX.
    spatial
        Axes of one sample, ``"YX"`` or ``"ZYX"``; others are repeated over. By
        default ZYX if there is a Z.
    semantic
        Whether the channels are classes: the labels are then the index of the
        strongest. By default they are if a name is none of background, interior,
        boundary and distance.

    Returns
    -------
    numpy.ndarray
        int32, `axes`.

    Raises
    ------
    UNetError
        If channels, axes and values do not fit together.
    """
    array = (
        probabilities if hasattr(probabilities, "shape") else np.array(probabilities)
    )
    names, letters = _names_and_axes(array, tuple(channels), axes)
    within = spatial or ("ZYX" if "Z" in letters else "YX")
    plan = plan_axes(letters, tuple(array.shape[1:]), ndim=len(within))
    classes = semantic
    if classes is None:
        classes = not INSTANCE_CHANNELS.issuperset(names)
    check_link(plan, separation)
    labels = np.zeros(plan.labels_shape, np.int32)
    for sample in plan.samples():
        stored = to_fixed_point(plan.probabilities_view(array, sample))
        target = plan.labels_view(labels, sample)
        target[...] = separate_sample(stored, names, separation, semantic=classes)
    return link(labels, plan, separation)


def _names_and_axes(
    array: ArrayLike, channels: tuple[str, ...], axes: str | None
) -> tuple[tuple[str, ...], str]:
    """Return the names of C and the axes after it, given or guessed."""
    shape = tuple(array.shape)
    if len(shape) < 3:
        raise AxesError(
            f"Probabilities of shape {shape} have no channels.",
            "Put the channels first: (C, Y, X) or (C, Z, Y, X).",
        )
    letters = guess_axes(shape[1:]) if axes is None else axes
    if "C" in letters.upper():
        raise AxesError(
            f"The axes {letters} name the channels, which always come first.",
            "Name the axes after them only, such as YX.",
        )
    return _channel_names(channels, shape[0]), letters


INSTANCE_CHANNELS = frozenset({"background", "interior", "boundary", "distance"})


def _channel_names(channels: tuple[str, ...], n: int) -> tuple[str, ...]:
    defaults = {
        1: ("interior",),
        2: ("background", "interior"),
        3: ("background", "interior", "boundary"),
    }
    names = channels or defaults.get(n, ())
    if len(names) != n:
        raise AxesError(
            f"There are {n} channels of probabilities, but {len(names)} names.",
            "Name each channel, first axis first: background, interior, boundary, "
            "distance, or classes.",
        )
    return names


def separate_sample(
    stored: Array,
    channels: tuple[str, ...],
    separation: Separation,
    *,
    semantic: bool = False,
) -> npt.NDArray[np.int32]:
    """Return the labels of one sample (C, [Z,] Y, X): objects, or else classes."""
    if semantic or not INSTANCE_CHANNELS.issuperset(channels):
        return separate_semantic(stored)
    return separate_instances(stored, channels, separation)
