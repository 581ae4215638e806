"""Score label images against the truth: AP, F1, PQ, SEG, Dice, and every single error.

The field's numbers differ in details that change the result, so each is defined here
once, on the sparse overlap table, and checked in the tests against a dense brute force.

Matching at a threshold t: one-to-one, first the greatest number of pairs with
IoU >= t, then the greatest sum of their IoU (the rule of StarDist; there the sum also
counts pairs below t, which can matter for t <= 0.5 only). Pairs are TP, predictions
without a pair FP, truth objects without one FN.

Empty images: where both sides are empty every score is 1; where one side is empty,
0. There are no NaNs. An object that lies wholly in ignored pixels does not exist.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.matching import assign
from napari_unet.core.object_errors import ObjectRow, describe_objects
from napari_unet.core.overlap import NOT_ANNOTATED, OverlapTable, overlap_table
from napari_unet.errors import AxesError, SettingsError, UNetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# As decimals: 3 / 5 >= 0.6 holds, whereas 0.5 + 0.05 + 0.05 would be above it.
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a dataset; arrays run over `thresholds` unless said otherwise.

    "Pooled" means that counts are added over the images before the ratio is taken.

    Attributes
    ----------
    thresholds : tuple of float
        IoU from which a pair counts.
    tp, fp, fn : array of int64
        Pooled counts of pairs, surplus predictions, and truth objects without a pair.
    precision, recall, f1 : array of float64
        Pooled TP/(TP+FP), TP/(TP+FN), 2TP/(2TP+FP+FN).
    ap : array of float64
        Pooled TP/(TP+FP+FN), the "average precision" of DSB2018, StarDist and
        Cellpose. It is not the average precision of COCO, which ranks by confidence.
    pq : array of float64
        Panoptic quality, sum of matched IoU / (TP + FP/2 + FN/2), pooled.
    mean_matched_iou : array of float64
        Sum of matched IoU / TP, pooled.
    ap_per_image : array of float64, (images, thresholds)
        AP of each image.
    ap_image_mean : array of float64
        Mean of `ap_per_image` over the images.
    mean_ap_50_95, mean_ap_50_90 : float
        Means of the pooled AP over 0.5, 0.55, ... 0.95 and ... 0.9, whatever
        `thresholds` were asked for.
    mean_ap_50_95_of_images : float
        The same of the per-image AP, 0.5 ... 0.95: the score of the DSB2018 contest.
    seg : float
        SEG of the Cell Tracking Challenge, pooled: mean over truth objects R of the
        Jaccard index with the prediction that covers strictly more than half of R, 0
        without. False predictions do not count.
    dice, iou : float
        Of the foreground, pooled over all pixels.
    n_images, n_truth, n_predicted : int
        Images, truth objects, predicted objects.
    objects : tuple of ObjectRow
        Every object with its kind of error at an IoU of 0.5.
    """

    thresholds: tuple[float, ...]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    ap: NDArray[np.float64]
    pq: NDArray[np.float64]
    mean_matched_iou: NDArray[np.float64]
    ap_per_image: NDArray[np.float64]
    ap_image_mean: NDArray[np.float64]
    mean_ap_50_95: float
    mean_ap_50_90: float
    mean_ap_50_95_of_images: float
    seg: float
    dice: float
    iou: float
    n_images: int
    n_truth: int
    n_predicted: int
    objects: tuple[ObjectRow, ...] = field(repr=False)

    def summary(self) -> dict[str, float]:
        """Return the main scores as plain numbers, for JSON.

        F1 and PQ at 0.5 are there if 0.5 is one of the thresholds.
        """
        pairs = zip(self.thresholds, self.ap.tolist(), strict=True)
        result = {f"ap@{threshold:g}": value for threshold, value in pairs}
        result["mean_ap_50_95"] = self.mean_ap_50_95
        result["mean_ap_50_90"] = self.mean_ap_50_90
        result["mean_ap_50_95_of_images"] = self.mean_ap_50_95_of_images
        if 0.5 in self.thresholds:
            at = self.thresholds.index(0.5)
            for name in ("precision", "recall", "f1", "pq"):
                result[f"{name}@0.5"] = float(getattr(self, name)[at])
        for name in ("seg", "dice", "iou", "n_images", "n_truth", "n_predicted"):
            result[name] = getattr(self, name)
        return result | self._count_kinds()

    def to_rows(self) -> list[dict[str, str | int | float]]:
        """Return the table of objects for a CSV file; several partners by spaces."""
        return [
            vars(row) | {"partners": " ".join(map(str, row.partners))}
            for row in self.objects
        ]

    def _count_kinds(self) -> dict[str, int]:
        """Count truth objects that are missed, split, merged; predictions false."""
        kinds = Counter((row.side, row.kind) for row in self.objects)
        counts = {
            f"n_{kind}": kinds["truth", kind] for kind in ("missed", "split", "merged")
        }
        return counts | {"n_false": kinds["prediction", "false"]}


