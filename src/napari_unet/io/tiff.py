"""TIFF in all its dialects, read lazily: mapped into memory or tile by tile.

tifffile knows the dialects; this file decides how the pixels are reached, and refuses
files whose pages or pixels are not all there.
"""

from __future__ import annotations

import logging
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_unet.core.axes import AXES
from napari_unet.errors import ImageFileError
from napari_unet.io.source import SAMPLES, UNKNOWN, Found
from napari_unet.io.tiff_chunks import chunked_series
from napari_unet.io.tiff_metadata import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

# What tifffile logs, and only logs, when the chain of pages breaks off.
_BROKEN = ("corrupted tag list", "invalid offset to page", "invalid page offset")
_BROKEN_TOO = ("ImageJ series metadata invalid or corrupted", "missing data offset")
_PARSING = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def read_tiff(path: Path, *, series: int = 0) -> Found:
    """Open one series of a TIFF file; pixels are read when they are sliced.

    Parameters
    ----------
    path
        The file.
    series
        Index of the image among those in the file; level 0 of a pyramid is taken.

    Raises
    ------
    ImageFileError
        If it is not a TIFF file, is cut off, or has no such series.
    """
    with _listening() as heard:
        file = _open(path)
        try:
            chosen = _choose(file, path, series)
            _check_whole(file, chosen, path=path, heard=heard)
            return _found(file, chosen, series)
        except _PARSING as error:
            file.close()
            raise _damaged(path, str(error)) from error
        except ImageFileError:
            file.close()
            raise


def _open(path: Path) -> tifffile.TiffFile:
    try:
        file = tifffile.TiffFile(path)
        file.filehandle.set_lock(True)
        return file
    except _PARSING as error:
        if _looks_like_tiff(path):
            raise _damaged(path, str(error)) from error
        raise ImageFileError(
            f"{path.name} is named like a TIFF file but is none.",
            "Check where it comes from, or give it the suffix of its real format.",
        ) from None


def _looks_like_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _damaged(path: Path, reason: str) -> ImageFileError:
    why = f" ({reason.rstrip('.')})" if reason else ""
    return ImageFileError(
        f"{path.name} is damaged or was cut off{why}.",
        "Copy it again from its source, or re-save it with the program that made it.",
    )


def _choose(
    file: tifffile.TiffFile, path: Path, series: int
) -> tifffile.TiffPageSeries:
    every = file.series
    if not every:
        raise _damaged(path, "no images")
    if not 0 <= series < len(every):
        listed = "; ".join(f"{i}: {s.name} {s.shape}" for i, s in enumerate(every[:10]))
        raise ImageFileError(
            f"{path.name} has no series {series}.",
            f"Choose one of these {len(every)}: {listed}.",
        )
    return every[series]


def _check_whole(
    file: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    *,
    path: Path,
    heard: list[str],
) -> None:
    """Refuse a broken chain of pages, and pixels beyond the end of the file."""
    for message in heard:
        if any(part in message for part in (*_BROKEN, *_BROKEN_TOO)):
            raise _damaged(path, "")
        if "Missing data are zeroed" in message:
            logger.warning("%s: planes that are not in the file read as 0", path.name)
    end = file.filehandle.size
    if series.dataoffset is not None and not series.is_multifile:
        needed = series.dataoffset + series.size * series.dtype.itemsize
    else:
        needed = max((_last_byte(page, file) for page in series.pages), default=0)
    if needed > end:
        raise _damaged(path, f"{end} bytes of at least {needed}")


def _last_byte(page: Any, file: tifffile.TiffFile) -> int:
    """End of a page's pixels in the file; 0 for pages that are elsewhere or absent."""
    if page is None or page.parent is not file or not page.dataoffsets:
        return 0
    offsets = np.asarray(page.dataoffsets, np.int64)
    counts = np.asarray(page.databytecounts, np.int64)
    return int((offsets + counts).max())


def _found(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, index: int
) -> Found:
    words = describe(file, series, index=index)
    letters = _letters(series.axes)
    mappable = series.dataoffset is not None and not series.is_multifile
    if mappable and series.dtype.kind != "b":
        mapped = _mapped(file, series)
        file.close()
        return Found(mapped, letters, **words)
    array = chunked_series(series)
    if isinstance(array, np.ndarray):
        file.close()
        return Found(array, letters, **words)
    return Found(array, letters, chunks=array.chunks, close=file.close, **words)


def _mapped(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> np.memmap[Any, Any]:
    return np.memmap(
        file.filehandle.path,
        dtype=series.dtype.newbyteorder(file.byteorder),
        mode="r",
        offset=series.dataoffset or 0,
        shape=series.shape,
    )


def _letters(axes: str) -> str:
    """Return tifffile's axes with all but TCZYX and samples marked unknown."""
    out: list[str] = []
    for letter in axes:
        fits = letter in AXES or letter == SAMPLES
        out.append(letter if fits and letter not in out else UNKNOWN)
    return "".join(out)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread, instead of printing it."""
    heard: list[str] = []
    thread = threading.get_ident()
    handler = logging.Handler(logging.WARNING)

    def emit(record: logging.LogRecord) -> None:
        if record.thread == thread:
            heard.append(record.getMessage())

    handler.emit = emit  # type: ignore[method-assign]
    log = logging.getLogger("tifffile")
    log.addHandler(handler)
    try:
        yield heard
    finally:
        log.removeHandler(handler)
