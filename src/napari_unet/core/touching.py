"""Touching cells: which objects share a border, and how many such pairs are told apart.

AP speaks of single objects; whether a method separates neighbours shows better in the
pairs that touch in the truth. A pair counts as recalled when both of its objects are
found, each by a prediction of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.matching import assign
from napari_unet.core.overlap import NOT_ANNOTATED, overlap_table


def touching_pairs(labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the pairs of objects that share a pixel's face.

    Parameters
    ----------
    labels
        Any number of axes; 0 is background, negative values are not annotated.

    Returns
    -------
    numpy.ndarray
        int64 (n, 2), each pair once, the lower id first, sorted.
    """
    found = [np.empty((0, 2), np.int64)]
    for axis in range(labels.ndim):
        length = labels.shape[axis]
        low = labels.take(range(length - 1), axis=axis).ravel()
        high = labels.take(range(1, length), axis=axis).ravel()
        meet = (low != high) & (low > 0) & (high > 0)
        pairs = np.stack([low[meet], high[meet]], axis=1).astype(np.int64)
        found.append(np.sort(pairs, axis=1))
    return np.unique(np.concatenate(found), axis=0)


def touching_recall(
    labels: Sequence[NDArray[Any]],
    truth: Sequence[NDArray[Any]],
    *,
    min_iou: float = 0.5,
) -> tuple[int, int]:
    """Count the touching pairs of the truth of which both objects are found.

    Parameters
    ----------
    labels, truth
        Label images, one for one; -1 in the truth is not annotated.
    min_iou
        IoU from which an object is found, by one-to-one assignment.

    Returns
    -------
    tuple of int
        Pairs recalled, and pairs in all.
    """
    n_recalled = n_pairs = 0
    for found, true in zip(labels, truth, strict=True):
        pairs = touching_pairs(true)
        n_pairs += len(pairs)
        matched = _matched_ids(true, found, min_iou)
        n_recalled += int(np.isin(pairs, matched).all(axis=1).sum())
    return n_recalled, n_pairs


def _matched_ids(
    truth: NDArray[Any], labels: NDArray[Any], min_iou: float
) -> NDArray[Any]:
    table = overlap_table(truth, labels, ignore=NOT_ANNOTATED)
    iou = table.iou()
    enough = iou >= min_iou
    rows, cols = table.rows[enough], table.cols[enough]
    chosen = assign(rows, cols, iou[enough], most_pairs=True)
    return table.truth_ids[rows[chosen]]
