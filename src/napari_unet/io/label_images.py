"""Label images in: whatever a program saved, as int32 with -1 for not annotated.

Besides plain label images there are palettes (the colour is for the eye, the index is
the id), grey pictures saved as colour, one mask per object, and single annotated
slices of a stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unet.core.label_axes import arrange_labels, as_label_ids
from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image
from napari_unet.io.source import ImageSource

Labels = NDArray[np.int32]
_NO_CHANNELS = "YX"


def read_labels(
    path: Path, *, ignore_label: int | None = None
) -> tuple[Labels, str, bool]:
    """Read one label image.

    Parameters
    ----------
    path
        A file, or labels inside OME-Zarr.
    ignore_label
        Value that means "not annotated", besides negative values.

    Returns
    -------
    labels
        int32, 0 background, -1 not annotated.
    axes
        One letter of TCZYX per axis.
    axes_known
        False if they are a guess.

    Raises
    ------
    ImageFileError
        If it is a colour picture, a JPEG, or holds no whole numbers.
    """
    _refuse_jpeg(path)
    source = read_image(path)
    try:
        pixels, axes = _single_channel(source)
    finally:
        source.close()
    try:
        ids = as_label_ids(pixels, name=path.name, ignore_label=ignore_label)
    except AxesError as error:
        raise ImageFileError(error.problem, error.remedy) from None
    return ids, axes, source.axes_known


def _refuse_jpeg(path: Path) -> None:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ImageFileError(
            f"{path.name} is a JPEG, which changes object numbers at their edges.",
            "Save the labels anew as TIFF or PNG from the program that made them.",
        )


def _single_channel(source: ImageSource) -> tuple[NDArray[Any], str]:
    """Return the pixels without colour, and their axes."""
    indices = _palette(source.path)
    if indices is not None:
        return indices, _NO_CHANNELS
    pixels = np.array(source.data)
    if not source.rgb:
        return pixels, source.axes
    first = pixels[..., 0]
    if not all(np.array_equal(first, pixels[..., i]) for i in (1, 2)):
        raise ImageFileError(
            f"{source.path.name} is a colour picture, not labels.",
            "Save one number per object in a single channel, as TIFF or 16-bit PNG.",
        )
    return first, source.axes.replace("C", "")


def _palette(path: Path) -> NDArray[np.int64] | None:
    """Return the indices of a picture with a palette; black counts as background."""
    if path.suffix.lower() != ".png":
        return None
    with Image.open(path) as picture:
        if picture.mode != "P":
            return None
        indices = np.asarray(picture).astype(np.int64)
        colours = np.reshape(picture.getpalette("RGB") or [], (-1, 3))
    black = np.flatnonzero(~colours.any(axis=1))
    used = np.intersect1d(black, indices)
    if 0 in black or not used.size:
        return indices
    return np.where(np.isin(indices, used), 0, indices + 1)


def merge_objects(paths: Sequence[Path]) -> Labels:
    """Merge one mask per object to labels 1, 2, ... in the order of the files.

    A pixel of two masks belongs to the first; empty masks get no number.

    Parameters
    ----------
    paths
        Masks (Y, X) of one size: above 0 is the object.

    Raises
    ------
    ImageFileError
        If a mask cannot be read, or differs in size.
    """
    merged: Labels | None = None
    count = 0
    for path in paths:
        mask = _flat(path) > 0
        if merged is None:
            merged = np.zeros(mask.shape, np.int32)
        if mask.shape != merged.shape:
            raise ImageFileError(
                f"{path} has the shape {mask.shape}, the masks before it "
                f"{merged.shape}.",
                "Give all masks of one image its size.",
            )
        free = mask & (merged == 0)
        count += bool(free.any())
        merged[free] = count
    if merged is None:
        raise ImageFileError("No masks were given.", "Name at least one.")
    return merged


def place_slices(
    paths: Sequence[Path],
    slices: Sequence[int],
    *,
    shape: tuple[int, ...],
    ignore_label: int | None = None,
) -> Labels:
    """Return a stack in which only some slices are annotated, the others -1.

    Parameters
    ----------
    paths
        Labels (Y, X), one per slice.
    slices
        Z of each.
    shape
        (Z, Y, X) of the stack.
    ignore_label
        See `read_labels`.

    Raises
    ------
    ImageFileError
        If a slice lies outside the stack or has another size.
    """
    stack = np.full(shape, -1, np.int32)
    for path, z in zip(paths, slices, strict=True):
        labels = _flat(path, ignore_label=ignore_label)
        if z >= shape[0] or labels.shape != shape[1:]:
            raise ImageFileError(
                f"{path} is slice {z} of shape {labels.shape}, but the stack has the "
                f"shape {shape}.",
                "Slices are counted from 0; check that both belong together.",
            )
        stack[z] = labels
    return stack


def _flat(path: Path, *, ignore_label: int | None = None) -> Labels:
    """Read labels of one plane, without axes of length 1."""
    labels, axes, _ = read_labels(path, ignore_label=ignore_label)
    size = dict(zip(axes, labels.shape, strict=True))
    plane = (size["Y"], size["X"])
    try:
        return arrange_labels(labels, axes, image_axes="YX", image_shape=plane)
    except AxesError as error:
        raise ImageFileError(f"{path}: {error.problem}", error.remedy) from None
