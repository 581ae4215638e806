"""Uncertainty: entropies known by hand, and a doubtful place that is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.uncertainty import entropy, rank_regions
from napari_unet.errors import AxesError


def stored(*shares: float) -> np.ndarray:
    return np.rint(np.array(shares).reshape(-1, 1) * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((1.0, 0.0), 0.0),
        ((0.0, 0.0), 0.0),  # all of it background that is not stored
        ((1 / 3, 1 / 3), 1.0),
        ((0.5, 0.5), np.log(2) / np.log(3)),
        ((0.5,), 1.0),
    ],
)
def test_entropy_of_classes(shares, expected):
    np.testing.assert_allclose(entropy(stored(*shares)), [expected], atol=2e-4)


def test_the_doubtful_place_comes_first_and_what_is_annotated_never():
    probabilities = np.zeros((2, 3, 256, 300), np.uint16)
    probabilities[0, 1, 140:180, 10:50] = 32768
    probabilities[0, 2, 0:20, 270:280] = 20000
    first, second, third, *_ = rank_regions(probabilities)
    assert first.box == (slice(1, 2), slice(128, 256), slice(0, 128))
    assert second.box == (slice(2, 3), slice(0, 128), slice(256, 300))
    assert first.uncertainty > second.uncertainty > third.uncertainty
    known = np.zeros((3, 256, 300), bool)
    known[1] = True
    ranked = rank_regions(probabilities, known=known)
    assert ranked[0].box == second.box
    assert len(ranked) == 2 * 2 * 3
    with pytest.raises(AxesError, match="do not fit"):
        rank_regions(probabilities, known=known[0])
