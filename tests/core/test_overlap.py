"""The sparse table against a dense count of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.overlap import label_runs, overlap_table
from napari_unet.errors import AxesError, UNetError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)


def two_images(lowest=0):
    return SHAPES.flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.int32, shape, elements=st.integers(lowest, 5)),
            hnp.arrays(np.int32, shape, elements=st.integers(0, 5)),
        )
    )


def brute_force(truth, prediction, ignore):
    """Count pixel by pixel into dictionaries."""
    truth_areas, prediction_areas, shared = {}, {}, {}
    for pair in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        t, p = pair
        if t == ignore:
            continue
        if t:
            truth_areas[t] = truth_areas.get(t, 0) + 1
        if p:
            prediction_areas[p] = prediction_areas.get(p, 0) + 1
        if t and p:
            shared[pair] = shared.get(pair, 0) + 1
    return truth_areas, prediction_areas, shared


def as_dictionaries(table):
    truth = table.truth_ids.tolist()
    prediction = table.prediction_ids.tolist()
    pairs = zip(table.rows.tolist(), table.cols.tolist(), strict=True)
    return (
        dict(zip(truth, table.truth_areas.tolist(), strict=True)),
        dict(zip(prediction, table.prediction_areas.tolist(), strict=True)),
        {
            (truth[row], prediction[col]): count
            for (row, col), count in zip(pairs, table.counts.tolist(), strict=True)
        },
    )


@settings(deadline=None)
@given(two_images(lowest=-1))
def test_table_equals_a_count_of_every_pixel(images):
    truth, prediction = images
    table = overlap_table(truth, prediction)
    assert as_dictionaries(table) == brute_force(truth, prediction, -1)
    keys = list(zip(table.rows.tolist(), table.cols.tolist(), strict=True))
    assert keys == sorted(set(keys))
    assert (np.diff(table.truth_ids) > 0).all()


@settings(deadline=None)
@given(two_images())
def test_iou_and_background_follow_from_masks(images):
    truth, prediction = images
    table = overlap_table(truth, prediction, ignore=None)
    for row, col, iou in zip(table.rows, table.cols, table.iou(), strict=True):
        t = truth == table.truth_ids[row]
        p = prediction == table.prediction_ids[col]
        assert iou == (t & p).sum() / (t | p).sum()
    uncovered = [((truth == i) & (prediction == 0)).sum() for i in table.truth_ids]
    outside = [((prediction == i) & (truth == 0)).sum() for i in table.prediction_ids]
    assert table.truth_on_background.tolist() == uncovered
    assert table.prediction_on_background.tolist() == outside


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.uint16, np.int64, np.uint64, ">i4"]
)
def test_any_integer_dtype(dtype):
    truth = np.array([[0, 1, 1], [0, 0, 1]]).astype(dtype)
    table = overlap_table(truth, truth)
    assert as_dictionaries(table) == ({1: 3}, {1: 3}, {(1, 1): 3})


def test_huge_ids_that_no_float_could_hold():
    top = 2**64 - 1
    truth = np.array([top, top - 1, top - 1, 0], np.uint64)
    prediction = np.array([7, 7, 2**31, 2**31], np.int64)
    expected = {(top, 7): 1, (top - 1, 7): 1, (top - 1, 2**31): 1}
    assert as_dictionaries(overlap_table(truth, prediction))[2] == expected


def test_ignored_value_can_be_chosen_or_none():
    truth = np.array([1, 1, 255, 255], np.uint8)
    prediction = np.array([1, 2, 2, 3], np.uint8)
    table = overlap_table(truth, prediction, ignore=255)
    assert as_dictionaries(table) == brute_force(truth, prediction, 255)
    assert table.prediction_ids.tolist() == [1, 2]
    table = overlap_table(truth, prediction, ignore=None)
    assert table.truth_ids.tolist() == [1, 255]


def test_memory_order_does_not_matter():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 4, (2, 5, 6, 7))
    table = overlap_table(np.asfortranarray(truth), prediction[:, ::-1][:, ::-1])
    assert as_dictionaries(table) == brute_force(truth, prediction, None)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (2, 2)])
def test_nothing_gives_an_empty_table(shape):
    table = overlap_table(np.zeros(shape, int), np.zeros(shape, int))
    for name in ("truth_ids", "truth_areas", "prediction_ids", "rows", "counts"):
        assert len(getattr(table, name)) == 0
    assert table.iou().shape == (0,)


def test_many_objects_take_little_memory():
    # Dense, these pairs would be 2 * 10^11 numbers.
    ids = np.arange(1, 450_000)
    table = overlap_table(ids, ids[::-1])
    assert table.counts.sum() == len(ids)


def test_runs_rebuild_the_images():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 2, (2, 6, 9))
    (one, two), lengths = label_runs(first, second)
    assert np.array_equal(np.repeat(one, lengths), first.ravel())
    assert np.array_equal(np.repeat(two, lengths), second.ravel())
    assert ((np.diff(one) != 0) | (np.diff(two) != 0)).all()


def test_shapes_must_agree():
    with pytest.raises(AxesError, match=r"\(2, 3\).*\(3, 2\)"):
        overlap_table(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_floats_and_negative_ids_are_refused():
    ones = np.ones(3, int)
    with pytest.raises(UNetError, match="float64"):
        overlap_table(ones * 1.0, ones)
    with pytest.raises(UNetError, match="negative id -1"):
        overlap_table(ones, -ones)
    with pytest.raises(UNetError, match="negative id -2"):
        overlap_table(-2 * ones, ones)
