"""Scores against a dense brute force with loops over all pairs of objects."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_unet.core.metrics import THRESHOLDS, evaluate
from napari_unet.errors import AxesError, SettingsError, UNetError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6)
DECIMALS = st.integers(1, 100).map(lambda n: n / 100)


def images(shape, lowest=0):
    # Few ids and smooth rows give large overlaps beside the small ones.
    small = hnp.arrays(np.int32, shape, elements=st.integers(lowest, 4))
    return small | small.map(lambda a: np.sort(a, axis=-1))


def pairs_of_images(lowest=0):
    return SHAPES.flatmap(lambda shape: st.tuples(images(shape), images(shape, lowest)))


def ids_of(image):
    return [i for i in np.unique(image).tolist() if i > 0]


def dense_iou(labels, truth):
    """Exact IoU of every truth object (rows) with every prediction (columns)."""
    table = []
    for t in ids_of(truth):
        row = []
        for p in ids_of(np.where(truth == -1, 0, labels)):
            one, other = truth == t, (labels == p) & (truth != -1)
            row.append(Fraction(int((one & other).sum()), int((one | other).sum())))
        table.append(row)
    n_predicted = len(ids_of(np.where(truth == -1, 0, labels)))
    return np.array(table, object).reshape(len(table), n_predicted)


def exhaustive(iou, threshold):
    """Try all matchings: the greatest (number of pairs, sum of IoU)."""
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    limit = Fraction(str(threshold))
    best = (0, Fraction(0))
    for columns in permutations(range(iou.shape[1]), iou.shape[0]):
        hits = [iou[row, col] for row, col in enumerate(columns)]
        hits = [hit for hit in hits if hit >= limit]
        best = max(best, (len(hits), sum(hits, Fraction(0))))
    return best


def dense_assignment(iou, threshold):
    """The published rule on a dense matrix: pairs first, then their IoU."""
    if 0 in iou.shape:
        return 0, 0.0
    limit = Fraction(str(threshold))
    hit = np.array(iou >= limit, bool)
    value = np.where(hit, 1 + iou.astype(float) / (2 * min(iou.shape)), 0)
    chosen = linear_sum_assignment(value, maximize=True)
    picked = iou[chosen][hit[chosen]]
    return len(picked), float(sum(picked))


@settings(deadline=None, max_examples=150)
@given(pairs_of_images(lowest=-1), st.lists(DECIMALS, min_size=1, max_size=4))
def test_matching_equals_every_oracle_at_any_threshold(pair, thresholds):
    labels, truth = pair
    thresholds = tuple(dict.fromkeys(thresholds))
    scores = evaluate(labels, truth, thresholds=thresholds)
    iou = dense_iou(labels, truth)
    n_truth, n_predicted = iou.shape
    assert (scores.n_truth, scores.n_predicted) == iou.shape
    assert scores.thresholds == thresholds
    for at, threshold in enumerate(thresholds):
        tp, total = exhaustive(iou, threshold)
        assert dense_assignment(iou, threshold) == pytest.approx((tp, float(total)))
        assert scores.tp[at] == tp
        assert scores.fp[at] == n_predicted - tp
        assert scores.fn[at] == n_truth - tp
        if tp:
            assert scores.mean_matched_iou[at] == pytest.approx(float(total / tp))
            assert scores.precision[at] == tp / n_predicted
            assert scores.recall[at] == tp / n_truth
            assert scores.f1[at] == pytest.approx(2 * tp / (n_truth + n_predicted))
            assert scores.ap[at] == tp / (n_truth + n_predicted - tp)
            half = Fraction(n_truth + n_predicted - 2 * tp, 2)
            assert scores.pq[at] == pytest.approx(float(total / (tp + half)))


def brute_seg(labels, truth):
    """SEG as the challenge defines it: loop over the reference objects."""
    jaccard = []
    for t in ids_of(truth):
        reference = truth == t
        value = 0.0
        for p in ids_of(labels):
            segmented = (labels == p) & (truth != -1)
            shared = (reference & segmented).sum()
            if shared > 0.5 * reference.sum():
                value = shared / (reference | segmented).sum()
        jaccard.append(value)
    return jaccard


@settings(deadline=None)
@given(pairs_of_images(lowest=-1))
def test_seg_and_foreground_equal_loops(pair):
    labels, truth = pair
    scores = evaluate(labels, truth)
    if jaccard := brute_seg(labels, truth):
        assert scores.seg == pytest.approx(np.mean(jaccard))
    one, other = truth > 0, (labels > 0) & (truth != -1)
    if (one | other).any():
        assert scores.iou == (one & other).sum() / (one | other).sum()
        assert scores.dice == 2 * (one & other).sum() / (one.sum() + other.sum())


@settings(deadline=None)
@given(pairs_of_images(lowest=-1))
def test_ignored_pixels_might_as_well_not_exist(pair):
    labels, truth = pair
    kept = truth != -1
    cut = evaluate(labels[kept], truth[kept])
    assert evaluate(labels, truth).summary() == cut.summary()
    assert evaluate(labels, truth).objects == cut.objects


@settings(deadline=None)
@given(pairs_of_images(), st.permutations([3, 17, 500, 70_000, 2**40]))
def test_relabelling_changes_no_score(pair, new_ids):
    labels, truth = pair
    renamed = np.concatenate([[0], new_ids])[labels]
    thresholds = (0.1, 0.3, *THRESHOLDS)
    before = evaluate(labels, truth, thresholds=thresholds)
    after = evaluate(renamed, truth, thresholds=thresholds)
    assert after.summary() == pytest.approx(before.summary(), abs=1e-12)
    assert after.tp.tolist() == before.tp.tolist()


@settings(deadline=None)
@given(pairs_of_images())
def test_no_nan_and_all_within_bounds(pair):
    scores = evaluate(*pair, thresholds=(0.01, 0.5, 1.0))
    summary = scores.summary()
    json.dumps(summary, allow_nan=False)
    for name, value in summary.items():
        assert type(value) is (int if name.startswith("n_") else float)
        assert name.startswith("n_") or 0 <= value <= 1
    for name in ("precision", "recall", "f1", "ap", "pq", "mean_matched_iou"):
        values = getattr(scores, name)
        assert ((values >= 0) & (values <= 1)).all()
        assert values.shape == (3,)


@settings(deadline=None)
@given(st.lists(pairs_of_images(), min_size=1, max_size=4))
def test_a_dataset_adds_up_its_images(pairs):
    labels, truth = zip(*pairs, strict=True)
    pooled = evaluate(labels, truth)
    single = [evaluate(*pair) for pair in pairs]
    assert pooled.n_images == len(pairs)
    for name in ("tp", "fp", "fn"):
        total = sum(getattr(scores, name) for scores in single)
        assert getattr(pooled, name).tolist() == total.tolist()
    per_image = np.stack([scores.ap for scores in single])
    assert np.array_equal(pooled.ap_per_image, per_image)
    assert pooled.ap_image_mean == pytest.approx(per_image.mean(axis=0))
    assert pooled.mean_ap_50_95_of_images == pytest.approx(per_image.mean())
    jaccard = [value for pair in pairs for value in brute_seg(*pair)]
    assert not jaccard or pooled.seg == pytest.approx(np.mean(jaccard))
    assert [row.image for row in pooled.objects] == [
        at for at, scores in enumerate(single) for _ in scores.objects
    ]


def test_mean_ap_uses_its_own_thresholds():
    truth = np.repeat([1, 2, 3], 20)
    labels = truth.copy()
    labels[[0, 20, 21, 22, 23, 24, 25]] = 0  # IoU 0.95, 0.7, 1
    scores = evaluate(labels, truth, thresholds=(0.96, 0.3))
    ap = [1.0] * 5 + [0.5] * 5
    assert scores.mean_ap_50_95 == pytest.approx(np.mean(ap))
    assert scores.mean_ap_50_90 == pytest.approx(np.mean(ap[:9]))
    assert scores.thresholds == (0.96, 0.3)
    assert scores.ap.tolist() == [1 / 5, 1.0]
    assert "f1@0.5" not in scores.summary()


@pytest.mark.parametrize("tenths", range(1, 21))
def test_iou_exactly_at_a_threshold_counts(tenths):
    # 20 pixels of truth, of which so many are found: IoU = tenths / 20.
    truth = np.ones(20, int)
    labels = (np.arange(20) < tenths).astype(int)
    limit = tenths / 20
    for threshold in (limit, float(np.arange(0.05, 1.05, 0.05)[tenths - 1])):
        assert evaluate(labels, truth, thresholds=(threshold,)).tp.tolist() == [1]
    if tenths < 20:
        above = evaluate(labels, truth, thresholds=(limit + 0.00001,))
        assert above.tp.tolist() == [0]


def test_halves_with_iou_one_half_make_one_pair():
    truth = np.array([1, 1, 1, 1, 0, 2, 2, 3, 3])
    labels = np.array([5, 5, 6, 6, 0, 8, 8, 8, 8])
    scores = evaluate(labels, truth, thresholds=(0.5, 0.51))
    assert scores.tp.tolist() == [2, 0]
    assert scores.pq[0] == pytest.approx(2 * 0.5 / (2 + 0.5 + 0.5))


def test_more_pairs_win_over_a_better_pair():
    # Truth 1 has IoU 0.6 with A and 0.25 with B; truth 2 has 0.2 with A only.
    truth = np.array([1] * 10 + [2] * 4)
    labels = np.array([7] * 6 + [8] * 3 + [0] + [7] * 2 + [0] * 2)
    iou = dense_iou(labels, truth)
    scores = evaluate(labels, truth, thresholds=(0.2,))
    assert scores.tp.tolist() == [2]
    assert scores.mean_matched_iou[0] == pytest.approx(float(iou[0, 1] + iou[1, 0]) / 2)


RATIOS = ("precision", "recall", "f1", "ap", "pq", "mean_matched_iou", "ap_image_mean")
SCALARS = ("mean_ap_50_95", "mean_ap_50_90", "mean_ap_50_95_of_images")
OVERLAPS = ("seg", "dice", "iou")


@pytest.mark.parametrize(
    ("labels", "truth", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], 1.0),
        ([0, 0, 0], [0, 4, 0], 0.0),
        ([0, 4, 0], [0, 0, 0], 0.0),
        ([3, 4, 0], [-1, -1, 0], 1.0),
        ([], [], 1.0),
    ],
)
def test_empty_sides(labels, truth, expected):
    scores = evaluate(np.array(labels, int), np.array(truth, int))
    for name in RATIOS:
        assert getattr(scores, name).tolist() == [expected] * 10
    for name in SCALARS + OVERLAPS:
        assert getattr(scores, name) == expected


def test_an_empty_image_counts_as_a_success_of_its_own():
    full, empty = np.array([1, 1, 0]), np.zeros(3, int)
    scores = evaluate([empty, empty, full], [full, empty, full])
    assert scores.ap_per_image[:, 0].tolist() == [0, 1, 1]
    assert scores.ap[0] == 1 / 2
    assert scores.seg == 1 / 2


def test_perfect_result_in_3d():
    truth = np.arange(5 * 6 * 7).reshape(5, 6, 7) // 10
    scores = evaluate(truth, truth)
    assert scores.ap.tolist() == [1.0] * 10
    assert scores.seg == scores.dice == scores.iou == scores.mean_ap_50_95 == 1.0
    assert scores.n_truth == 20


def test_rows_for_the_table_are_plain():
    truth = np.array([1, 1, 1, 2, 2, 2, 2, 0, 0, 0])
    labels = np.array([1, 1, 1, 3, 5, 0, 0, 0, 0, 9])
    rows = evaluate(labels, truth).to_rows()
    assert rows[0] == {
        "image": 0,
        "side": "truth",
        "id": 1,
        "kind": "matched",
        "partners": "1",
        "iou": 1.0,
        "area": 3,
    }
    assert rows[1]["partners"] == "3 5"
    assert rows[-1]["partners"] == ""
    json.dumps(rows)
    counts = evaluate(labels, truth).summary()
    assert [counts[f"n_{k}"] for k in ("missed", "split", "merged", "false")] == [
        *(0, 1, 0, 1)
    ]


def test_pq_equals_the_product_of_its_parts():
    rng = np.random.default_rng(3)
    truth = np.repeat(rng.integers(0, 30, 300), 8)
    labels = np.where(rng.random(truth.shape) < 0.15, 0, truth)
    scores = evaluate(labels, truth)
    assert scores.pq == pytest.approx(scores.f1 * scores.mean_matched_iou)
    assert scores.f1 == pytest.approx(2 * scores.ap / (1 + scores.ap))
    assert not math.isclose(scores.pq[0], scores.pq[-1])


def test_what_does_not_fit_is_refused():
    one, two = np.ones((2, 2), int), np.ones((3, 2), int)
    with pytest.raises(AxesError, match="Image 1: The truth has the shape"):
        evaluate([one, two], [one, one])
    with pytest.raises(AxesError, match="2 label images and 1 truth"):
        evaluate([one, one], one)
    with pytest.raises(AxesError, match="0 label images and 0 truth"):
        evaluate([], [])
    with pytest.raises(UNetError, match="Image 0: Labels must be integers"):
        evaluate([one * 0.5], [one])
    for thresholds in ((), (0.0,), (0.5, 1.1), (math.nan,)):
        with pytest.raises(SettingsError, match="not all in"):
            evaluate(one, one, thresholds=thresholds)


def test_thresholds_of_numpy_are_read_as_decimals():
    one = np.ones(3, int)
    scores = evaluate(one, one, thresholds=np.arange(0.5, 0.96, 0.05))
    assert scores.thresholds == THRESHOLDS
