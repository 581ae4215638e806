from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.io.colouring import colour_objects


def cells(seed: int, n: int, side: int = 40) -> np.ndarray:
    """Number the cells 1..n that lie nearest to n random points (convex pieces)."""
    rng = np.random.default_rng(seed)
    points = rng.choice(side * side, n, replace=False)
    y, x = np.mgrid[:side, :side]
    down, right = y[..., None] - points // side, x[..., None] - points % side
    return (down**2 + right**2).argmin(-1) + 1


def pairs_at(ranks: np.ndarray, dy: int, dx: int) -> set[tuple[int, int]]:
    one, other = ranks[: ranks.shape[0] - dy, : ranks.shape[1] - dx], ranks[dy:, dx:]
    apart = one != other
    return set(zip(one[apart].tolist(), other[apart].tolist(), strict=True))


@given(seed=st.integers(0, 2**31), n=st.integers(1, 300), n_colours=st.integers(7, 10))
@settings(deadline=None, max_examples=40)
def test_touching_objects_never_share_a_colour(
    seed: int, n: int, n_colours: int
) -> None:
    ranks = cells(seed, n)
    colours = colour_objects(ranks, n, n_colours=n_colours)
    assert colours[0] == 0
    assert set(colours[1:]) <= set(range(1, n_colours + 1))
    for a, b in pairs_at(ranks, 0, 1) | pairs_at(ranks, 1, 0):
        assert colours[a] != colours[b]


def test_a_large_object_among_many_small_ones() -> None:
    ranks = np.full((41, 41), 442)
    ranks[::2, ::2] = np.arange(1, 442).reshape(21, 21)
    colours = colour_objects(ranks, 442, n_colours=2)
    assert set(colours[1:442]) == {3 - colours[442]}


@pytest.mark.parametrize("gap", [(0, 1), (1, 1), (0, 3), (3, 0)])
def test_near_objects_differ_where_colours_suffice(gap: tuple[int, int]) -> None:
    ranks = np.zeros((30, 30), np.int64)
    ranks[5:10, 5:10] = 1
    y, x = (10 + g if g else 5 for g in gap)
    ranks[y : y + 5, x : x + 5] = 11  # the same colour by its number alone
    colours = colour_objects(ranks, 11, n_colours=10)
    assert colours[1] != colours[11]


def test_neighbours_in_number_differ_too() -> None:
    ranks = np.zeros((1, 100), np.int64)
    ranks[0, ::10] = np.arange(1, 11)
    colours = colour_objects(ranks, 10, n_colours=10)
    assert sorted(colours[1:]) == list(range(1, 11))


def test_nothing_to_colour() -> None:
    empty = np.zeros((3, 4), np.int64)
    np.testing.assert_array_equal(colour_objects(empty, 0, n_colours=6), [0])
