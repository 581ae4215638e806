"""Targets on constructed cells, and their definitions pixel by pixel on random ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from napari_unet.core.targets import (
    BOUNDARY,
    IGNORED,
    INTERIOR,
    carve_gap,
    distance_target,
    three_class,
    two_class,
)
from napari_unet.errors import AxesError, SettingsError

quick = settings(deadline=None, max_examples=60)

label_images = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
).flatmap(
    lambda shape: arrays(
        np.int16, shape, elements=st.integers(-1, 5), fill=st.integers(0, 2)
    )
)


def neighbours(shape, place, connectivity):
    for offset in product((-1, 0, 1), repeat=len(shape)):
        there = tuple(p + o for p, o in zip(place, offset, strict=True))
        inside = all(0 <= t < n for t, n in zip(there, shape, strict=True))
        if inside and 0 < sum(map(abs, offset)) <= connectivity:
            yield there


def distance_to(mask, spacing):
    if not mask.any():
        return np.full(mask.shape, np.inf)
    sampling = np.broadcast_to(spacing, mask.ndim)
    return distance_transform_edt(~mask, sampling=sampling)


def two_squares(gap=0):
    """Two squares of 10 x 10 with `gap` columns between them."""
    labels = np.zeros((16, 26 + gap), np.int32)
    labels[3:13, 3:13] = 5
    labels[3:13, 13 + gap : 23 + gap] = 9
    return labels


# carve_gap, two_class


@quick
@given(label_images, st.sampled_from([1, 2, None]))
def test_carving_by_its_definition(labels, connectivity):
    expected = labels.copy()
    for place in np.ndindex(labels.shape):  # in order: earlier cuts are seen
        around = neighbours(labels.shape, place, connectivity or labels.ndim)
        before = {expected[there] for there in around if there < place}
        if expected[place] > 0 and before - {expected[place], 0, -1}:
            expected[place] = 0
    np.testing.assert_array_equal(carve_gap(labels, connectivity), expected)


@quick
@given(label_images, st.sampled_from([1, 2, None]))
def test_carved_cells_are_no_neighbours(labels, connectivity):
    carved = carve_gap(labels, connectivity)
    for place in np.ndindex(labels.shape):
        if carved[place] > 0:
            around = neighbours(labels.shape, place, connectivity or labels.ndim)
            assert {carved[there] for there in around} <= {carved[place], 0, -1}


def test_gap_of_touching_squares_is_one_pixel():
    labels = two_squares()
    expected = np.zeros(labels.shape, bool)
    expected[3:13, 13] = True
    np.testing.assert_array_equal(carve_gap(labels) != labels, expected)
    np.testing.assert_array_equal(carve_gap(labels.T) != labels.T, expected.T)


def test_cells_with_a_gap_are_left_alone():
    labels = two_squares(gap=1)
    np.testing.assert_array_equal(carve_gap(labels), labels)


def test_connectivity_of_cells_that_touch_at_a_corner():
    labels = np.array([[1, 0], [0, 2]])
    np.testing.assert_array_equal(carve_gap(labels, 1), labels)
    np.testing.assert_array_equal(carve_gap(labels, 2), [[1, 0], [0, 0]])
    np.testing.assert_array_equal(carve_gap(labels), [[1, 0], [0, 0]])


def test_carving_keeps_ids_dtype_and_argument():
    labels = np.array([[70000, 70000, 0, 3_000_000_000]], np.uint32)
    before = labels.copy()
    carved = carve_gap(labels)
    assert carved.dtype == labels.dtype
    assert carved is not labels
    np.testing.assert_array_equal(carved, labels)
    np.testing.assert_array_equal(labels, before)


def test_two_classes_of_touching_squares():
    labels = two_squares()
    labels[0, :] = -1
    classes = two_class(labels)
    assert classes.dtype == np.uint8
    expected = (labels > 0).astype(int)
    expected[3:13, 13] = 0
    expected[0, :] = IGNORED
    np.testing.assert_array_equal(classes, expected)


# three_class


def literal_three(labels, width, spacing=1.0):
    """The docstring's rule with one distance transform per cell."""
    cells = np.unique(labels[labels > 0])
    far = [np.full(labels.shape, np.inf)] * 2
    stack = np.sort(far + [distance_to(labels == c, spacing) for c in cells], axis=0)
    widths = np.full(labels.shape, float(width))
    for cell in cells:
        mask = labels == cell
        widths[mask] = min(width, stack[1][mask].max() / 2)
    classes = np.where(stack[0] + stack[1] <= widths + 1e-9, BOUNDARY, labels > 0)
    return np.where(labels < 0, IGNORED, classes)


@quick
@given(label_images, st.sampled_from([1, 1.9, 2, 3, 4, 5, 6.5]))
def test_three_classes_by_their_definition(labels, width):
    classes = three_class(labels, width)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, literal_three(labels, width))


@quick
@given(label_images, st.sampled_from([1.13, 2.71, 4.37]))
def test_three_classes_in_physical_units(labels, width):
    spacing = [1.7, *[1.0] * (labels.ndim - 1)]
    classes = three_class(labels, width, spacing=spacing)
    np.testing.assert_array_equal(classes, literal_three(labels, width, spacing))


@quick
@given(label_images, st.sampled_from([1, 3, 6]))
def test_every_cell_keeps_an_interior(labels, width):
    classes = three_class(labels, width)
    cells = set(labels[labels > 0].tolist())
    assert set(labels[classes == INTERIOR].tolist()) == cells


