from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.label_axes import arrange_labels, as_label_ids, guess_pair_axes
from napari_unet.errors import AxesError


@pytest.mark.parametrize(
    ("image", "labels", "axes"),
    [
        ((5, 6), (5, 6), "YX"),
        ((4, 5, 6), (4, 5, 6), "ZYX"),
        ((2, 4, 5, 6), (2, 4, 5, 6), "TZYX"),
        ((2, 5, 6), (5, 6), "CYX"),
        ((5, 6, 3), (5, 6), "YXC"),
        ((5, 5, 2), (5, 5), "YXC"),
        ((1, 5, 6), (5, 6), "CYX"),
        ((1, 1, 5, 6), (1, 5, 6), "CZYX"),
        ((2, 4, 5, 6), (4, 5, 6), "CZYX"),
        ((4, 2, 5, 6), (4, 5, 6), "ZCYX"),
        ((4, 5, 6, 3), (4, 5, 6), "ZYXC"),
        ((5, 6), (1, 5, 6), "YX"),
    ],
)
def test_the_axis_that_labels_lack_is_the_channels(
    image: tuple[int, ...], labels: tuple[int, ...], axes: str
) -> None:
    assert guess_pair_axes(image, labels) == axes


def test_the_labels_know_their_axes() -> None:
    guess = guess_pair_axes((4, 5, 6), (4, 5, 6), labels_axes="TYX")
    assert guess == "TYX"
    guess = guess_pair_axes((2, 4, 5, 6), (4, 5, 6), labels_axes="TYX")
    assert guess == "CTYX"


def test_equal_axes_are_ambiguous() -> None:
    with pytest.raises(AxesError, match="cannot be told"):
        guess_pair_axes((64, 64, 64), (64, 64))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_order_and_singletons_are_undone(data: st.DataObject) -> None:
    image_axes = "".join(
        data.draw(st.permutations("YX" + data.draw(st.sampled_from(["", "Z", "TZ"]))))
    )
    size = {a: data.draw(st.integers(2, 4), label=a) for a in image_axes}
    wanted = np.arange(np.prod(list(size.values()))).reshape([*size.values()])
    # The labels: other order, and axes of length 1 anywhere.
    order = data.draw(st.permutations(range(len(image_axes))))
    labels, axes = wanted.transpose(order), "".join(image_axes[i] for i in order)
    for letter in data.draw(st.sampled_from(["", "C", "CT", "ZC"])):
        if letter not in axes:
            place = data.draw(st.integers(0, len(axes)))
            labels = np.expand_dims(labels, place)
            axes = axes[:place] + letter + axes[place:]
    channels = data.draw(st.integers(0, len(image_axes)))
    full_axes = image_axes[:channels] + "C" + image_axes[channels:]
    shape = tuple(size.get(a, 3) for a in full_axes)
    found = arrange_labels(labels, axes, image_axes=full_axes, image_shape=shape)
    np.testing.assert_array_equal(found, wanted)


def test_sizes_in_order_help_where_letters_do_not() -> None:
    labels = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    for axes in ("", "ZYX"):
        found = arrange_labels(
            labels, axes, image_axes="TCYX", image_shape=(4, 2, 5, 6)
        )
        np.testing.assert_array_equal(found, labels)
    flat = arrange_labels(labels[:1], "", image_axes="YX", image_shape=(5, 6))
    np.testing.assert_array_equal(flat, labels[0])
    back = arrange_labels(labels[0], "YX", image_axes="ZYX", image_shape=(1, 5, 6))
    assert back.shape == (1, 5, 6)


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        ((6, 5), "transposed"),
        ((5, 6, 3), "colour picture"),
        ((10, 12), "2 times larger"),
        ((5, 7), "belong together"),
        ((4, 5, 6), "belong together"),
    ],
)
def test_different_sizes_are_refused_with_a_hint(
    labels: tuple[int, ...], hint: str
) -> None:
    with pytest.raises(AxesError, match=hint):
        arrange_labels(np.zeros(labels), "", image_axes="YX", image_shape=(5, 6))


def test_labels_of_a_reduced_image_are_refused_with_the_factor() -> None:
    with pytest.raises(AxesError, match="4 times smaller"):
        arrange_labels(np.zeros((5, 6)), "", image_axes="CYX", image_shape=(2, 20, 24))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float32, ">u2"])
def test_ids_are_kept(dtype: str) -> None:
    array = np.array([[0, 3], [100, 7]]).astype(dtype)
    ids = as_label_ids(array)
    assert ids.dtype == np.int32
    assert ids.tolist() == [[0, 3], [100, 7]]
    assert not np.shares_memory(ids, array)


def test_what_is_not_annotated_becomes_minus_one() -> None:
    assert as_label_ids(np.array([[-7, -1, 0, 2]])).tolist() == [[-1, -1, 0, 2]]
    void = as_label_ids(np.array([[255, 0, 4]], np.uint8), ignore_label=255)
    assert void.tolist() == [[-1, 0, 4]]
    assert as_label_ids(np.array([[0, 4]]), ignore_label=0).tolist() == [[-1, 4]]
    assert as_label_ids(np.array([[True, False]])).tolist() == [[1, 0]]


def test_huge_ids_are_renumbered_in_order() -> None:
    array = np.array([[2**40, 0, -1], [2**33, 5, 2**40]])
    assert as_label_ids(array).tolist() == [[3, 0, -1], [2, 1, 3]]
    no_background = np.array([[2**40, 5]], np.uint64)
    assert as_label_ids(no_background).tolist() == [[2, 1]]
    wrapped = np.array([[2**32 - 1, 3, 0]], np.uint32)
    assert as_label_ids(wrapped, ignore_label=2**32 - 1).tolist() == [[-1, 3, 0]]


@pytest.mark.parametrize(
    "array", [np.array([0.5, 1.0]), np.array([np.nan, 1.0]), np.array([1j])]
)
def test_what_is_no_whole_number_is_refused(array: np.ndarray) -> None:
    with pytest.raises(AxesError, match=r"a\.tif holds"):
        as_label_ids(array, name="a.tif")
