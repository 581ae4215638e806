"""An array put together from chunks, with a small cache of those read last.

Tiles of the network overlap, and a TIFF without tiles can only be decoded in strips
or pages; without a cache the same piece would be decoded over and over.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

CACHE_BYTES = 2**27

Index = tuple[int, ...]


class ChunkedArray:
    """An array whose chunks are loaded when they are needed.

    Parameters
    ----------
    load
        Returns the chunk at an index (position of the chunk along each axis); it may
        be larger than what lies inside the array.
    shape
        Size per axis.
    chunks
        Size of a chunk per axis.
    dtype
        Element type.
    max_bytes
        Decoded bytes that are kept; the last chunk is always kept.
    """

    def __init__(
        self,
        load: Callable[[Index], npt.NDArray[Any]],
        *,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: npt.DTypeLike,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Index, npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self.shape = shape
        self.chunks = chunks
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)

    def __getitem__(self, key: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read one slice with a positive step per axis."""
        wanted = [range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True)]
        out = np.empty([len(r) for r in wanted], self.dtype)
        spans = [_spans(r, c) for r, c in zip(wanted, self.chunks, strict=True)]
        for pieces in itertools.product(*spans):
            place, inside, index = zip(*pieces, strict=True)
            out[place] = self._chunk(index)[inside]
        return out

    def _chunk(self, index: Index) -> npt.NDArray[Any]:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        chunk = self._load(index)
        with self._lock:
            self._kept[index] = chunk
            held = sum(kept.nbytes for kept in self._kept.values())
            while held > self._max_bytes and len(self._kept) > 1:
                held -= self._kept.popitem(last=False)[1].nbytes
        return chunk


def _spans(wanted: range, chunk: int) -> list[tuple[slice, slice, int]]:
    """Cut a range at the chunks: place in the result, place in the chunk, chunk."""
    spans = []
    position = 0
    while position < len(wanted):
        index = wanted[position] // chunk
        end = min(index * chunk + chunk, wanted.stop)
        count = len(range(wanted[position], end, wanted.step))
        start = wanted[position] - index * chunk
        inside = slice(start, start + (count - 1) * wanted.step + 1, wanted.step)
        spans.append((slice(position, position + count), inside, index))
        position += count
    return spans
