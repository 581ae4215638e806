"""Labels and images out: OME-TIFF that keeps axes, pixel size and provenance.

Files are tiled, compressed, read by Fiji and QuPath, and read back equal: what OME
cannot say (axes of length 1, an unusual order, settings) travels in an annotation.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.core.axes import ArrayLike, check_axes
from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.atomic import replacing
from napari_unet.io.source import SAMPLES, SPATIAL
from napari_unet.io.tiff_metadata import NAMESPACE, provenance

TILE = 256
BLOCK_BYTES = 2**26
_BIG = 2**32 - 2**26
_OME_TYPES = ("b", "u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
_TIFF = (".tif", ".tiff", ".btf")


def write_labels(
    path: str | Path,
    labels: ArrayLike,
    *,
    axes: str,
    pixel_size: Mapping[str, float] | None = None,
    description: Mapping[str, Any] | None = None,
) -> None:
    """Write labels as int32 (uint32 where ids need it), never narrowed.

    Parameters
    ----------
    path
        Ends in ``.tif`` or ``.tiff`` for compressed, tiled OME-TIFF, or ``.npy`` for
        the bare array. A file that is there is replaced, in one step.
    labels
        Integers; may be lazy: it is read in bands of rows.
    axes
        One letter of TZYX per axis of `labels`.
    pixel_size
        Micrometres by axis letter; axes that are missing stay unknown.
    description
        Provenance, stored as JSON and found again by `read_provenance`.

    Raises
    ------
    ImageFileError
        If the name, the ids or the disk do not allow it.
    AxesError
        If `axes` do not fit.
    """
    path = Path(path)
    letters = check_axes(axes, tuple(labels.shape))
    if "C" in letters:
        raise AxesError(
            f"Labels have no channels, but their axes are {letters}.",
            "Write one file per channel, or use write_image.",
        )
    check_suffix(path, "Labels")
    dtype = _labels_type(labels, path)
    if path.suffix.lower() == ".npy":
        _write_npy(path, labels, dtype)
        return
    metadata = _metadata(letters, pixel_size, description)
    _write_ome(path, labels, letters=letters, dtype=dtype, metadata=metadata)


def write_image(
    path: str | Path,
    image: ArrayLike,
    *,
    axes: str,
    pixel_size: Mapping[str, float] | None = None,
    channel_names: tuple[str, ...] = (),
    description: Mapping[str, Any] | None = None,
) -> None:
    """Write an image or probabilities, in their own type.

    Parameters
    ----------
    path
        As for `write_labels`.
    image
        Any real type up to 32-bit integers or 64-bit floats (float16 becomes
        float32); may be lazy. Three or four 8- or 16-bit channels that come last and
        have no names are written as colours.
    axes
        One letter of TCZYX per axis of `image`.
    pixel_size, description
        As for `write_labels`.
    channel_names
        One name per channel, or empty.

    Raises
    ------
    ImageFileError
        If the name, the type or the disk does not allow it.
    AxesError
        If `axes` or `channel_names` do not fit.
    """
    path = Path(path)
    letters = check_axes(axes, tuple(image.shape))
    check_suffix(path, "Images")
    dtype = np.dtype(image.dtype).newbyteorder("=")
    if path.suffix.lower() == ".npy":
        _write_npy(path, image, dtype)
        return
    dtype = np.dtype(np.float32) if dtype == np.float16 else dtype
    if dtype.str[1:] not in (*_OME_TYPES, "b1"):
        raise ImageFileError(
            f"OME-TIFF cannot hold {dtype} pixels.",
            "Convert the image to a type of up to 32 bits, or write .npy.",
        )
    stored = _colour_letters(letters, image, channel_names)
    metadata = _metadata(letters, pixel_size, description)
    if channel_names:
        _check_names(channel_names, letters, tuple(image.shape))
        metadata["Channel"] = {"Name": list(channel_names)}
    _write_ome(path, image, letters=stored, dtype=dtype, metadata=metadata)


def read_provenance(path: str | Path) -> dict[str, Any] | None:
    """Return the provenance in a file written here; None if there is none.

    Raises
    ------
    ImageFileError
        If the file does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist.", "Check the spelling.")
    try:
        with tifffile.TiffFile(path) as file:
            return provenance(file)
    except (tifffile.TiffFileError, OSError, ValueError):
        return None


def check_suffix(path: Path, what: str) -> None:
    """Raise `ImageFileError` if the name of `path` is not one that can be written."""
    suffix = path.suffix.lower()
    if suffix in (*_TIFF, ".npy"):
        return
    reasons = {
        ".png": "PNG keeps neither axes, pixel size nor more than 16 bits",
        ".zarr": "writing OME-Zarr is not supported here",
    }
    reason = reasons.get(suffix, "only .tif, .tiff and .npy can be written")
    raise ImageFileError(
        f"{what} cannot be written to {path.name}: {reason}.",
        f"Choose a name such as {path.with_suffix('.tif').name}.",
    )


def _labels_type(labels: ArrayLike, path: Path) -> np.dtype[Any]:
    """Return int32, or uint32 where an id needs it."""
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "biu":
        raise ImageFileError(
            f"Labels must be integers, not {dtype}.",
            "Write them with write_image, or round them first.",
        )
    if np.can_cast(dtype, np.int32):
        return np.dtype(np.int32)
    bounds = [(int(b.min()), int(b.max())) for b in _blocks(labels)]
    low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
    for fit in (np.int32, np.uint32):
        if np.iinfo(fit).min <= low and high <= np.iinfo(fit).max:
            return np.dtype(fit)
    if path.suffix.lower() == ".npy":
        wide: np.dtype[Any] = dtype.newbyteorder("=")
        return wide
    raise ImageFileError(
        f"Labels from {low} to {high} do not fit into 32 bits, which OME-TIFF needs.",
        "Renumber the objects, or write .npy.",
    )


