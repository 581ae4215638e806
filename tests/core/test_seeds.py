from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.fixed_point import threshold_of
from napari_unet.core.seeds import (
    find_seeds,
    height,
    mask_evidence,
    seed_evidence,
)
from napari_unet.errors import AxesError, SettingsError

# Two pixels of stored probabilities, uint8.
VALUES = {
    "background": (30, 255),
    "interior": (200, 0),
    "boundary": (250, 7),
    "distance": (90, 255),
}


def stack(*names, dtype=np.uint8):
    return np.array([[VALUES[name]] for name in names], dtype)


@pytest.mark.parametrize(
    ("channels", "seeds", "mask", "surface"),
    [
        (("interior",), (200, 0), (200, 0), (55, 255)),
        (("background", "interior"), (200, 0), (200, 0), (55, 255)),
        (("interior", "boundary"), (-50, -7), (450, 7), (55, 255)),
        (("boundary", "interior", "background"), (-50, -7), (450, 7), (55, 255)),
        (("distance",), (90, 255), (90, 255), (165, 0)),
        (("distance", "boundary"), (-160, 248), (90, 255), (165, 0)),
        (("interior", "distance"), (90, 255), (200, 0), (165, 0)),
        (("interior", "distance", "boundary"), (-160, 248), (450, 7), (165, 0)),
    ],
)
def test_every_set_of_channels(channels, seeds, mask, surface):
    probabilities = stack(*channels)
    assert seed_evidence(probabilities, channels).tolist() == [list(seeds)]
    assert mask_evidence(probabilities, channels).tolist() == [list(mask)]
    assert height(probabilities, channels).tolist() == [list(surface)]


def test_types_of_the_results():
    for dtype in (np.uint8, np.uint16):
        probabilities = stack("interior", "boundary", dtype=dtype)
        channels = ("interior", "boundary")
        assert seed_evidence(probabilities, channels).dtype == np.int32
        assert mask_evidence(probabilities, channels).dtype == np.int32
        assert height(probabilities, channels).dtype == dtype
    assert height(stack("interior", dtype=np.uint16), ("interior",))[0, 1] == 65535


@pytest.mark.parametrize(
    ("channels", "error", "message"),
    [
        (("background", "nucleus"), AxesError, "do not say what a cell is"),
        (("interior", "interior"), AxesError, "do not say what a cell is"),
        (("background", "boundary"), AxesError, "neither interior nor distance"),
        (("interior",), AxesError, "1 channel names are given for 2"),
    ],
)
def test_channels_that_describe_no_cells_are_refused(channels, error, message):
    for function in (seed_evidence, mask_evidence, height):
        with pytest.raises(error, match=message) as caught:
            function(np.zeros((2, 4, 4), np.uint8), channels)
        assert caught.value.remedy


def test_probabilities_that_are_not_stored_are_refused():
    with pytest.raises(SettingsError, match="float32 are not in fixed point"):
        seed_evidence(np.zeros((1, 4, 4), np.float32), ("interior",))


@given(st.integers(-10_000, 10_000), st.sampled_from([255, 65535]))
@settings(deadline=None)
def test_a_threshold_cuts_where_its_decimal_number_says(parts, scale):
    limit = threshold_of(parts / 10_000, scale)
    exact = Fraction(parts, 10_000)
    assert Fraction(limit, scale) <= exact < Fraction(limit + 1, scale)


def test_seeds_are_above_the_threshold_and_numbered_in_raster_order():
    evidence = np.zeros((8, 9), np.int32)
    evidence[0, 7:] = 200
    evidence[2:4, 1:3] = 201
    evidence[5, 5] = 255
    seeds = find_seeds(evidence, 200 / 255, scale=255)
    assert seeds.dtype == np.int32
    assert seeds.max() == 2
    assert (seeds == 1).sum() == 4
    assert seeds[5, 5] == 2
    lower = find_seeds(evidence, 199 / 255, scale=255)
    assert lower[0].tolist() == [0] * 7 + [1, 1]
    assert lower.max() == 3


def test_small_seeds_are_dropped_before_numbering():
    evidence = np.array([[9, 0, 9, 9, 0, 0, 9, 9, 9]], np.int32)
    seeds = find_seeds(evidence, 0.02, scale=255, min_size=2)
    assert seeds.tolist() == [[0, 0, 1, 1, 0, 0, 2, 2, 2]]


def test_connectivity_joins_diagonal_seeds():
    evidence = np.eye(5, dtype=np.int32) * 100
    assert find_seeds(evidence, 0.1, scale=255).max() == 5
    assert find_seeds(evidence, 0.1, scale=255, connectivity=2).max() == 1


def test_a_negative_threshold_takes_boundaries_too():
    channels = ("interior", "boundary")
    evidence = seed_evidence(stack(*channels), channels)
    assert find_seeds(evidence, -0.1, scale=255).tolist() == [[0, 1]]
