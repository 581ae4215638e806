"""Pictures: PNG and JPEG as grey or colour images.

Many microscopes and challenges save grey images as colour pictures; a picture whose
colours are all equal is therefore grey. Alpha is kept only where it says something.
"""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from napari_unet.errors import ImageFileError
from napari_unet.io.source import Found

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I", "F")
_DECODING = (OSError, ValueError, SyntaxError, RuntimeError, EOFError, struct.error)


def read_picture(path: Path) -> Found:
    """Read a PNG or JPEG file into memory.

    Raises
    ------
    ImageFileError
        If it cannot be decoded or is too large to be read in one piece.
    """
    try:
        pixels = _png_16(path) if _is_png_16_colour(path) else _decode(path)
    except UnidentifiedImageError:
        raise ImageFileError(
            f"{path.name} is not a PNG or JPEG picture.",
            "Check where it comes from, or give it the suffix of its real format.",
        ) from None
    except Image.DecompressionBombError:
        raise ImageFileError(
            f"{path.name} is too large for a picture, which must be read in one piece.",
            "Save it as tiled OME-TIFF or OME-Zarr.",
        ) from None
    except _DECODING as error:
        raise ImageFileError(
            f"{path.name} is damaged or was cut off ({error}).",
            "Copy it again from its source.",
        ) from error
    plain = simplify(pixels)
    return Found(plain, "YX" if plain.ndim == 2 else "YXS")


def simplify(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Reduce a picture to grey where its colours are equal; drop an idle alpha.

    Parameters
    ----------
    pixels
        (Y, X) or (Y, X, samples) with 1 to 4 samples, alpha last.

    Returns
    -------
    numpy.ndarray
        (Y, X), or (Y, X, 3), or (Y, X, 4) where alpha varies; same dtype.
    """
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    red, green, blue = (pixels[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(red)
    if pixels.shape[2] == 4 and (pixels[..., 3] == pixels[0, 0, 3]).all():
        return np.ascontiguousarray(pixels[..., :3])
    return pixels


def _decode(path: Path) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as picture:
            if picture.format not in ("PNG", "JPEG", "MPO"):
                raise UnidentifiedImageError(picture.format)
            return np.asarray(_plain(picture))


def _plain(picture: Image.Image) -> Image.Image:
    """Return the picture in a mode that NumPy understands."""
    if picture.mode in _PLAIN_MODES:
        return picture
    transparent = picture.mode == "PA" or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def _is_png_16_colour(path: Path) -> bool:
    """Whether the file is a PNG with 16 bits and several samples per pixel.

    Pillow would silently reduce it to 8 bits.
    """
    with path.open("rb") as file:
        head = file.read(26)
    return head[:4] == b"\x89PNG" and head[24:25] == b"\x10" and head[25:26] > b"\0"


def _png_16(path: Path) -> npt.NDArray[Any]:
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))