def test_boundary_of_touching_squares_is_where_it_should_be():
    row = three_class(two_squares(), 3)[8]
    expected = np.zeros(26, int)
    expected[3:23] = INTERIOR
    expected[10:16] = BOUNDARY  # three pixels into each square
    np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize(("gap", "inside"), [(1, 2), (2, 1)])
def test_boundary_spans_a_narrow_gap(gap, inside):
    row = three_class(two_squares(gap), 3)[8]
    expected = np.flatnonzero(row == BOUNDARY)
    np.testing.assert_array_equal(expected, np.arange(13 - inside, 13 + gap + inside))


def test_no_boundary_over_a_wide_gap_or_beside_background():
    assert not (three_class(two_squares(gap=3), 3) == BOUNDARY).any()
    assert not (three_class(np.where(two_squares() == 5, 5, 0), 6) == BOUNDARY).any()


def test_thin_cells_are_kept_and_kept_apart():
    labels = np.repeat([[1, 1, 2, 2, 2, 2, 3, 3]], 6, axis=0)
    row = three_class(labels, 4)[3]
    # each cell loses the half that faces another cell; the middle one has two such
    np.testing.assert_array_equal(row, [1, 2, 2, 1, 1, 2, 2, 1])


def test_boundary_in_3d_runs_along_the_face():
    labels = np.zeros((12, 8, 8), np.int32)
    labels[:6], labels[6:] = 1, 2
    classes = three_class(labels, 2)
    np.testing.assert_array_equal(classes[:, 4, 4], [1] * 4 + [2] * 4 + [1] * 4)
    thick = three_class(labels, 2, spacing=(2, 1, 1))
    np.testing.assert_array_equal(thick[:, 4, 4], [1] * 5 + [2] * 2 + [1] * 5)


def test_ignored_pixels_neither_border_nor_count():
    labels = two_squares()
    labels[labels == 9] = -1
    classes = three_class(labels, 3)
    assert not (classes == BOUNDARY).any()
    np.testing.assert_array_equal(classes == IGNORED, labels == -1)


# distance_target


def literal_distance(labels, spacing=1.0):
    expected = np.zeros(labels.shape)
    for cell in np.unique(labels[labels > 0]):
        mask = labels == cell
        depth = distance_to(~mask, spacing)[mask]
        expected[mask] = 1.0 if np.isinf(depth).any() else depth / depth.max()
    expected[labels < 0] = np.nan
    return expected


@quick
@given(label_images, st.floats(0.2, 4))
def test_distance_by_one_transform_per_cell(labels, step):
    spacing = [step, *[1.0] * (labels.ndim - 1)]
    distance = distance_target(labels, spacing=spacing)
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, literal_distance(labels, spacing), rtol=1e-6)
    np.testing.assert_allclose(
        distance_target(labels), literal_distance(labels), rtol=1e-6
    )


def test_distance_has_a_boundary_between_touching_cells():
    row = distance_target(two_squares())[8]
    ramp = np.array([1, 2, 3, 4, 5, 5, 4, 3, 2, 1]) / 5
    np.testing.assert_allclose(row, [0] * 3 + [*ramp] * 2 + [0] * 3, rtol=1e-6)


def test_image_border_is_no_boundary():
    labels = np.zeros((7, 6), np.int32)
    labels[:, :4] = 1
    np.testing.assert_allclose(distance_target(labels)[3], [1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_array_equal(distance_target(np.ones((3, 4), int)), 1.0)


def test_ignored_pixels_are_nan_and_end_a_cell():
    row = distance_target(np.repeat([[1, 1, 1, -1, 0, 0]], 3, axis=0))[1]
    np.testing.assert_allclose(row, [1, 2 / 3, 1 / 3, np.nan, 0, 0], rtol=1e-6)


# all


symmetric = pytest.mark.parametrize("target", [three_class, distance_target])


@symmetric
@quick
@given(labels=label_images)
def test_flips_and_transposition_change_nothing(target, labels):
    here = target(labels)
    np.testing.assert_array_equal(target(labels.T), here.T)
    for axis in range(labels.ndim):
        np.testing.assert_array_equal(
            target(np.flip(labels, axis)), np.flip(here, axis)
        )


@pytest.mark.parametrize("target", [two_class, three_class, distance_target])
@quick
@given(labels=label_images, names=st.permutations(range(1, 6)))
def test_names_of_cells_do_not_matter(target, labels, names):
    renamed = np.array([0, *names, -3])[labels] * 1000
    np.testing.assert_array_equal(target(renamed), target(labels))


@pytest.mark.parametrize("target", [carve_gap, two_class, three_class, distance_target])
@pytest.mark.parametrize("shape", [(0, 4), (3, 4), (2, 3, 4)])
def test_images_without_cells(target, shape):
    result = target(np.zeros(shape, np.int32))
    assert result.shape == shape
    assert not result.any()


@pytest.mark.parametrize("target", [carve_gap, two_class, three_class, distance_target])
def test_labels_that_are_no_labels_are_refused(target):
    with pytest.raises(AxesError):
        target(np.zeros((3, 3)))
    with pytest.raises(AxesError):
        target(np.zeros(3, int))


@pytest.mark.parametrize("width", [0, -1, np.nan, np.inf])
def test_width_must_be_a_distance(width):
    with pytest.raises(SettingsError):
        three_class(np.zeros((3, 3), int), width)


@pytest.mark.parametrize("connectivity", [0, 3])
def test_connectivity_must_fit_the_dimensions(connectivity):
    with pytest.raises(SettingsError):
        two_class(np.zeros((3, 3), int), connectivity)
