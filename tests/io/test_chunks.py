from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.io.chunks import ChunkedArray


class Chunks:
    """Cuts an array into chunks, counting how often each is loaded."""

    def __init__(self, array: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.array, self.chunks = array, chunks
        self.loaded: Counter[tuple[int, ...]] = Counter()

    def load(self, index: tuple[int, ...]) -> np.ndarray:
        self.loaded[index] += 1
        at = tuple(
            slice(i * c, i * c + c) for i, c in zip(index, self.chunks, strict=True)
        )
        return self.array[at]

    def wrap(self, max_bytes: int = 2**20) -> ChunkedArray:
        return ChunkedArray(
            self.load,
            shape=self.array.shape,
            chunks=self.chunks,
            dtype=self.array.dtype,
            max_bytes=max_bytes,
        )


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    chunks=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    starts=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    lengths=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    steps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(deadline=None)
def test_any_slice_is_put_together_right(
    shape: tuple[int, int],
    chunks: tuple[int, int],
    starts: tuple[int, int],
    lengths: tuple[int, int],
    steps: tuple[int, int],
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    source = Chunks(array, chunks)
    key = tuple(
        slice(a, a + n, s) for a, n, s in zip(starts, lengths, steps, strict=True)
    )
    np.testing.assert_array_equal(source.wrap()[key], array[key])
    touched = {
        tuple(i // c for i, c in zip(index, chunks, strict=True))
        for index in np.ndindex(shape)
        if all(i in range(n)[k] for i, n, k in zip(index, shape, key, strict=True))
    }
    assert set(source.loaded) == touched


def test_the_last_chunks_are_kept_within_the_limit() -> None:
    source = Chunks(np.arange(64, dtype=np.uint8).reshape(8, 8), (8, 2))
    array = source.wrap(max_bytes=32)  # two chunks of 16 bytes
    everything = slice(None)
    for start in (0, 2, 0, 4, 0, 2):
        array[everything, slice(start, start + 1)]
    # 0 2 are loaded, 0 is kept, 4 pushes out 2, 0 is kept, 2 is loaded again
    assert source.loaded == {(0, 0): 1, (0, 1): 2, (0, 2): 1}


def test_a_chunk_above_the_limit_is_still_kept_once() -> None:
    source = Chunks(np.zeros((8, 8), np.uint8), (8, 4))
    array = source.wrap(max_bytes=1)
    for _ in range(3):
        array[slice(0, 1), slice(0, 1)]
    assert source.loaded == {(0, 0): 1}
