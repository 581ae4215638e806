"""Fixed point: thresholds against exact fractions, rounding, and refusals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.fixed_point import scale_of, threshold_of, to_fixed_point
from napari_unet.errors import SettingsError


def test_scales():
    assert scale_of(np.uint8) == scale_of("uint8") == 255
    assert scale_of(np.uint16) == scale_of(">u2") == 65535


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int16, np.uint32, np.float32])
def test_other_types_are_no_fixed_point(dtype):
    with pytest.raises(SettingsError, match="not in fixed point"):
        scale_of(dtype)


@pytest.mark.parametrize("scale", [255, 65535])
def test_thresholds_on_every_stored_value(scale):
    for k in range(-scale, scale + 1):
        assert threshold_of(k / scale, scale) == k


@pytest.mark.parametrize("scale", [255, 65535])
def test_thresholds_of_every_short_decimal(scale):
    for k in range(-10000, 10001):
        exact = math.floor(Fraction(k, 10000) * scale)
        assert threshold_of(float(f"{k / 10000:.4f}"), scale) == exact


@given(
    scale=st.sampled_from([255, 65535]),
    numerator=st.integers(-(10**6), 10**6),
    value=st.integers(-65535, 65535),
)
def test_a_stored_value_is_above_as_its_probability_is(scale, numerator, value):
    decimal = Fraction(numerator, 10**6)
    above = Fraction(value, scale) > decimal
    assert (value > threshold_of(float(decimal), scale)) is above


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_stored_value_comes_back(dtype):
    scale = scale_of(dtype)
    stored = np.arange(scale + 1).astype(dtype)
    for float_type in (np.float32, np.float64):
        values = stored.astype(float_type) / float_type(scale)
        found = to_fixed_point(values, dtype)
        assert found.dtype == dtype
        assert np.array_equal(found, stored)


def test_rounding_is_to_the_nearest():
    values = np.random.default_rng(0).random(10000)
    found = to_fixed_point(values)
    assert np.abs(found / 65535 - values).max() <= 0.5 / 65535 + 1e-7


def test_stored_arrays_are_returned_as_they_are():
    for dtype in (np.uint8, np.uint16):
        stored = np.array([0, 7, 255], dtype)
        assert to_fixed_point(stored) is stored
    swapped = np.array([0, 7, 65535], ">u2")
    found = to_fixed_point(swapped)
    assert found.dtype == np.uint16
    assert found.dtype.isnative
    assert found.tolist() == [0, 7, 65535]


def test_special_values():
    values = np.array([np.nan, -0.0, -1e-4, 1.0005, 1.0])
    assert to_fixed_point(values).tolist() == [0, 0, 0, 65535, 65535]
    assert to_fixed_point(np.array([False, True]), np.uint8).tolist() == [0, 255]
    assert to_fixed_point(np.array([0, 1], np.int64)).tolist() == [0, 65535]
    assert to_fixed_point(np.array([0, 1], np.float16)).tolist() == [0, 65535]
    assert to_fixed_point(np.zeros((2, 0))).shape == (2, 0)
    assert not to_fixed_point(np.full(3, np.nan)).any()


def test_the_array_given_is_left_alone():
    values = np.array([np.nan, 0.5, -1e-4], np.float32)
    before = values.copy()
    to_fixed_point(values)
    assert np.array_equal(values, before, equal_nan=True)


@pytest.mark.parametrize(
    "values", [[-0.1, 1], [0, 1.1], [np.inf, 0], [0, -np.inf], [np.nan, 3], [0, 1e300]]
)
def test_logits_are_refused(values):
    with pytest.raises(SettingsError, match="lie between 0 and 1") as caught:
        to_fixed_point(np.array(values))
    assert "softmax" in caught.value.remedy


def test_labels_and_complex_are_refused():
    with pytest.raises(SettingsError, match="reach from 0 to 3"):
        to_fixed_point(np.array([0, 3], np.int32))
    with pytest.raises(SettingsError, match="type complex128"):
        to_fixed_point(np.array([0j, 1]))
