"""Border weights against the papers' formulas, written out cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.ndimage import distance_transform_edt

from napari_unet.core.border_weights import (
    BorderWeights,
    border_weights,
    falk_weights,
)
from napari_unet.errors import AxesError, SettingsError

quick = settings(deadline=None, max_examples=60)

label_images = st.one_of(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
).flatmap(
    lambda shape: arrays(np.int16, shape, elements=st.integers(-1, 5), fill=st.just(0))
)


def distances(labels, spacing=None):
    """One distance transform per cell, sorted: d1 and d2."""
    sampling = np.broadcast_to(1.0 if spacing is None else spacing, labels.ndim)
    stack = [np.full(labels.shape, np.inf)] * 2
    for cell in np.unique(labels[labels > 0]):
        stack.append(distance_transform_edt(labels != cell, sampling=sampling))
    return np.sort(stack, axis=0)[:2]


def literal(labels, w0=10.0, sigma=5.0, classes=(1.0, 1.0), spacing=None):
    d1, d2 = distances(labels, spacing)
    w = np.where(labels > 0, classes[1], classes[0])
    w = w + w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return np.where(labels < 0, 0.0, w)


def literal_falk(labels, spacing=None, v=0.1, s1=10.0, lam=50.0, s2=6.0):
    d1, d2 = distances(labels, spacing)
    smooth = v + (1 - v) * np.exp(-(d1**2) / (2 * s1**2))
    w = smooth + lam * np.exp(-((d1 + d2) ** 2) / (2 * s2**2))
    return np.where(labels < 0, 0.0, np.where(labels > 0, 1.0, w))


def assert_same(weights, expected):
    assert weights.dtype == np.float32
    assert weights.shape == expected.shape
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)


@quick
@given(label_images)
def test_paper_formula_with_its_constants(labels):
    assert_same(border_weights(labels), literal(labels))


@quick
@given(
    label_images,
    st.floats(0, 50),
    st.floats(0.2, 9),
    st.tuples(st.floats(0, 3), st.floats(0, 3)),
    st.floats(0.2, 3),
)
def test_paper_formula_with_any_constants(labels, w0, sigma, classes, step):
    spacing = [step, *[1.0] * (labels.ndim - 1)]
    weights = border_weights(labels, w0, sigma, classes, spacing)
    assert_same(weights, literal(labels, w0, sigma, classes, spacing))


@quick
@given(label_images, st.floats(0.2, 3))
def test_falk_formula(labels, step):
    assert_same(falk_weights(labels), literal_falk(labels))
    spacing = [step, *[1.0] * (labels.ndim - 1)]
    assert_same(falk_weights(labels, spacing=spacing), literal_falk(labels, spacing))


def test_tail_that_is_left_out_is_below_the_promise():
    """Two cells 300 px apart: every sum of distances up to far beyond the cut."""
    labels = np.zeros((3, 400), np.int32)
    labels[:, 0], labels[:, 300] = 1, 2
    labels[1, 17] = 3
    assert_same(border_weights(labels), literal(labels))
    assert_same(border_weights(labels, 50, 30), literal(labels, 50, 30))
    assert_same(falk_weights(labels), literal_falk(labels))


def test_gap_between_two_cells_by_hand():
    labels = np.zeros((5, 11), np.int32)
    labels[:, :3], labels[:, 7:] = 1, 2
    middle = border_weights(labels)[2]
    # the pixel next to cell 1: d1 = 1, d2 = 4; the middle: 2 and 3; inside: 0 and 5
    term = 10 * np.exp(-(5.0**2) / 50)
    np.testing.assert_allclose(middle[2:8], 1 + term, rtol=1e-6)
    np.testing.assert_allclose(middle[0], 1 + 10 * np.exp(-(7.0**2) / 50), rtol=1e-6)


@pytest.mark.parametrize(("gap", "term"), [(2, 9.2), (6, 4.9), (10, 1.35), (20, 0.003)])
def test_known_values_of_the_paper_constants(gap, term):
    labels = np.zeros((1, gap + 1), np.int32)
    labels[0, 0], labels[0, -1] = 1, 2
    assert border_weights(labels)[0, 1] - 1 == pytest.approx(term, abs=0.04)


@pytest.mark.parametrize(("gap", "term"), [(2, 47), (6, 30), (10, 12.5), (20, 0.19)])
def test_known_values_of_the_falk_constants(gap, term):
    labels = np.zeros((1, gap + 1), np.int32)
    labels[0, 0], labels[0, -1] = 1, 2
    smooth = 0.1 + 0.9 * np.exp(-1 / 200)
    assert falk_weights(labels)[0, 1] - smooth == pytest.approx(term, abs=0.5)


def test_class_weights_by_hand():
    labels = np.zeros((2, 5), np.int32)
    labels[0, 0] = 1
    labels[1, :2] = -1  # annotated: 1 cell pixel, 7 of background
    for weights in (
        border_weights(labels, class_weights="balance"),
        border_weights(labels, class_weights=(1 / 7, 1.0)),
    ):
        assert weights[0, 0] == 1.0
        np.testing.assert_allclose(weights[0, 1:], 1 / 7, rtol=1e-6)
        np.testing.assert_array_equal(weights[1, :2], 0.0)


@pytest.mark.parametrize("fill", [0, 1])
def test_balance_with_one_class_only(fill):
    weights = border_weights(np.full((3, 3), fill), class_weights="balance")
    np.testing.assert_array_equal(weights, 1.0)


def test_balance_makes_the_classes_equal_in_sum():
    labels = np.zeros((20, 20), np.int32)
    labels[3:8, 3:9] = 4
    weights = border_weights(labels, class_weights="balance")
    assert weights[labels > 0].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.max() == 1.0


@pytest.mark.parametrize("ndim", [2, 3])
def test_fewer_than_two_cells_have_no_border_term(ndim):
    labels = np.zeros((6,) * ndim, np.int32)
    np.testing.assert_array_equal(border_weights(labels), 1.0)
    np.testing.assert_allclose(falk_weights(labels), 0.1, rtol=1e-6)
    labels[(slice(2, 4),) * ndim] = 1
    np.testing.assert_array_equal(border_weights(labels), 1.0)
    assert_same(falk_weights(labels), literal_falk(labels))


def test_ignored_pixels_are_no_cells():
    labels = np.zeros((4, 9), np.int32)
    labels[:, 0] = 1
    labels[:, 5:] = -1
    weights = border_weights(labels)
    np.testing.assert_array_equal(weights[:, :5], 1.0)
    np.testing.assert_array_equal(weights[:, 5:], 0.0)
    np.testing.assert_array_equal(falk_weights(labels)[:, 5:], 0.0)
    np.testing.assert_array_equal(
        weights, border_weights(np.where(labels < 0, -9, labels))
    )


@quick
@given(label_images, st.permutations(range(1, 6)))
def test_flips_transposition_and_names_change_nothing(labels, names):
    renamed = np.array([0, *names, -1])[labels]
    for function in (
        border_weights,
        falk_weights,
        BorderWeights.ronneberger2015().weights,
    ):
        weights = function(labels)
        np.testing.assert_array_equal(function(renamed), weights)
        np.testing.assert_array_equal(function(labels.T), weights.T)
        np.testing.assert_array_equal(function(labels[::-1]), weights[::-1])


def test_unit_of_length_does_not_matter():
    labels = np.zeros((20, 20), np.int32)
    labels[2:9, 2:9], labels[11:18, 4:12] = 1, 2
    in_pixels = border_weights(labels, sigma=4)
    in_um = border_weights(labels, sigma=4 * 0.25, spacing=0.25)
    np.testing.assert_allclose(in_um, in_pixels, atol=1e-5)


def test_presets_are_the_published_constants():
    paper, falk = BorderWeights.ronneberger2015(), BorderWeights.falk2019()
    assert (paper.w0, paper.sigma, paper.class_weights) == (10.0, 5.0, "balance")
    assert (falk.w0, falk.sigma, falk.floor, falk.floor_sigma) == (50, 6, 0.1, 10)
    labels = np.zeros((12, 12), np.int32)
    labels[1:5, 1:11], labels[8:11, 1:11] = 1, 2
    np.testing.assert_array_equal(
        paper.weights(labels), border_weights(labels, class_weights="balance")
    )
    np.testing.assert_array_equal(falk.weights(labels), falk_weights(labels))
    np.testing.assert_array_equal(
        BorderWeights().weights(labels), border_weights(labels)
    )


def test_settings_survive_json_and_are_frozen():
    for preset in (
        BorderWeights.ronneberger2015(),
        BorderWeights.falk2019(),
        BorderWeights(class_weights=(0.5, 2.0)),
    ):
        assert BorderWeights.model_validate_json(preset.model_dump_json()) == preset
    with pytest.raises(ValidationError):
        BorderWeights().w0 = 3.0


@pytest.mark.parametrize(
    "options",
    [
        {"w0": -1},
        {"w0": np.inf},
        {"sigma": 0},
        {"sigma": np.nan},
        {"class_weights": "inverse"},
        {"class_weights": (1.0,)},
        {"class_weights": (-1.0, 1.0)},
        {"spacing": -1},
    ],
)
def test_constants_outside_their_range_are_refused(options):
    with pytest.raises(SettingsError) as caught:
        border_weights(np.zeros((3, 3), int), **options)
    assert caught.value.remedy


def test_labels_that_are_no_labels_are_refused():
    with pytest.raises(AxesError):
        border_weights(np.zeros((3, 3), np.float32))
    with pytest.raises(AxesError):
        falk_weights(np.zeros((3, 3), int), spacing=(1, 2, 3))


def test_numbers_of_numpy_are_numbers():
    labels = np.eye(5, dtype=int) * np.arange(1, 6)
    weights = border_weights(labels, np.float32(10), np.int64(5), (np.float64(1), 1))
    np.testing.assert_array_equal(weights, border_weights(labels))
