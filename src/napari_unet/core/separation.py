"""Separation: from stored probabilities to one label per cell, or to classes.

This file only puts the steps in order; each threshold comes from `Separation` and is
applied to the stored integers, so the labels are a function of what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.components import (
    compiled,
    find_runs,
    frozen,
    numbered,
    paint,
)
from napari_unet.core.fixed_point import scale_of, threshold_of
from napari_unet.core.holes import fill_holes
from napari_unet.core.seeds import (
    find_seeds,
    height,
    mask_evidence,
    seed_evidence,
)
from napari_unet.core.watershed import flood
from napari_unet.errors import AxesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.settings import Separation


def separate_instances(
    probabilities: NDArray[Any], channels: tuple[str, ...], separation: Separation
) -> NDArray[np.int32]:
    """Return one label per cell.

    Seeds and mask are thresholded, the seeds are grown over the mask, holes are
    filled, and what is too small afterwards is removed, inside objects without a trace.

    Parameters
    ----------
    probabilities
        Stored probabilities of one sample, ``(C, Y, X)`` or ``(C, Z, Y, X)``, uint16
        or uint8.
    channels
        Meaning of the C channels; see `napari_unet.core.seeds`.
    separation
        Thresholds and sizes. A connectivity above the number of axes means all
        neighbours; `link` is not this function's business.

    Returns
    -------
    numpy.ndarray
        int32 ``([Z,] Y, X)``; 0 is background, cells are 1, 2, ... in raster order of
        their first pixel. No cell at all is a valid result.

    Raises
    ------
    AxesError
        `channels` does not fit, or the sample is neither 2-D nor 3-D.
    SettingsError
        `probabilities` is not uint16 or uint8.
    """
    _check_sample(probabilities)
    scale = scale_of(probabilities.dtype)
    connectivity = separation.connectivity
    seeds = find_seeds(
        seed_evidence(probabilities, channels),
        separation.seed_threshold,
        scale=scale,
        min_size=separation.min_seed_size,
        connectivity=connectivity,
    )
    evidence = mask_evidence(probabilities, channels)
    mask = evidence > threshold_of(separation.mask_threshold, scale)
    surface = height(probabilities, channels)
    labels = flood(surface, seeds, mask, connectivity=connectivity)
    if separation.keep_unseeded:
        smallest = max(separation.min_size, separation.min_seed_size)
        labels = add_unseeded(labels, mask, smallest, connectivity=connectivity)
    if not separation.fill_holes:
        return renumber(labels, min_size=separation.min_size)
    labels = fill_holes(labels, connectivity=connectivity)
    kept = renumber(labels, min_size=separation.min_size)
    # A speck that was dropped inside an object has left a hole; the numbers stay.
    dropped = np.count_nonzero(kept) < np.count_nonzero(labels)
    return fill_holes(kept, connectivity=connectivity) if dropped else kept


def separate_semantic(probabilities: NDArray[Any]) -> NDArray[np.int32]:
    """Return the class of each pixel: the index of its largest channel.

    Parameters
    ----------
    probabilities
        Stored probabilities ``(C, *spatial)``, uint16 or uint8.

    Returns
    -------
    numpy.ndarray
        int32 ``(*spatial)``. Ties go to the lowest index. A single channel gives 1
        where it is above one half, and 0 elsewhere.
    """
    half = threshold_of(0.5, scale_of(probabilities.dtype))
    if probabilities.shape[0] == 1:
        return np.asarray(probabilities[0] > half, np.int32)
    return np.asarray(np.argmax(probabilities, axis=0), np.int32)


def add_unseeded(
    labels: NDArray[np.int32],
    mask: NDArray[np.bool_],
    min_size: int,
    *,
    connectivity: int,
) -> NDArray[np.int32]:
    """Return `labels` with each large enough component of `mask` without one labelled.

    New labels follow the largest one. A component that has a label is labelled as a
    whole, so what is left of the mask consists of whole components.
    """
    runs = find_runs(mask & (labels == 0), connectivity=connectivity)
    added = numbered(runs.sizes >= min_size)
    result = labels.copy()
    largest = labels.max(initial=0)
    paint(result, runs, np.where(added, added + largest, 0).astype(np.int32))
    return result


def renumber(labels: NDArray[np.int32], *, min_size: int = 0) -> NDArray[np.int32]:
    """Return `labels` as 1, 2, ... in raster order of the first pixel of each.

    Labels with fewer than `min_size` pixels become background.
    """
    flat = frozen(labels.ravel())
    sizes = _count(flat, int(flat.max(initial=0)))
    sizes[0] = 0
    wanted = (sizes > 0) & (sizes >= min_size)
    return _renumber(flat, wanted).reshape(labels.shape)


def _check_sample(probabilities: NDArray[Any]) -> None:
    if probabilities.ndim not in (3, 4):
        raise AxesError(
            f"Probabilities of shape {probabilities.shape} are not one sample.",
            "Pass (C, Y, X) or (C, Z, Y, X): one time frame at a time.",
        )


@compiled
def _count(labels: NDArray[np.int32], largest: int) -> NDArray[np.int64]:
    """Return how many pixels each label has; numpy.bincount would copy the labels."""
    sizes = np.zeros(largest + 1, np.int64)
    for i in range(labels.size):
        sizes[labels[i]] += 1
    return sizes


@compiled
def _renumber(
    labels: NDArray[np.int32], wanted: NDArray[np.bool_]
) -> NDArray[np.int32]:
    number = np.zeros(wanted.size, np.int32)
    result = np.empty_like(labels)
    count = 0
    for i in range(labels.size):
        label = labels[i]
        if wanted[label] and number[label] == 0:
            count += 1
            number[label] = count
        result[i] = number[label]
    return result
