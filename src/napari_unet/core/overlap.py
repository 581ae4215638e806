"""Count how the objects of two label images overlap, sparsely and in one pass.

Scores and links both start from the same question: which object lies on which, and by
how many pixels. Of n x m possible pairs only a few per object overlap, so the answer is
kept as a coordinate list; a dense matrix of objects is never made.

Labels are constant over long stretches of a row. The pixels are therefore first cut
into runs in which both images are constant, and only the runs are sorted::

    truth       0 0 1 1 1 1 2 2
    prediction  0 7 7 7 7 9 9 9
    runs        |-|-|-----|-|---|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import AxesError, UNetError

NOT_ANNOTATED = -1


@dataclass(frozen=True, eq=False)
class OverlapTable:
    """The objects of two label images and the pixels that they share.

    The background, 0, is not among the ids. Pixels that were ignored are in no area
    and in no count.

    Attributes
    ----------
    truth_ids, prediction_ids : array of int
        Ids, ascending, in the dtype of the image that they come from.
    truth_areas, prediction_areas : array of int64
        Pixels of each object.
    rows, cols : array of intp
        Positions in `truth_ids` and `prediction_ids` of the pairs that share at least
        one pixel, sorted by row and then by column.
    counts : array of int64
        Pixels that each pair shares.
    """

    truth_ids: NDArray[Any]
    truth_areas: NDArray[np.int64]
    prediction_ids: NDArray[Any]
    prediction_areas: NDArray[np.int64]
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    counts: NDArray[np.int64]

    @property
    def truth_on_background(self) -> NDArray[np.int64]:
        """Pixels of each truth object that lie on the prediction's background."""
        return self.truth_areas - _sums(self.rows, self.counts, len(self.truth_ids))

    @property
    def prediction_on_background(self) -> NDArray[np.int64]:
        """Pixels of each predicted object that lie on the truth's background."""
        n_predicted = len(self.prediction_ids)
        return self.prediction_areas - _sums(self.cols, self.counts, n_predicted)

    def iou(self) -> NDArray[np.float64]:
        """Return intersection over union of each pair in the table."""
        areas = self.truth_areas[self.rows] + self.prediction_areas[self.cols]
        return np.asarray(self.counts / (areas - self.counts), np.float64)


def overlap_table(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    ignore: int | None = NOT_ANNOTATED,
) -> OverlapTable:
    """Return the sparse table of overlaps of two label images.

    Parameters
    ----------
    truth, prediction
        Label images of one shape, any number of axes and any integer or bool dtype,
        0 = background. Ids need not be consecutive.
    ignore
        Pixels in which `truth` has this value count nowhere; None: all pixels count.

    Raises
    ------
    AxesError
        If the shapes differ.
    UNetError
        If an image is not of integers or holds negative ids.
    """
    truth, prediction = label_array(truth), label_array(prediction)
    if truth.shape != prediction.shape:
        raise AxesError(
            f"The truth has the shape {truth.shape}, the prediction "
            f"{prediction.shape}.",
            "Compare label images of the same pixels.",
        )
    (on_truth, on_prediction), lengths = label_runs(truth, prediction)
    if ignore is not None:
        kept = on_truth != ignore
        on_truth, on_prediction = on_truth[kept], on_prediction[kept]
        lengths = lengths[kept]
    return _table_of_runs(on_truth, on_prediction, lengths)


def label_array(labels: NDArray[Any]) -> NDArray[Any]:
    """Return `labels` as an array of integers, or refuse it; a mask becomes 0 and 1."""
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise UNetError(
            f"Labels must be integers, not {array.dtype}.",
            "Convert them, for example with labels.astype('int32').",
        )
    return array


def label_runs(
    *labels: NDArray[Any],
) -> tuple[tuple[NDArray[Any], ...], NDArray[np.int64]]:
    """Return the values and the lengths of the runs, in raster order.

    Parameters
    ----------
    labels
        Arrays of one shape. A run ends where any of them changes.
    """
    flat = [array.ravel() for array in labels]
    changes = np.zeros(max(flat[0].size - 1, 0), np.bool_)
    for values in flat:
        changes |= values[1:] != values[:-1]
    ends = np.append(np.flatnonzero(changes) + 1, flat[0].size)
    starts = np.concatenate([[0], ends[:-1]])[: flat[0].size]
    lengths = np.diff(ends, prepend=0)[: flat[0].size].astype(np.int64)
    return tuple(values[starts] for values in flat), lengths


def refuse_negative(ids: NDArray[Any]) -> None:
    """Raise `UNetError` if one of `ids` is below 0."""
    if ids.size and ids.min() < 0:
        raise UNetError(
            f"The labels hold the negative id {ids.min()}.",
            "Ids are 1 and above; mark pixels without annotation in the truth only, "
            "with the ignored value.",
        )


def _table_of_runs(
    on_truth: NDArray[Any], on_prediction: NDArray[Any], lengths: NDArray[np.int64]
) -> OverlapTable:
    """Add up runs to objects and pairs, background left out."""
    truth_ids, truth_areas, rows = _objects(on_truth, lengths)
    prediction_ids, prediction_areas, cols = _objects(on_prediction, lengths)
    both = (rows >= 0) & (cols >= 0)
    keys = rows[both] * max(len(prediction_ids), 1) + cols[both]
    pairs, index = np.unique(keys, return_inverse=True)
    rows, cols = np.divmod(pairs, max(len(prediction_ids), 1))
    return OverlapTable(
        truth_ids=truth_ids,
        truth_areas=truth_areas,
        prediction_ids=prediction_ids,
        prediction_areas=prediction_areas,
        rows=rows,
        cols=cols,
        counts=_sums(index, lengths[both], len(pairs)),
    )


def _objects(
    values: NDArray[Any], lengths: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.intp]]:
    """Return ids, areas, and each run's position among the ids (-1: background)."""
    ids, index = np.unique(values, return_inverse=True)
    refuse_negative(ids)
    areas = _sums(index, lengths, len(ids))
    # Without negative ids the background can only be the first.
    n_background = int(ids.size > 0 and ids[0] == 0)
    return ids[n_background:], areas[n_background:], index - n_background


def _sums(
    index: NDArray[np.intp], values: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Add up `values` by `index`; exact, since counts stay far below 2**53."""
    return np.bincount(index, weights=values, minlength=size).astype(np.int64)
