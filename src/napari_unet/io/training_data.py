"""Training data: pairs of files or arrays as images and labels that fit together.

Everything after this module sees one form: (C, [Z,] Y, X) and int32 labels with 0 for
background and -1 for not annotated, one frame each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import check_axes, plan_axes
from napari_unet.core.label_axes import arrange_labels, as_label_ids, guess_pair_axes
from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image
from napari_unet.io.label_images import merge_objects, place_slices, read_labels
from napari_unet.io.pairs import Pair
from napari_unet.io.source import NOTHING, ImageSource
from napari_unet.io.training_image import Labels, TrainingImage


@dataclass(frozen=True, eq=False)
class _Image:
    """An image in memory, before its labels are known."""

    data: NDArray[Any]
    axes: str
    known: bool
    rgb: bool = False
    pixel_size: Mapping[str, float] = field(default_factory=lambda: NOTHING)


def load_pairs(
    pairs: Iterable[Pair], *, axes: str | None = None, ignore_label: int | None = None
) -> list[TrainingImage]:
    """Load several pairs, such as a `Pairing`; see `load_pair`."""
    return [
        image
        for pair in pairs
        for image in load_pair(pair, axes=axes, ignore_label=ignore_label)
    ]


def load_pair(
    pair: Pair, *, axes: str | None = None, ignore_label: int | None = None
) -> list[TrainingImage]:
    """Read the files of one pair into memory.

    Parameters
    ----------
    pair
        Files that belong together, as `find_pairs` finds them.
    axes
        Axes of the image files, where they are wrong or missing.
    ignore_label
        Value in the labels that means "not annotated", besides negative ones; None:
        the pair's own, if it has one.

    Returns
    -------
    list of TrainingImage
        One, or one per frame of a series; frames without any annotation are left out
        if others have some.

    Raises
    ------
    ImageFileError
        If a file cannot be read, or is no label image.
    AxesError
        If image and labels differ in size.
    """
    ignored = pair.ignore_label if ignore_label is None else ignore_label
    image = _read_channels(pair.images, axes)
    try:
        image, labels = _read_pair_labels(pair, image, ignore_label=ignored)
    except AxesError as error:
        raise AxesError(f"{pair.name}: {error.problem}", error.remedy) from None
    frames = _frames(image, labels, name=pair.name, group=pair.group)
    return [replace(frame, classes=pair.classes) for frame in frames]


def from_arrays(
    pairs: Sequence[tuple[Any, Any]],
    *,
    axes: str | None = None,
    ignore_label: int | None = None,
) -> list[TrainingImage]:
    """Check pairs of arrays and bring them into one form.

    Parameters
    ----------
    pairs
        (image, labels), NumPy or what can be turned into it. Without `axes`, an axis
        that the labels lack is C: (Y, X), (Z, Y, X), (C, Y, X), (Y, X, 3), ...
    axes
        One letter of TCZYX per axis of every image.
    ignore_label
        Value in the labels that means "not annotated", besides negative ones.

    Returns
    -------
    list of TrainingImage
        In the order given, named ``image 1``, ``image 2``, ...; series as one per
        frame.

    Raises
    ------
    AxesError
        If these are no pairs, an image and its labels differ in size, or labels hold
        no whole numbers.
    """
    images: list[TrainingImage] = []
    for number, pair in enumerate(pairs, start=1):
        name = f"image {number}"
        try:
            image, labels = _check_pair(pair)
            ids = as_label_ids(labels, ignore_label=ignore_label)
            settled = _settle(_from_array(image, axes), ids, "")
            images += _frames(*settled, name=name, group="")
        except AxesError as error:
            raise AxesError(f"{name}: {error.problem}", error.remedy) from None
    if not images:
        raise AxesError("No annotated images were given.", "Give at least one pair.")
    return images


def _read_channels(paths: Sequence[Path], axes: str | None) -> _Image:
    """Read one image, or one file per channel."""
    images = [_read(path, axes) for path in paths]
    first = images[0]
    if len(images) == 1:
        return first
    for path, image in zip(paths, images, strict=True):
        if (image.axes, image.data.shape) != (first.axes, first.data.shape):
            raise ImageFileError(
                f"{path.name} has the shape {image.data.shape}, but the first channel "
                f"of the image {first.data.shape}.",
                "Give all channels of an image one size.",
            )
        if "C" in image.axes:
            raise ImageFileError(
                f"{path.name} is one channel of an image, but holds channels itself.",
                "Save one channel per file, or all in one file.",
            )
    return replace(
        first, data=np.stack([image.data for image in images]), axes=f"C{first.axes}"
    )


def _read(path: Path, axes: str | None) -> _Image:
    source = read_image(path, axes=axes)
    try:
        return _from_source(source)
    finally:
        source.close()


def _from_source(source: ImageSource) -> _Image:
    data = np.array(source.data)  # in memory: patches are cut from it over and over
    return _Image(
        data[..., :3] if source.rgb else data,
        source.axes,
        known=source.axes_known,
        rgb=source.rgb,
        pixel_size=source.pixel_size,
    )


def _read_pair_labels(
    pair: Pair, image: _Image, *, ignore_label: int | None
) -> tuple[_Image, Labels]:
    """Return the image with its axes settled, and the labels in its axes without C."""
    if pair.parts == "slices":
        return image, _read_slices(pair, image, ignore_label=ignore_label)
    if pair.parts == "objects":
        labels, axes = merge_objects(pair.labels), "YX"
    else:
        labels, axes, known = read_labels(pair.labels[0], ignore_label=ignore_label)
        axes = axes if known else ""
    return _settle(image, labels, axes)


def _read_slices(pair: Pair, image: _Image, *, ignore_label: int | None) -> Labels:
    size = dict(zip(image.axes, image.data.shape, strict=True))
    others = [a for a in image.axes if a not in "CZYX" and size[a] > 1]
    if "Z" not in size or others:
        raise ImageFileError(
            f"{pair.name} is annotated by slices, but has the axes {image.axes}.",
            "Name its axes ZYX, or save it as a stack.",
        )
    shape = (size["Z"], size["Y"], size["X"])
    stack = place_slices(
        pair.labels, pair.slices, shape=shape, ignore_label=ignore_label
    )
    return arrange_labels(
        stack, "ZYX", image_axes=image.axes, image_shape=image.data.shape
    )


def _settle(image: _Image, labels: Labels, axes: str) -> tuple[_Image, Labels]:
    """Let labels say what the axes of the image are, if nothing else does."""
    shape = image.data.shape
    if not image.known and "C" not in image.axes:
        found = guess_pair_axes(shape, labels.shape, labels_axes=axes)
        image = _coloured(replace(image, axes=found))
    return image, arrange_labels(labels, axes, image_axes=image.axes, image_shape=shape)


def _coloured(image: _Image) -> _Image:
    """Take 3 or 4 samples at the end for colour, and drop alpha."""
    samples = image.axes.endswith("C") and image.data.shape[-1] in (3, 4)
    if not samples or image.data.dtype not in (np.uint8, np.uint16):
        return image
    return replace(image, data=image.data[..., :3], rgb=True)


def _check_pair(pair: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise AxesError(
            "This is no pair of an image and its labels.",
            "Give a list of (image, labels), such as [(image1, labels1)].",
        )
    image, labels = (np.asarray(array) for array in pair)
    if image.dtype.kind not in "biuf":
        raise AxesError(
            f"The image holds {image.dtype} values, not pixels.",
            "Give integers or floating-point numbers.",
        )
    if labels.ndim > 2 and labels.shape[-1] in (3, 4) and labels.shape == image.shape:
        raise AxesError(
            f"Labels of the shape {labels.shape} look like a colour picture.",
            "Give one number per object, 0 for background.",
        )
    return image, labels


def _from_array(image: NDArray[Any], axes: str | None) -> _Image:
    if axes is None:
        return _Image(image, "", known=False)
    return _coloured(_Image(image, check_axes(axes, image.shape), known=True))


def _frames(
    image: _Image, labels: Labels, *, name: str, group: str
) -> list[TrainingImage]:
    """Cut a series into frames, and order the axes."""
    size = dict(zip(image.axes, image.data.shape, strict=True))
    stack, series = size.get("Z", 1) > 1, size.get("T", 1) > 1
    plan = plan_axes(image.axes, image.data.shape, ndim=2 + stack)
    whole = (slice(None),) * len(plan.spatial)
    frames = [
        TrainingImage(
            np.ascontiguousarray(plan.read(image.data, at, whole)),
            np.ascontiguousarray(plan.labels_view(labels, at)),
            f"{name}_t{at['T']:03d}" if series else name,
            image.pixel_size,
            image.rgb,
            group or (name if series else ""),
        )
        for at in plan.samples()
    ]
    return [f for f in frames if (f.labels >= 0).any()] or frames
