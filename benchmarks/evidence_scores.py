"""The scores of evidence.py: objects, membranes, classes of pixels.

Each takes labels and truth of all test images and the names of the classes, and returns
scores by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import napari_unet as nu
from napari_unet.core.rand_index import foreground_rand
from napari_unet.core.semantic_metrics import semantic_scores
from napari_unet.core.touching import touching_recall

Labels = Sequence[Any]
Names = Sequence[str]
Scores = dict[str, float]
NOT_JUDGED = (-1, 255)


def objects(found: Labels, truth: Labels, names: Names = ()) -> Scores:
    """AP and SEG of instances, and the share of touching pairs that are told apart."""
    del names
    scores = nu.evaluate(found, truth).summary()
    hit, pairs = touching_recall(found, truth)
    kept = ("ap@0.5", "ap@0.75", "mean_ap_50_90", "seg")
    return {
        **{name: float(scores[name]) for name in kept},
        "touching": hit / pairs if pairs else float("nan"),
    }


def membranes(found: Labels, truth: Labels, names: Names = ()) -> Scores:
    """Adapted Rand error, V_Rand and V_Info within the true cells, borders thinned."""
    del names
    scores = foreground_rand(found, truth)
    return {
        "rand_error": scores.error,
        "v_rand": scores.v_rand,
        "v_info": scores.v_info,
    }


def classes(found: Labels, truth: Labels, names: Names) -> Scores:
    """IoU and Dice of each class and their means; pooled over the pixels of all images.

    The Dice of a class is given as the mean over the images that show it, too
    (``dice of CLASS, by image``), which is what is published of tumours.
    """
    n = len(names)
    pooled = semantic_scores(found, truth, n_classes=n, ignore=NOT_JUDGED)
    single: dict[int, list[float]] = {}
    for labels, true in zip(found, truth, strict=True):
        one = semantic_scores(labels, true, n_classes=n, ignore=NOT_JUDGED)
        for index, dice in one["dice"].items():
            if (true == index).any():
                single.setdefault(index, []).append(dice)
    return {
        "mean_iou": pooled["mean_iou"],
        "mean_dice": pooled["mean_dice"],
        **{f"iou of {names[i]}": value for i, value in pooled["iou"].items()},
        **{f"dice of {names[i]}": value for i, value in pooled["dice"].items()},
        **{
            f"dice of {names[i]}, by image": float(np.mean(values))
            for i, values in single.items()
        },
    }
