"""Where to annotate next: regions in which a network does not know what it sees.

Regions are boxes of one grid, so that they never overlap; the mean entropy of the
classes over the most doubtful part of a box ranks it. A mean over the whole box would
favour crowded ones, a maximum single noisy pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.fixed_point import scale_of
from napari_unet.errors import AxesError

Box = tuple[slice, ...]

DOUBTFUL = 0.1
"""Part of a box, its most doubtful pixels, that is averaged."""


@dataclass(frozen=True)
class Region:
    """A box, and how little the network knows about it.

    Parameters
    ----------
    box
        Slices along the spatial axes.
    uncertainty
        0: all is certain; 1: all classes are equally likely, in its most doubtful part.
    """

    box: Box
    uncertainty: float


def rank_regions(
    probabilities: npt.NDArray[Any],
    *,
    size: int = 128,
    known: npt.NDArray[np.bool_] | None = None,
) -> list[Region]:
    """Rank the boxes of a grid, the most uncertain first.

    Parameters
    ----------
    probabilities
        Fixed point (C, [Z,] Y, X); what the channels lack to 1 is a class of its own,
        such as a background that is not stored.
    size
        Side of a box in Y and X, pixels; in Z a box is one plane.
    known
        Pixels ([Z,] Y, X) that are annotated already; they count as certain.

    Returns
    -------
    list of Region
        Boxes that are less than half annotated, by falling uncertainty.

    Raises
    ------
    AxesError
        If `known` has another shape.
    """
    shape = probabilities.shape[1:]
    if known is not None and known.shape != shape:
        raise AxesError(
            f"Annotations of the shape {known.shape} do not fit probabilities of "
            f"{shape}.",
            "Choose labels of the same image.",
        )
    regions = []
    for box in _grid(shape, size):
        here = None if known is None else known[box]
        if here is not None and here.mean() > 0.5:
            continue
        doubt = entropy(probabilities[(slice(None), *box)])
        if here is not None:
            doubt = np.where(here, 0.0, doubt)
        regions.append(Region(box, _mean_of_largest(doubt)))
    return sorted(regions, key=lambda region: -region.uncertainty)


def entropy(stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the entropy of the classes of each pixel, 0 to 1.

    Parameters
    ----------
    stored
        Fixed point (C, ...), C >= 1.
    """
    shares = stored.astype(np.float32) / scale_of(stored.dtype)
    rest = np.clip(1.0 - shares.sum(axis=0, keepdims=True), 0.0, 1.0)
    shares = np.concatenate([shares, rest])
    terms = -shares * np.log(np.maximum(shares, 1e-7))
    return np.asarray(terms.sum(axis=0) / np.log(len(shares)), np.float32)


def _grid(shape: Sequence[int], size: int) -> list[Box]:
    """Return boxes of `size` that cover an array; the last of a row may be smaller."""
    steps = (*(1,) * (len(shape) - 2), size, size)
    counts = [-(-n // step) for n, step in zip(shape, steps, strict=True)]
    return [
        tuple(
            slice(i * step, min((i + 1) * step, n))
            for i, step, n in zip(index, steps, shape, strict=True)
        )
        for index in np.ndindex(*counts)
    ]


def _mean_of_largest(doubt: npt.NDArray[np.float32]) -> float:
    values = doubt.ravel()
    n = max(1, round(DOUBTFUL * values.size))
    return float(np.partition(values, values.size - n)[-n:].mean())