def evaluate(
    labels: NDArray[Any] | Sequence[NDArray[Any]],
    truth: NDArray[Any] | Sequence[NDArray[Any]],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    ignore: int | None = NOT_ANNOTATED,
) -> Scores:
    """Score label images against the truth.

    Parameters
    ----------
    labels, truth
        One label image each, of any number of axes, or equally long sequences of them
        (a dataset). If ids restart in every frame of an array, pass ``list(array)``.
    thresholds
        IoU in (0, 1] from which a pair counts, read as decimals of six digits.
    ignore
        Pixels in which `truth` has this value count nowhere; None: all pixels count.

    Raises
    ------
    AxesError
        If shapes or numbers of images differ, or there is no image.
    SettingsError
        If a threshold is outside (0, 1], or there is none.
    """
    asked = _checked_thresholds(thresholds)
    every = tuple(dict.fromkeys(asked + THRESHOLDS))
    images = [
        count_image(prediction, reference, image=at, thresholds=every, ignore=ignore)
        for at, (prediction, reference) in enumerate(paired_images(labels, truth))
    ]
    return pool_images(images, every, n_asked=len(asked))


@dataclass(frozen=True)
class ImageCounts:
    """What one image adds to the pooled scores; arrays over the thresholds."""

    tp: NDArray[np.int64]
    matched_iou: NDArray[np.float64]
    n_truth: int
    n_predicted: int
    seg_sum: float
    areas: tuple[int, int, int]  # foreground pixels: truth, prediction, both
    objects: tuple[ObjectRow, ...]


def count_image(
    labels: NDArray[Any],
    truth: NDArray[Any],
    *,
    image: int = 0,
    thresholds: tuple[float, ...] = THRESHOLDS,
    ignore: int | None = NOT_ANNOTATED,
) -> ImageCounts:
    """Count in one image of a dataset; `pool_images` makes scores of all of them.

    Parameters
    ----------
    labels, truth, ignore
        One image each, as in `evaluate`.
    image
        Its number in the dataset.
    thresholds
        0.5 must be one of them.

    Raises
    ------
    UNetError
        If the two do not fit; it names the image.
    """
    try:
        table = overlap_table(truth, labels, ignore=ignore)
    except UNetError as error:
        problem = f"Image {image}: {error.problem}"
        raise type(error)(problem, error.remedy) from None
    iou = table.iou()
    pairs = {t: _match(table, iou, t) for t in thresholds}
    covering = 2 * table.counts > table.truth_areas[table.rows]
    areas = (table.truth_areas, table.prediction_areas, table.counts)
    return ImageCounts(
        tp=np.array([len(pairs[t]) for t in thresholds], np.int64),
        # fsum: the order of the objects must not show in the last digit.
        matched_iou=np.array([math.fsum(iou[pairs[t]]) for t in thresholds]),
        n_truth=len(table.truth_ids),
        n_predicted=len(table.prediction_ids),
        seg_sum=math.fsum(iou[covering]),
        areas=(int(areas[0].sum()), int(areas[1].sum()), int(areas[2].sum())),
        objects=describe_objects(table, pairs[0.5], image=image),
    )


def _match(
    table: OverlapTable, iou: NDArray[np.float64], threshold: float
) -> NDArray[np.intp]:
    """Return the positions in the table of the pairs matched at `threshold`."""
    candidates = np.flatnonzero(iou >= threshold)
    rows, cols = table.rows[candidates], table.cols[candidates]
    return candidates[assign(rows, cols, iou[candidates], most_pairs=True)]


