"""Images in: one function for every format, chosen by what the path holds.

Every refusal is one sentence on what was found and one on what to do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unet.errors import ImageFileError, UNetError
from napari_unet.io.names import (
    IMAGE_SUFFIXES,
    PICTURE_SUFFIXES,
    TIFF_SUFFIXES,
    is_zarr,
)
from napari_unet.io.pictures import read_picture
from napari_unet.io.source import UNKNOWN, Found, ImageSource, settle
from napari_unet.io.tiff import read_tiff
from napari_unet.io.zarr_images import read_zarr

__all__ = ["ImageSource", "read_image"]


def read_image(
    path: str | Path, *, axes: str | None = None, series: int = 0
) -> ImageSource:
    """Open an image: TIFF, OME-TIFF, OME-Zarr, zarr, PNG, JPEG or .npy.

    TIFF, zarr and .npy are read lazily: pixels are fetched when `data` is sliced.

    Parameters
    ----------
    path
        A file, or a folder that holds a zarr group or array.
    axes
        One letter of TCZYX per axis, where the file is wrong or says nothing.
    series
        Index of the image in a file that holds several.

    Raises
    ------
    ImageFileError
        If there is no image, or it is damaged, or of a kind that is not supported.
    AxesError
        If `axes` do not fit the image, or it has more axes than can be named.
    """
    path = Path(path)
    found = _read(path, series)
    try:
        return settle(found, path, axes=axes)
    except UNetError:
        if found.close is not None:
            found.close()
        raise


def _read(path: Path, series: int) -> Found:
    if not path.exists():
        raise ImageFileError(
            f"{path} does not exist.", "Check the spelling and the current folder."
        )
    if is_zarr(path):
        return read_zarr(path, series=series)
    if path.is_dir():
        raise ImageFileError(
            f"{path} is a folder, not an image.",
            "Name an image in it, or use list_images to find all of them.",
        )
    try:
        return _read_file(path, series)
    except PermissionError:
        raise ImageFileError(
            f"{path} may not be read.", "Ask for permission, or copy the file."
        ) from None


def _read_file(path: Path, series: int) -> Found:
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageFileError(
            f"{path.name} is of no kind that can be read here.",
            "Save it as one of: OME-Zarr, " + ", ".join(IMAGE_SUFFIXES) + ".",
        )
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path.name} is empty.", "Copy it again from its source.")
    if suffix in TIFF_SUFFIXES:
        return read_tiff(path, series=series)
    _check_single(path, series)
    return read_picture(path) if suffix in PICTURE_SUFFIXES else _read_npy(path)


def _check_single(path: Path, series: int) -> None:
    if series != 0:
        raise ImageFileError(
            f"{path.name} holds one image and has no series {series}.",
            "Leave series at 0.",
        )


def _read_npy(path: Path) -> Found:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ImageFileError(
            f"{path.name} is not a NumPy array of pixels ({str(error).rstrip('.')}).",
            "Save the image itself, as TIFF or with numpy.save.",
        ) from None
    return Found(array, UNKNOWN * array.ndim)
