"""What is encoded comes back, in few bytes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.run_lengths import encode

SHAPES = st.sampled_from([(), (0,), (7,), (0, 3), (4, 5), (2, 3, 4)])


@given(
    array=SHAPES.flatmap(
        lambda shape: st.sampled_from([np.uint8, np.int32, np.int64]).flatmap(
            lambda kind: arrays(kind, shape, elements=st.integers(0, 3))
        )
    )
)
def test_what_is_encoded_comes_back(array):
    again = pickle.loads(pickle.dumps(encode(array))).decode()
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_large_values_and_long_runs():
    array = np.zeros((300, 400), np.int32)
    array[:, 200:] = 2**31 - 1
    runs = encode(array)
    assert runs.nbytes < array.nbytes / 100
    np.testing.assert_array_equal(runs.decode(), array)
    assert not runs.decode()[0, 0]
    one = encode(np.ones((1000, 1000), np.int32))
    assert one.nbytes <= 5
    assert one.decode().sum() == 10**6


def test_a_table_replaces_values():
    array = np.array([[0, 2, 2], [1, 0, 0]], np.int32)
    table = np.array([9, 8, 7], np.uint8)
    found = encode(array).decode(table)
    np.testing.assert_array_equal(found, table[array])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("order", ["F", "C"])
def test_views_are_read_in_raster_order(order):
    array = np.array(np.arange(24).reshape(4, 6) // 5, order=order)[::-1, 1:]
    np.testing.assert_array_equal(encode(array).decode(), array)
