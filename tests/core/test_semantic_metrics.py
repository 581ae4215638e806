"""Class scores against masks compared one class at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.semantic_metrics import semantic_scores
from napari_unet.errors import AxesError, SettingsError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int16, shape, elements=st.integers(0, 3)),
        hnp.arrays(np.int16, shape, elements=st.sampled_from([-1, 0, 1, 2, 255])),
    )
)


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_scores_equal_masks_of_each_class(pairs):
    labels, truth = zip(*pairs, strict=True)
    scores = semantic_scores(labels, truth, n_classes=5)
    flat_truth = np.concatenate([array.ravel() for array in truth])
    kept = (flat_truth != -1) & (flat_truth != 255)
    one = flat_truth[kept]
    other = np.concatenate([array.ravel() for array in labels])[kept]
    present = sorted(set(one.tolist()) | set(other.tolist()))
    assert list(scores["iou"]) == list(scores["dice"]) == present
    for c in present:
        shared, joined = ((one == c) & (other == c)).sum(), (one == c) | (other == c)
        assert scores["iou"][c] == shared / joined.sum()
        total = (one == c).sum() + (other == c).sum()
        assert scores["dice"][c] == 2 * shared / total
    for name in ("iou", "dice"):
        mean = np.mean(list(scores[name].values())) if present else 1.0
        assert scores[f"mean_{name}"] == pytest.approx(mean)
    accuracy = (one == other).mean() if present else 1.0
    assert scores["pixel_accuracy"] == pytest.approx(accuracy)
    json.dumps(scores, allow_nan=False)


def test_ignore_can_be_one_value_or_a_class():
    truth, labels = np.array([0, 0, 1, 2], np.uint8), np.array([1, 0, 1, 2], np.uint8)
    assert semantic_scores(labels, truth, n_classes=3, ignore=0)["mean_iou"] == 1.0
    scores = semantic_scores(labels, truth, n_classes=3, ignore=(1, 2))
    assert scores["iou"] == {0: 0.5, 1: 0.0}


def test_small_dtypes_do_not_overflow():
    truth = np.arange(200, dtype=np.uint8)
    assert semantic_scores(truth, truth, n_classes=200)["pixel_accuracy"] == 1.0


def test_what_does_not_fit_is_refused():
    labels = np.array([0, 1, 4])
    with pytest.raises(SettingsError, match="classes from 0 to 4"):
        semantic_scores(labels, labels * 0, n_classes=4)
    with pytest.raises(SettingsError, match="classes from -1 to 0"):
        semantic_scores(labels * 0, np.array([0, -1, 0]), n_classes=2, ignore=255)
    with pytest.raises(AxesError, match="shape"):
        semantic_scores(labels, labels[:2], n_classes=5)
