"""The scores of evidence.py: objects, membranes, classes of pixels.

Each takes labels and truth of all test images and the names of the classes, and returns
scores by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.segmentation import expand_labels

import napari_unet as nu
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
    """Adapted Rand error, V_Rand and V_Info within the true cells, borders thinned.

    Arganda-Carreras et al. 2015, means over the images: with p_ij the share of pixels in
    segment i and cell j and s_i, t_j its sums, V_Rand = sum p_ij^2 / (sum s_i^2 / 2 +
    sum t_j^2 / 2) and V_Info = 2 I / (H_s + H_t). Segments are grown over the borders
    between them, which is what thinning to nothing comes to.
    """
    del names
    rows = []
    for labels, true in zip(found, truth, strict=True):
        grown = expand_labels(labels, distance=max(labels.shape))
        kept = true > 0
        sides = np.stack([grown[kept], true[kept]])
        p, s, t = (
            np.unique(side, axis=-1, return_counts=True)[1] / kept.sum()
            for side in (sides, *sides)
        )
        rand = (p**2).sum() / ((s**2).sum() + (t**2).sum()) * 2
        h, h_s, h_t = (-(x * np.log(x)).sum() for x in (p, s, t))
        entropies = h_s + h_t
        # One segment, one cell: nothing is uncertain, and all of it is known.
        info = 2 * (entropies - h) / entropies if entropies else 1.0
        rows.append((1 - rand, rand, info))
    error, rand, info = np.mean(rows, axis=0)
    return {"rand_error": float(error), "v_rand": float(rand), "v_info": float(info)}


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
