"""Score pixel classes against the truth: IoU, Dice and accuracy per class and overall.

Semantic labels have no objects to pair; all their scores come from one small confusion
matrix of classes, added up over the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from napari_unet.core.metrics import paired_images
from napari_unet.core.overlap import label_array
from napari_unet.errors import AxesError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NO_CLASS = (-1, 255)


class SemanticScores(TypedDict):
    """Scores of pixel classes, pooled over all pixels.

    Classes that occur in neither side are left out of `iou`, `dice` and the means. With
    no pixel to judge, means and accuracy are 1.
    """

    iou: dict[int, float]
    dice: dict[int, float]
    mean_iou: float
    mean_dice: float
    pixel_accuracy: float


def semantic_scores(
    labels: NDArray[Any] | Sequence[NDArray[Any]],
    truth: NDArray[Any] | Sequence[NDArray[Any]],
    *,
    n_classes: int,
    ignore: int | tuple[int, ...] = NO_CLASS,
) -> SemanticScores:
    """Score images of class numbers 0 ... `n_classes` - 1 against the truth.

    Parameters
    ----------
    labels, truth
        One image of classes each, or equally long sequences of them.
    n_classes
        Number of classes, background included.
    ignore
        Pixels in which `truth` has one of these values count nowhere. With more than
        255 classes give it explicitly, since 255 is then a class.

    Raises
    ------
    AxesError
        If shapes or numbers of images differ, or there is no image.
    SettingsError
        If a pixel that counts has no class below `n_classes`.
    """
    ignored = np.atleast_1d(ignore).tolist()
    confusion = np.zeros((n_classes, n_classes), np.int64)
    for prediction, reference in paired_images(labels, truth):
        confusion += _confusion(prediction, reference, n_classes, ignored)
    hits = np.diagonal(confusion)
    totals = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = np.flatnonzero(totals)
    iou = hits[present] / (totals - hits)[present]
    dice = 2 * hits[present] / totals[present]
    return SemanticScores(
        iou=dict(zip(present.tolist(), iou.tolist(), strict=True)),
        dice=dict(zip(present.tolist(), dice.tolist(), strict=True)),
        mean_iou=float(iou.mean()) if iou.size else 1.0,
        mean_dice=float(dice.mean()) if dice.size else 1.0,
        pixel_accuracy=float(hits.sum() / confusion.sum()) if iou.size else 1.0,
    )


def _confusion(
    labels: NDArray[Any], truth: NDArray[Any], n_classes: int, ignored: list[int]
) -> NDArray[np.int64]:
    """Count pixels by class in the truth (rows) and in the prediction (columns)."""
    labels, truth = label_array(labels), label_array(truth)
    if labels.shape != truth.shape:
        raise AxesError(
            f"The truth has the shape {truth.shape}, the prediction {labels.shape}.",
            "Compare images of the same pixels.",
        )
    kept = np.ones(truth.shape, np.bool_)
    for value in ignored:
        kept &= truth != value
    labels, truth = labels[kept], truth[kept]
    for classes in (labels, truth):
        if classes.size and not 0 <= classes.min() <= classes.max() < n_classes:
            raise SettingsError(
                f"There are classes from {classes.min()} to {classes.max()}, but only "
                f"0 to {n_classes - 1} are expected.",
                "Correct the number of classes, or name the value to ignore.",
            )
    keys = truth.astype(np.int64) * n_classes + labels
    return np.bincount(keys, minlength=n_classes**2).reshape(n_classes, n_classes)
