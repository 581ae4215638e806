"""Touching pairs against a walk over all pixels, and recall on constructed cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_unet.core.touching import touching_pairs, touching_recall


def pairs_by_walk(labels: np.ndarray) -> set[tuple[int, int]]:
    found = set()
    for at in np.ndindex(labels.shape):
        for axis in range(labels.ndim):
            beside = list(at)
            beside[axis] += 1
            if beside[axis] == labels.shape[axis]:
                continue
            a, b = int(labels[at]), int(labels[tuple(beside)])
            if a != b and a > 0 and b > 0:
                found.add((min(a, b), max(a, b)))
    return found


@pytest.mark.parametrize("shape", [(30,), (13, 17), (5, 7, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_a_walk_over_all_pixels(
    shape: tuple[int, ...], seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(-1, 6, shape)
    found = touching_pairs(labels)
    assert [tuple(pair) for pair in found.tolist()] == sorted(pairs_by_walk(labels))


def test_corners_do_not_touch() -> None:
    assert touching_pairs(np.array([[1, 0], [0, 2]])).shape == (0, 2)


@pytest.fixture
def row_of_three() -> np.ndarray:
    """Three touching cells, and one apart."""
    labels = np.zeros((8, 40), np.int32)
    for cell, start in enumerate((0, 8, 16, 30), start=1):
        labels[:, start : start + 8] = cell
    return labels


def test_all_pairs_are_recalled_by_the_truth(row_of_three: np.ndarray) -> None:
    assert touching_recall([row_of_three], [row_of_three]) == (2, 2)


def test_a_merged_pair_is_not_recalled(row_of_three: np.ndarray) -> None:
    merged = np.where(row_of_three == 2, 1, row_of_three)
    # 1 and 2 are one object: at most one of them is found, so both pairs are lost
    # unless it is 2, and then 2-3 stays.
    n_recalled, n_pairs = touching_recall([merged], [row_of_three])
    assert n_pairs == 2
    assert n_recalled <= 1


def test_a_missed_middle_loses_both_pairs(row_of_three: np.ndarray) -> None:
    missed = np.where(row_of_three == 2, 0, row_of_three)
    assert touching_recall([missed], [row_of_three]) == (0, 2)


def test_counts_are_summed_over_images(row_of_three: np.ndarray) -> None:
    missed = np.where(row_of_three == 1, 0, row_of_three)
    pairs = [row_of_three, row_of_three]
    assert touching_recall([row_of_three, missed], pairs) == (3, 4)


def test_ids_and_shapes_do_not_matter(row_of_three: np.ndarray) -> None:
    ids = np.random.default_rng(0).permutation(np.arange(1, 5))
    renamed = np.concatenate([[0], ids])[row_of_three]
    assert touching_recall([renamed], [row_of_three]) == (2, 2)


def test_images_and_truth_must_be_as_many(row_of_three: np.ndarray) -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        touching_recall([], list(itertools.repeat(row_of_three, 1)))
