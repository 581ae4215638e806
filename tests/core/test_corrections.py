"""Corrections: built objects whose right parts are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.corrections import (
    Stroke,
    delete_objects,
    hit_objects,
    in_whole_array,
    merge_objects,
    sample_at,
    split_objects,
)
from napari_unet.errors import AxesError, SettingsError


def bars() -> np.ndarray:
    """Three bars of 10 x 6 px, side by side with gaps of 2 px."""
    labels = np.zeros((14, 26), np.int32)
    for number, start in enumerate((2, 10, 18), start=1):
        labels[2:12, start : start + 6] = 3 * number
    return labels


def stroke(*points: tuple[float, ...], plane: tuple[int, int] = (0, 1)) -> Stroke:
    return Stroke(np.array(points, float), plane)


def applied(labels: np.ndarray, edit) -> np.ndarray:
    after = labels.copy()
    after[edit.indices] = edit.values
    return after


def test_objects_under_a_line_by_how_much_of_it_lies_on_them():
    labels = bars()
    assert hit_objects(labels, stroke((5, 1), (5, 13))) == (3, 6)
    assert hit_objects(labels, stroke((0, 0), (0, 20))) == ()
    assert hit_objects(labels, stroke((5, 11))) == (6,)
    assert hit_objects(labels, stroke((5, 18), (5, 90))) == (9,)


def test_delete_removes_what_is_hit_and_nothing_else():
    labels = bars()
    edit = delete_objects(labels, stroke((5, 3), (5, 12)))
    np.testing.assert_array_equal(
        applied(labels, edit), np.where(labels == 9, labels, 0)
    )
    assert edit.ids == (3, 6)
    with pytest.raises(SettingsError, match="touches no object"):
        delete_objects(labels, stroke((0, 0), (1, 20)))


def test_merge_keeps_the_smallest_id():
    labels = bars()
    after = applied(labels, merge_objects(labels, stroke((5, 20), (5, 12))))
    np.testing.assert_array_equal(after, np.where(labels == 9, 6, labels))
    with pytest.raises(SettingsError, match="fewer than two"):
        merge_objects(labels, stroke((3, 3), (9, 3)))


@pytest.mark.parametrize(
    "line",
    [
        stroke((6, 0), (6, 9)),  # right through
        stroke((6, 3), (6, 5)),  # inside: prolonged
        stroke((6, 7), (6, 5), (6, 4)),  # from the other side, ending inside
    ],
)
def test_split_cuts_along_the_line_and_leaves_no_gap(line):
    labels = bars()
    edit = split_objects(labels, line, first_free=10)
    after = applied(labels, edit)
    assert set(np.unique(after)) == {0, 3, 6, 9, 10}
    np.testing.assert_array_equal(after > 0, labels > 0)
    assert {3, 10} == set(np.unique(after[labels == 3]))
    np.testing.assert_array_equal(after[labels != 3], labels[labels != 3])
    # The largest part keeps the id: below row 6 there are five rows, above it four.
    assert (after[7:12, 2:8] == 3).all()
    assert (after[2:6, 2:8] == 10).all()
    for label in (3, 10):
        assert ndimage.label(after == label)[1] == 1


def test_a_diagonal_line_has_no_hole():
    labels = np.ones((21, 21), np.uint8)
    after = applied(
        labels, split_objects(labels, stroke((0, 0), (20, 20)), first_free=2)
    )
    assert after[0, 20] != after[20, 0]
    areas = np.bincount(after.ravel())[1:]
    assert areas.sum() == 441
    assert abs(int(areas[0]) - int(areas[1])) <= 21


def test_several_objects_are_cut_by_one_line():
    labels = bars()
    after = applied(
        labels, split_objects(labels, stroke((6, 0), (6, 25)), first_free=10)
    )
    assert set(np.unique(after)) == {0, 3, 6, 9, 10, 11, 12}


def test_a_line_along_the_edge_cuts_nothing():
    labels = bars()
    with pytest.raises(SettingsError, match="cuts no object"):
        split_objects(labels, stroke((2, 2), (2, 7)), first_free=10)
    with pytest.raises(SettingsError, match="cuts no object"):
        split_objects(labels, stroke((0, 0), (0, 7)), first_free=10)


def test_a_volume_is_cut_through_all_its_planes():
    volume = np.zeros((5, *bars().shape), np.int32)
    volume[1:4] = bars()
    line = stroke((2, 6, 0), (2, 6, 9), plane=(1, 2))
    after = applied(volume, split_objects(volume, line, first_free=10))
    for z in (1, 2, 3):
        assert (after[z, 7:12, 2:8] == 3).all()
        assert (after[z, 2:6, 2:8] == 10).all()
    np.testing.assert_array_equal(after > 0, volume > 0)


def test_ids_beyond_the_type_are_refused():
    labels = np.full((9, 9), 255, np.uint8)
    with pytest.raises(SettingsError, match="uint8 have no further ids"):
        split_objects(labels, stroke((4, 0), (4, 8)), first_free=256)


def test_an_edit_of_a_frame_is_one_of_the_series():
    series = np.stack([bars(), bars()])
    edit = delete_objects(series[1], stroke((5, 3)))
    after = applied(series, in_whole_array(edit, (1,)))
    np.testing.assert_array_equal(after[0], series[0])
    np.testing.assert_array_equal(after[1], np.where(series[1] == 3, 0, series[1]))


@pytest.mark.parametrize("position", [(7,), (2,), (-1,)])
def test_there_is_nothing_to_correct_where_there_are_no_labels(position):
    series = np.stack([bars(), bars()])
    np.testing.assert_array_equal(sample_at(series, (1,)), series[1])
    with pytest.raises(AxesError, match=r"no labels at .* Move the slider"):
        sample_at(series, position)
