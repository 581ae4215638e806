"""Rand index: against pairs of pixels counted one by one, and against scikit-image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import expand_labels

from napari_unet.core.rand_index import foreground_rand

Labels = NDArray[np.int64]


def tissue() -> tuple[Labels, Labels]:
    """36 cells with borders of one pixel; two run together, a tenth is not found."""
    rng = np.random.default_rng(0)
    truth = np.kron(rng.permutation(36).reshape(6, 6), np.ones((24, 24), int)) + 1
    truth[::24], truth[:, ::24] = 0, 0
    found = np.where(rng.random(truth.shape) < 0.1, 0, truth)
    found[found == truth[4, 4]] = truth[4, 36]
    return found, truth


def test_against_scikit_image() -> None:
    found, truth = tissue()
    scores = foreground_rand([found], [truth])
    grown = expand_labels(found, distance=100)
    error = adapted_rand_error(truth, grown, ignore_labels=(0,))[0]
    # It counts pairs of two pixels; the challenge also a pixel with itself.
    assert scores.error == pytest.approx(error, rel=0.01)
    assert scores.v_rand == 1 - scores.error
    nats = variation_of_information(truth, grown, ignore_labels=(0,)) * np.log(2)
    shares = [np.unique(x[truth > 0], return_counts=True)[1] for x in (truth, grown)]
    total = sum(-(s / s.sum() * np.log(s / s.sum())).sum() for s in shares)
    assert scores.v_info == pytest.approx(1 - nats.sum() / total)


def test_against_pairs_counted_one_by_one() -> None:
    truth = np.array([[1, 1, 1, 0, 2, 2, -1], [3, 3, 1, 0, 2, 2, -1]])
    found = np.array([[1, 1, 4, 4, 4, 2, 9], [3, 1, 4, 4, 2, 2, 9]])
    pixels = [(a, b) for a, b in zip(found.flat, truth.flat, strict=True) if b > 0]
    both, one, other = (
        sum(same(a, b) for a, b in itertools.product(pixels, repeat=2))
        for same in (
            lambda a, b: a == b,
            lambda a, b: a[0] == b[0],
            lambda a, b: a[1] == b[1],
        )
    )
    scores = foreground_rand([found], [truth])
    assert scores.v_rand == pytest.approx(2 * both / (one + other))


def test_perfect_empty_and_the_mean_over_images() -> None:
    found, truth = tissue()
    nothing = np.zeros_like(truth)
    perfect = foreground_rand([truth], [truth])
    assert (perfect.error, perfect.v_rand, perfect.v_info) == pytest.approx((0, 1, 1))
    assert np.isnan(foreground_rand([truth], [nothing]).v_rand)
    single = foreground_rand([found], [truth])
    both = foreground_rand([found, truth, truth], [truth, truth, nothing])
    assert both.v_rand == pytest.approx((single.v_rand + 1) / 2)
    # All in one segment: nothing is known of any cell.
    one = foreground_rand([np.ones_like(truth)], [truth])
    assert one.v_info == pytest.approx(0, abs=1e-9)
    assert 0 < one.v_rand < 0.1


def test_nothing_found_is_not_one_segment() -> None:
    """It must not win over a cell in two pieces, where a single one is annotated."""
    truth = np.zeros((20, 20), np.int64)
    truth[5:15, 5:15] = 1
    halves = np.where(np.arange(20) < 10, 1, 2) * truth
    nothing = foreground_rand([np.zeros_like(truth)], [truth])
    assert (nothing.v_rand, nothing.v_info) == (0, 0)
    assert foreground_rand([halves], [truth]).v_rand == pytest.approx(2 / 3)


def test_a_corner_far_from_every_segment_belongs_to_the_nearest() -> None:
    truth = np.ones((30, 30), np.int64)
    found = np.zeros_like(truth)
    found[0, 0] = 7
    assert foreground_rand([found], [truth]).v_rand == 1
