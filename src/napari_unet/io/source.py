"""What every reader returns: an image with its axes and its pixel size.

Readers only say what the file says (`Found`); what that means in the letters TCZYX is
decided here, once for all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_unet.core.axes import AXES, ArrayLike, check_axes, guess_axes
from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.lazy import LazyArray
from napari_unet.io.names import stem

SPATIAL = "ZYX"
SAMPLES = "S"
UNKNOWN = "?"
NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An image on disk (or in memory) and what is known about it.

    Parameters
    ----------
    data
        Array that is read by slicing; lazy where the format allows.
    axes
        One letter of TCZYX per axis of `data`; a colour image ends with C.
    pixel_size
        Micrometres per pixel for the spatial axes that are known.
    name
        Name without folder and suffixes.
    path
        Where it was read from.
    rgb
        Whether C holds red, green and blue, and perhaps alpha.
    axes_known
        False if the axes are a guess.
    channel_names
        One name per channel, or empty.
    chunks
        Shape of the pieces that are decoded at once; None if any slice is as cheap.
    """

    data: ArrayLike
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    name: str = ""
    path: Path = Path()
    rgb: bool = False
    axes_known: bool = True
    channel_names: tuple[str, ...] = ()
    chunks: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size per axis."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type, native byte order."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def close(self) -> None:
        """Close the file; lazy data cannot be read afterwards."""
        if isinstance(self.data, LazyArray):
            self.data.close()


@dataclass(frozen=True)
class Found:
    """What a reader found in a file, in the file's own terms.

    Parameters
    ----------
    array
        Array that understands one positive slice per axis.
    letters
        One letter per axis: TCZYX, `SAMPLES` for colour samples, `UNKNOWN`.
    pixel_size
        Micrometres per pixel by axis letter.
    channel_names
        One name per channel, or empty.
    chunks
        Shape of the pieces that are decoded at once.
    recorded
        Axes that this package wrote into the file; they bring back dropped axes of
        length 1 and the original order.
    close
        Closes the file.
    """

    array: Any
    letters: str
    pixel_size: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    channel_names: tuple[str, ...] = ()
    chunks: tuple[int, ...] | None = None
    recorded: str = ""
    close: Callable[[], None] | None = None


def settle(found: Found, path: Path, *, axes: str | None = None) -> ImageSource:
    """Turn what a reader found into an `ImageSource`.

    Parameters
    ----------
    found
        Array and letters as the file gives them.
    path
        Where it was read from.
    axes
        The user's word on the axes of the result; None: the file's, or a guess.

    Raises
    ------
    AxesError
        If `axes` do not fit, or no guess is possible.
    ImageFileError
        If the image is complex or holds no pixels.
    """
    _check_pixels(found, path)
    letters, order = _arrange(found, path)
    shape = tuple(1 if i is None else int(found.array.shape[i]) for i in order)
    known = UNKNOWN not in letters
    colour = letters.endswith(SAMPLES) and shape[-1] in (3, 4)
    guessed = _named(letters, shape, path, given=axes is not None)
    final = guessed if axes is None else _checked(axes, guessed, shape, path)
    kept = {a: v for a, v in found.pixel_size.items() if a in final and a in SPATIAL}
    names = found.channel_names
    return ImageSource(
        data=_view(found, order, path),
        axes=final,
        pixel_size=kept,
        name=stem(path),
        path=path,
        rgb=colour and final.endswith("C"),
        axes_known=known or axes is not None,
        channel_names=names if len(names) == _channels(final, shape) else (),
        chunks=_chunks(found, order),
    )


def _check_pixels(found: Found, path: Path) -> None:
    dtype = np.dtype(found.array.dtype)
    if dtype.kind == "c":
        raise ImageFileError(
            f"{path.name} holds complex numbers ({dtype}).",
            "Save the magnitude or the phase as a real image.",
        )
    if dtype.kind not in "biuf":
        raise ImageFileError(
            f"{path.name} holds {dtype} values, not pixels.",
            "Save the image as integers or floating-point numbers.",
        )
    if not 2 <= len(found.array.shape) <= len(AXES) + (SAMPLES in found.letters):
        raise ImageFileError(
            f"{path.name} holds an array of {len(found.array.shape)} axes "
            f"(shape {tuple(found.array.shape)}).",
            f"Save it with 2 to {len(AXES)} axes, out of {AXES}.",
        )
    if 0 in found.array.shape:
        raise ImageFileError(
            f"{path.name} holds no pixels (shape {tuple(found.array.shape)}).",
            "Write the file again; an axis of length 0 cannot be segmented.",
        )


