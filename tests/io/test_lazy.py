from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import ImageFileError
from napari_unet.io.lazy import LazyArray


class Spy:
    """An array that, like zarr, takes one positive slice per axis; counts pixels."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.pixels = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        assert len(key) == self.array.ndim
        assert all(k.step is None or k.step > 0 for k in key)
        found = self.array[key]
        self.pixels += found.size
        return found


def lazy(array: np.ndarray, order: tuple[int | None, ...]) -> LazyArray:
    return LazyArray(Spy(array), order, name="a.tif")


def one_key(length: int) -> st.SearchStrategy[int | slice]:
    return st.one_of(st.integers(-length, length - 1), st.slices(length))


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_any_key_reads_what_numpy_reads(data: st.DataObject) -> None:
    array = np.arange(3 * 4 * 5).reshape(3, 1, 4, 5)
    order = data.draw(st.sampled_from([(0, 2, 3), (3, 0, None, 2), (2, 3, 1, 0)]))
    named = [axis for axis in order if axis is not None]
    expected = array.transpose([1, *named] if 1 not in named else named)
    expected = expected.reshape([1 if a is None else array.shape[a] for a in order])
    length = data.draw(st.integers(0, len(order)))
    key = tuple(data.draw(one_key(n)) for n in expected.shape[:length])
    if data.draw(st.booleans()):
        key = (*key, ...)
    found = lazy(array, order)[key]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected[key])


def test_ellipsis_in_the_middle_and_a_lone_key() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    view = lazy(array, (0, 1, 2))
    np.testing.assert_array_equal(view[1, ..., ::-2], array[1, ..., ::-2])
    np.testing.assert_array_equal(view[-1], array[-1])
    np.testing.assert_array_equal(view[...], array)
    np.testing.assert_array_equal(np.asarray(view), array)
    assert np.asarray(view, np.float32).dtype == np.float32
    assert (len(view), view.size, view.nbytes) == (2, 24, 24 * array.itemsize)


def test_only_the_pixels_asked_for_are_read() -> None:
    spy = Spy(np.zeros((100, 100), np.uint8))
    view = LazyArray(spy, (1, 0), name="a")
    view[3:5, 7]
    assert spy.pixels == 2
    view[5:5]
    assert spy.pixels == 2


def test_bytes_become_native() -> None:
    array = np.arange(6, dtype=">u2").reshape(2, 3)
    view = lazy(array, (0, 1))
    assert view.dtype.isnative
    assert view[...].dtype.isnative
    np.testing.assert_array_equal(view[...], array)


@pytest.mark.parametrize("key", [(0, 0, 0), (..., ...), 9, -3])
def test_keys_that_do_not_fit_are_refused(key: object) -> None:
    with pytest.raises(IndexError):
        lazy(np.zeros((2, 3)), (0, 1))[key]


def test_a_view_without_a_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="without a copy"):
        np.array(lazy(np.zeros((2, 3)), (0, 1)), copy=False)


def test_errors_of_the_decoder_name_the_file() -> None:
    class Broken:
        shape = (4, 4)
        dtype = np.uint8

        def __getitem__(self, key: object) -> np.ndarray:
            raise RuntimeError("bad huffman code")

    with pytest.raises(ImageFileError, match=r"a\.tif could not be decoded: bad huf"):
        LazyArray(Broken(), (0, 1), name="a.tif")[0]


def test_the_file_is_closed_once_by_hand_or_when_the_view_goes() -> None:
    closed: list[int] = []
    view = LazyArray(np.zeros((2, 2)), (0, 1), name="a", close=lambda: closed.append(1))
    view.close()
    view.close()
    assert closed == [1]
    other = LazyArray(
        np.zeros((2, 2)), (0, 1), name="a", close=lambda: closed.append(2)
    )
    del other
    gc.collect()
    assert closed == [1, 2]