def pool_images(
    images: Sequence[ImageCounts],
    thresholds: tuple[float, ...] = THRESHOLDS,
    *,
    n_asked: int | None = None,
) -> Scores:
    """Add up images, at least one; only the first `n_asked` thresholds are shown.

    Parameters
    ----------
    images
        From `count_image`, in their order.
    thresholds
        At which they were counted; all of `THRESHOLDS` are among them.
    n_asked
        None: all are shown.
    """
    tp_per_image = np.stack([image.tp for image in images])
    truth_per_image = np.array([[image.n_truth] for image in images])
    predicted_per_image = np.array([[image.n_predicted] for image in images])
    ap_per_image = _ap(tp_per_image, truth_per_image, predicted_per_image)
    tp = tp_per_image.sum(axis=0)
    n_truth, n_predicted = int(truth_per_image.sum()), int(predicted_per_image.sum())
    ap = _ap(tp, n_truth, n_predicted)
    iou_sum = np.sum([image.matched_iou for image in images], axis=0)
    # With both sides empty there is nothing to get wrong.
    empty = float(n_truth + n_predicted == 0)
    on_truth, on_prediction, on_both = np.sum([i.areas for i in images], axis=0)
    standard = [thresholds.index(t) for t in THRESHOLDS]
    shown = slice(n_asked)
    return Scores(
        thresholds=thresholds[shown],
        tp=tp[shown],
        fp=n_predicted - tp[shown],
        fn=n_truth - tp[shown],
        precision=_ratio(tp[shown], n_predicted, empty),
        recall=_ratio(tp[shown], n_truth, empty),
        f1=_ratio(2 * tp[shown], n_truth + n_predicted, empty),
        ap=ap[shown],
        pq=_ratio(2 * iou_sum[shown], n_truth + n_predicted, empty),
        mean_matched_iou=_ratio(iou_sum[shown], tp[shown], empty),
        ap_per_image=ap_per_image[:, shown],
        ap_image_mean=ap_per_image[:, shown].mean(axis=0),
        mean_ap_50_95=float(ap[standard].mean()),
        mean_ap_50_90=float(ap[standard[:-1]].mean()),
        mean_ap_50_95_of_images=float(ap_per_image[:, standard].mean()),
        seg=float(_ratio(math.fsum(i.seg_sum for i in images), n_truth, empty)),
        dice=float(_ratio(2 * on_both, on_truth + on_prediction, empty)),
        iou=float(_ratio(on_both, on_truth + on_prediction - on_both, empty)),
        n_images=len(images),
        n_truth=n_truth,
        n_predicted=n_predicted,
        objects=tuple(row for image in images for row in image.objects),
    )


def _ap(tp: NDArray[np.int64], n_truth: Any, n_predicted: Any) -> NDArray[np.float64]:
    return _ratio(tp, n_truth + n_predicted - tp, 1.0)


def _ratio(numerator: Any, denominator: Any, empty: float) -> NDArray[np.float64]:
    """Divide; `empty` where the denominator is 0."""
    ratio = np.asarray(numerator) / np.maximum(denominator, 1)
    return np.where(np.asarray(denominator) > 0, ratio, empty)


def _checked_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Read thresholds as decimals, so that ``numpy.arange`` means what it says."""
    rounded = tuple(dict.fromkeys(round(float(t), 6) for t in thresholds))
    if not rounded or not all(0 < t <= 1 for t in rounded):
        raise SettingsError(
            f"The thresholds {rounded} are not all in (0, 1].",
            "Give at least one IoU above 0 and at most 1.",
        )
    return rounded


def paired_images(
    labels: NDArray[Any] | Sequence[NDArray[Any]],
    truth: NDArray[Any] | Sequence[NDArray[Any]],
) -> Iterable[tuple[NDArray[Any], NDArray[Any]]]:
    """Pair the images of two datasets, one by one; an array is a dataset of one."""
    first, second = _as_dataset(labels), _as_dataset(truth)
    if len(first) != len(second) or not len(first):
        raise AxesError(
            f"There are {len(first)} label images and {len(second)} truth images.",
            "Give one truth image for each label image, and at least one.",
        )
    return zip(first, second, strict=True)


def _as_dataset(
    images: NDArray[Any] | Sequence[NDArray[Any]],
) -> Sequence[NDArray[Any]]:
    """Tell one array (of any library) from a sequence of arrays."""
    if hasattr(images, "shape"):
        return [np.asarray(images)]
    return images