def _arrange(found: Found, path: Path) -> tuple[str, tuple[int | None, ...]]:
    """Return the letters of the view and the source's axis for each of them."""
    pairs = _without_singletons(found)
    letters = [letter for letter, _ in pairs]
    if SAMPLES in letters and "C" in letters:
        raise ImageFileError(
            f"{path.name} holds both channels and colour samples "
            f"(shape {tuple(found.array.shape)}, axes {found.letters}).",
            "Save the colour image, or its channels, in a file of its own.",
        )
    pairs.sort(key=lambda pair: pair[0] == SAMPLES)
    place = dict(pairs)
    asked = found.recorded.replace("C", SAMPLES if SAMPLES in place else "C")
    if asked and UNKNOWN not in place and set(place) <= set(asked):
        return asked, tuple(place.get(letter) for letter in asked)
    return "".join(x for x, _ in pairs), tuple(i for _, i in pairs)


def _without_singletons(found: Found) -> list[tuple[str, int]]:
    """Drop a lone colour sample, or a lone channel beside colour samples."""
    colours = SAMPLES in found.letters
    drop = {SAMPLES, "C"} if colours else set()
    sizes = found.array.shape
    samples = sizes[found.letters.index(SAMPLES)] if colours else 1
    if samples == 1:
        drop = {SAMPLES}
    return [
        (letter, i)
        for i, letter in enumerate(found.letters)
        if not (letter in drop and sizes[i] == 1)
    ]


def _named(letters: str, shape: tuple[int, ...], path: Path, *, given: bool) -> str:
    """Replace unknown letters by a guess, and colour samples by C."""
    if UNKNOWN not in letters:
        return letters.replace(SAMPLES, "C")
    rgb = letters.endswith(SAMPLES)
    try:
        if set(letters) <= {UNKNOWN, "Y", "X", SAMPLES}:
            return guess_axes(shape, rgb=rgb)
        return _filled(letters.replace(SAMPLES, "C"), shape)
    except AxesError as error:
        if given:
            return letters.replace(SAMPLES, "C")
        raise AxesError(f"{path.name}: {error.problem}", error.remedy) from None


def _filled(letters: str, shape: tuple[int, ...]) -> str:
    """Give unknown letters the free ones, Z nearest to the plane."""
    free = [letter for letter in "ZTC" if letter not in letters]
    if letters.count(UNKNOWN) > len(free):
        raise AxesError(
            f"The axes of an array of shape {shape} cannot be guessed.",
            "Name them with a string of the letters T, C, Z, Y and X, such as TZYX.",
        )
    backwards = [free.pop(0) if a == UNKNOWN else a for a in reversed(letters)]
    return "".join(reversed(backwards))


def _checked(axes: str, found: str, shape: tuple[int, ...], path: Path) -> str:
    try:
        return check_axes(axes, shape)
    except AxesError as error:
        raise AxesError(
            f"{path.name}: {error.problem}",
            f"The file holds shape {shape}, read as {found}: give axes that fit, out "
            f"of {AXES}.",
        ) from None


def _view(found: Found, order: tuple[int | None, ...], path: Path) -> ArrayLike:
    array = found.array
    same = order == tuple(range(array.ndim))
    if isinstance(array, np.ndarray) and same and array.dtype.isnative:
        return array
    return LazyArray(array, order, name=path.name, close=found.close)


def _chunks(found: Found, order: tuple[int | None, ...]) -> tuple[int, ...] | None:
    if found.chunks is None:
        return None
    return tuple(1 if i is None else int(found.chunks[i]) for i in order)


def _channels(axes: str, shape: tuple[int, ...]) -> int:
    return shape[axes.index("C")] if "C" in axes else 1
