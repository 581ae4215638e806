from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_unet.io.planes import display_step, pick_plane, take_plane


def test_the_first_frame_with_objects_and_its_middle_slice() -> None:
    labels = np.zeros((3, 6, 4, 5), np.int32)
    labels[1, [1, 2, 4], 2, 2] = 1
    labels[2, 5, 0, 0] = 2
    assert pick_plane(labels, "TZYX") == {"T": 1, "Z": 2}
    moved = labels.transpose(3, 1, 0, 2)
    assert pick_plane(moved, "XZTY") == {"T": 1, "Z": 2}


def test_without_objects_the_middle_is_shown() -> None:
    assert pick_plane(np.zeros((3, 6, 4, 5)), "TZYX") == {"T": 0, "Z": 3}
    assert pick_plane(np.zeros((3, 4, 5)), "TYX") == {"T": 0}
    assert pick_plane(np.zeros((4, 5)), "YX") == {}


@pytest.mark.parametrize("axes", ["".join(p) for p in permutations("TCZYX")])
def test_a_plane_is_taken_from_any_order(axes: str) -> None:
    array = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    turned = array.transpose(["TCZYX".index(a) for a in axes])
    expected = array[1, :, 2].transpose(1, 2, 0)
    found = take_plane(turned, axes, plane={"T": 1, "Z": 2})
    np.testing.assert_array_equal(found, expected)
    found = take_plane(turned, axes, plane={"T": 1, "Z": 2}, step=2)
    np.testing.assert_array_equal(found, expected[::2, ::2])


def test_axes_that_are_not_there_are_ignored_and_others_shown_at_0() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(take_plane(array, "ZYX", plane={"T": 5}), array[0])


@pytest.mark.parametrize(
    ("shape", "step"), [((1, 1), 1), ((4096, 10), 1), ((4097, 10), 2), ((10, 12289), 4)]
)
def test_display_step(shape: tuple[int, int], step: int) -> None:
    assert display_step(shape) == step