def _blocks(array: ArrayLike) -> Iterator[npt.NDArray[Any]]:
    """Yield the array in pieces along its first axis."""
    for rows in _row_ranges(array):
        yield np.asarray(array[rows])


def _row_ranges(array: ArrayLike) -> Iterator[slice]:
    one = math.prod(array.shape[1:]) * np.dtype(array.dtype).itemsize
    step = max(1, BLOCK_BYTES // max(1, one))
    for start in range(0, array.shape[0], step):
        yield slice(start, min(start + step, array.shape[0]))


def _write_npy(path: Path, array: ArrayLike, dtype: np.dtype[Any]) -> None:
    with replacing(path) as temporary:
        out = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=dtype, shape=tuple(array.shape)
        )
        for rows in _row_ranges(array):
            out[rows] = np.asarray(array[rows])
        out.flush()
        del out  # Windows does not rename a file that is mapped


def _check_names(names: tuple[str, ...], letters: str, shape: tuple[int, ...]) -> None:
    count = shape[letters.index("C")] if "C" in letters else 1
    if len(names) != count:
        raise AxesError(
            f"{len(names)} channel names were given for {count} channel(s).",
            "Give one name per channel, or none.",
        )


def _colour_letters(letters: str, image: ArrayLike, names: tuple[str, ...]) -> str:
    colour = letters.endswith("YXC") and image.shape[-1] in (3, 4) and not names
    if colour and np.dtype(image.dtype) in (np.uint8, np.uint16):
        return letters[:-1] + SAMPLES
    return letters


def _metadata(
    letters: str,
    pixel_size: Mapping[str, float] | None,
    description: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what tifffile turns into OME-XML."""
    notes = {"Namespace": NAMESPACE, "axes": letters}
    if description is not None:
        notes["provenance"] = json.dumps(dict(description), default=str)
    metadata: dict[str, Any] = {"MapAnnotation": notes}
    for axis, size in (pixel_size or {}).items():
        if axis not in SPATIAL or not (math.isfinite(size) and size > 0):
            raise AxesError(
                f"A pixel size of {size} for axis {axis!r} makes no sense.",
                "Give micrometres above 0 for Z, Y or X.",
            )
        metadata[f"PhysicalSize{axis}"] = float(size)
        metadata[f"PhysicalSize{axis}Unit"] = "\N{MICRO SIGN}m"
    return metadata


def _write_ome(
    path: Path,
    array: ArrayLike,
    *,
    letters: str,
    dtype: np.dtype[Any],
    metadata: dict[str, Any],
) -> None:
    """Write pages in the order of `letters`, with Y and X (and samples) moved last."""
    page_letters = "YXS" if SAMPLES in letters else "YX"
    leading = "".join(a for a in letters if a not in page_letters)
    size = dict(zip(letters, array.shape, strict=True))
    shape = tuple(size[a] for a in leading + page_letters)
    tile = tuple(min(TILE, -(-size[a] // 16) * 16) for a in "YX")
    pages = [range(size[a]) for a in leading]
    read = _page_reader(array, letters, page_letters)
    with (
        replacing(path) as temporary,
        tifffile.TiffWriter(
            temporary, bigtiff=_needs_bigtiff(path, shape, dtype), ome=True
        ) as writer,
    ):
        writer.write(
            _tiles(read, pages, shape=shape, tile=tile, dtype=dtype),
            shape=shape,
            dtype=dtype,
            tile=tile,
            compression="zlib",
            photometric="rgb" if SAMPLES in letters else "minisblack",
            metadata={**metadata, "axes": leading + page_letters},
            **_resolution(metadata),
        )


def _needs_bigtiff(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return path.suffix.lower() == ".btf" or math.prod(shape) * dtype.itemsize > _BIG


def _resolution(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Repeat the pixel size in the tags that plain TIFF readers look at."""
    wide, high = (metadata.get(f"PhysicalSize{axis}") for axis in "XY")
    if wide is None or high is None:
        return {}
    per_cm = (1e4 / wide, 1e4 / high)
    return {"resolution": per_cm, "resolutionunit": "CENTIMETER"}


Reader = Callable[[tuple[int, ...], slice], npt.NDArray[Any]]


def _page_reader(array: ArrayLike, letters: str, page_letters: str) -> Reader:
    """Return a function that reads rows of one page, as (Y, X) or (Y, X, samples)."""
    leading = [a for a in letters if a not in page_letters]
    kept = [a for a in letters if a in page_letters]

    def read(page: tuple[int, ...], rows: slice) -> npt.NDArray[Any]:
        at = {**dict(zip(leading, page, strict=True)), "Y": rows}
        found = np.asarray(array[tuple(at.get(a, slice(None)) for a in letters)])
        return found.transpose([kept.index(a) for a in page_letters])

    return read


def _tiles(
    read: Reader,
    leading: list[range],
    *,
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Iterator[npt.NDArray[Any]]:
    """Yield full tiles in file order; a band of rows is in memory at a time."""
    height, width = shape[len(leading) : len(leading) + 2]
    for page in itertools.product(*leading):
        for top in range(0, height, tile[0]):
            band = read(page, slice(top, min(top + tile[0], height)))
            for left in range(0, width, tile[1]):
                piece = band[:, left : left + tile[1]]
                out = np.zeros((*tile, *band.shape[2:]), dtype)
                out[: piece.shape[0], : piece.shape[1]] = piece
                yield out
