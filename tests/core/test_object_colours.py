"""Colours follow objects, and neighbours never share one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.object_colours import next_colours

N = 12


def colours_of(labels, before=None):
    return next_colours(labels.astype(np.int32), before, n_colours=N)


def discs(*places: tuple[int, int], radius: int = 6) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.int32)
    for number, (cy, cx) in enumerate(places, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def test_colours_follow_the_object_and_not_its_number():
    before = discs((10, 10), (10, 40), (40, 20))
    colours = colours_of(before)
    after = discs((40, 21), (10, 41), (55, 55), radius=7)
    found = colours_of(after, colours[before])
    assert found[1] == colours[3]
    assert found[2] == colours[2]
    assert found[3] > 0
    assert found[0] == 0


def test_neighbours_have_different_colours_also_after_a_split():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.permutation(64).reshape(8, 8) + 1, np.ones((8, 8), int))
    labels = labels.astype(np.int32)
    colours = colours_of(labels)
    painted = colours[labels].astype(int)
    assert (np.diff(painted[:, 7:9], axis=1) != 0).all()
    split = labels.copy()
    split[:4, :8] = 65
    again = colours_of(split, colours[labels])
    assert again[65] != again[labels[7, 0]]
    unchanged = [n for n in range(1, 65) if n != labels[0, 0]]
    np.testing.assert_array_equal(again[unchanged], colours[unchanged])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gap", [0, 1, 3, 4])
def test_near_means_up_to_four_pixels_along_any_axis(axis, gap):
    labels = np.zeros((12, 12, 12), np.int32)
    labels = np.moveaxis(labels, axis, 0)
    labels[:4], labels[4 + gap : 8 + gap] = 1, 2
    labels = np.ascontiguousarray(np.moveaxis(labels, 0, axis))
    before = (labels > 0).astype(np.uint8)  # both had the first colour
    first, second = colours_of(labels, before)[1:]
    assert first == 1
    assert (second == 1) == (gap == 4)


def test_more_neighbours_than_colours_and_more_than_three_axes():
    wheel = np.zeros((9, 200), np.int32)
    wheel[:3] = 1
    wheel[3:] = 2 + np.arange(200) // 4
    colours = colours_of(wheel)
    assert (colours[1:] > 0).all()
    assert (colours <= N).all()
    series = np.stack([wheel[None], wheel[None]])
    np.testing.assert_array_equal(colours_of(series), colours)


def test_nothing_has_no_colours():
    np.testing.assert_array_equal(colours_of(np.zeros((4, 5), np.int32)), [0])
    np.testing.assert_array_equal(colours_of(np.zeros((0, 5), np.int32)), [0])
