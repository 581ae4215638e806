"""The pixels of a TIFF series, decoded tile by tile, strip by strip or page by page.

tifffile decodes; this file only finds the bytes. tifffile's own zarr store could do
the same, but leaves its asynchronous tasks hanging when a tile is damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.io.chunks import CACHE_BYTES, ChunkedArray, Index


def chunked_series(series: tifffile.TiffPageSeries) -> Any:
    """Return an array that decodes a series piece by piece.

    Files without tiles often have strips of a single row, which are slow to fetch one
    by one: their pages are decoded whole, unless they are larger than the cache.

    Returns
    -------
    ChunkedArray or numpy.ndarray
        The latter, read at once, only where pages and series do not fit together.
    """
    reader = _Reader(series)
    if not reader.fits:
        return series.asarray()
    return ChunkedArray(
        reader.load, shape=tuple(series.shape), chunks=reader.chunks, dtype=series.dtype
    )


class _Reader:
    """Finds and decodes the chunks of one series.

    Parameters
    ----------
    series
        The series; its file must stay open.
    """

    def __init__(self, series: tifffile.TiffPageSeries) -> None:
        key = series.keyframe
        page_shape = tuple(key.shape)
        self._series = series
        self._key = key
        self._ndim = len(page_shape)
        self._leading = tuple(series.shape[: series.ndim - self._ndim])
        self._lock = key.parent.filehandle.lock
        self._whole = not key.is_tiled and key.nbytes <= CACHE_BYTES
        self.fits = (
            tuple(series.shape[len(self._leading) :]) == page_shape
            and len(series) == math.prod(self._leading)
            and len(key.chunked) == self._ndim
            and key.imagedepth == 1
            and series.transform is None
        )
        inner = page_shape if self._whole else tuple(key.chunks)
        ones = (1,) * (series.ndim - len(inner))
        self.chunks = ones + inner

    def load(self, index: Index) -> npt.NDArray[Any]:
        """Decode the chunk at `index`; what is not in the file is 0."""
        outer, inner = index[: len(self._leading)], index[len(self._leading) :]
        number = int(np.ravel_multi_index(outer, self._leading)) if outer else 0
        with self._lock:
            page = self._series[number]
        if page is None:
            return np.zeros(self.chunks, self._series.dtype)
        try:
            found = self._page(page) if self._whole else self._segment(page, inner)
        except tifffile.TiffFileError as error:
            raise OSError(str(error)) from error
        return found.reshape((1,) * (len(index) - found.ndim) + found.shape)

    def _page(self, page: Any) -> npt.NDArray[Any]:
        with _opened(page):
            pixels: npt.NDArray[Any] = page.asarray()
        return pixels

    def _segment(self, page: Any, index: Index) -> npt.NDArray[Any]:
        at = int(np.ravel_multi_index(index, self._key.chunked))
        data = self._bytes(page, at)
        tables = {"jpegtables": page.jpegtables, "jpegheader": self._key.jpegheader}
        given = {name: table for name, table in tables.items() if table is not None}
        segment = self._key.decode(data, at, **given)[0] if data else None
        if segment is None:
            return np.zeros(self.chunks[-self._ndim :], self._series.dtype)
        samples = len(self._key.chunks) == 3
        pixels: npt.NDArray[Any] = segment[0] if samples else segment[0, ..., 0]
        return pixels

    def _bytes(self, page: Any, at: int) -> bytes:
        """Read the bytes of one tile or strip; empty if it was never written."""
        if at >= len(page.dataoffsets) or not page.databytecounts[at]:
            return b""
        file = page.parent.filehandle
        with self._lock, _opened(page):
            file.seek(page.dataoffsets[at])
            data: bytes = file.read(page.databytecounts[at])
        return data


@contextmanager
def _opened(page: Any) -> Iterator[None]:
    """Open the file of a page for a moment if the series spans several files."""
    file = page.parent.filehandle
    if not file.closed:
        yield
        return
    file.open()
    try:
        yield
    finally:
        file.close()
