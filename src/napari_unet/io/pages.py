"""A small cache of decoded pages, for files that cannot be read in small pieces.

A compressed TIFF without tiles must be decoded a whole page (or strip) at a time;
without a cache every tile of the network would decode its page anew.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

CACHE_BYTES = 2**27


class PageCache:
    """An array of chunks of which the last ones read are kept.

    Parameters
    ----------
    source
        Array with `shape`, `dtype` and `chunks` that understands slices.
    max_bytes
        Decoded bytes that are kept; the last chunk read is always kept.
    """

    def __init__(self, source: Any, *, max_bytes: int = CACHE_BYTES) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[int, ...], npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self.shape = tuple(int(n) for n in source.shape)
        self.chunks = tuple(int(n) for n in source.chunks)
        self.dtype = np.dtype(source.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read one slice with a positive step per axis."""
        wanted = [range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True)]
        out = np.empty([len(r) for r in wanted], self.dtype)
        spans = [_spans(r, c) for r, c in zip(wanted, self.chunks, strict=True)]
        for pieces in itertools.product(*spans):
            place, inside, index = zip(*pieces, strict=True)
            out[place] = self._chunk(index)[inside]
        return out

    def _chunk(self, index: tuple[int, ...]) -> npt.NDArray[Any]:
        with self._lock:
            if index not in self._kept:
                at = zip(index, self.chunks, self.shape, strict=True)
                key = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in at)
                self._kept[index] = np.asarray(self._source[key])
            self._kept.move_to_end(index)
            held = sum(chunk.nbytes for chunk in self._kept.values())
            while held > self._max_bytes and len(self._kept) > 1:
                held -= self._kept.popitem(last=False)[1].nbytes
            return self._kept[index]


def _spans(wanted: range, chunk: int) -> list[tuple[slice, slice, int]]:
    """Cut a range at the chunks: place in the result, place in the chunk, chunk."""
    spans = []
    position = 0
    while position < len(wanted):
        index = wanted[position] // chunk
        end = index * chunk + chunk
        count = len(range(wanted[position], min(end, wanted.stop), wanted.step))
        start = wanted[position] - index * chunk
        inside = slice(start, start + (count - 1) * wanted.step + 1, wanted.step)
        spans.append((slice(position, position + count), inside, index))
        position += count
    return spans
