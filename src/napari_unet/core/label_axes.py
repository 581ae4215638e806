"""Axes of an image and its labels: brought into agreement, or refused with the reason.

Files often say little about axes, and labels are written by other programs than the
images. Together they say more: an axis that the labels lack is the image's channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import guess_axes
from napari_unet.errors import AxesError

Shape = tuple[int, ...]


def guess_pair_axes(image: Shape, labels: Shape, *, labels_axes: str = "") -> str:
    """Guess the axes of an image from the shape of its labels.

    The one axis that the labels lack is C; the others are the labels'.

    Parameters
    ----------
    image, labels
        Shapes of two arrays that belong together.
    labels_axes
        One letter per axis of the labels; empty: YX, ZYX or TZYX.

    Returns
    -------
    str
        One letter of TCZYX per axis of the image. If the labels tell nothing, the
        guess for an image without labels.

    Raises
    ------
    AxesError
        If more than one axis could be the channels, or no guess is possible.
    """
    places = [i for i in range(len(image)) if image[:i] + image[i + 1 :] == labels]
    if len(places) > 1 and image[places[0]] > 1:
        raise AxesError(
            f"Which axis of an image of shape {image} holds channels cannot be told "
            f"from labels of shape {labels}.",
            "Name the axes of the image, such as CYX.",
        )
    if places:
        letters = labels_axes or guess_axes(labels)
        return letters[: places[0]] + "C" + letters[places[0] :]
    return labels_axes if labels_axes and image == labels else guess_axes(image)


def arrange_labels(
    labels: NDArray[Any], axes: str, *, image_axes: str, image_shape: Shape
) -> NDArray[Any]:
    """Return a view of labels with the image's axes without C.

    Axes are matched by their letters; where that fails, by their sizes in order, since
    many programs mix up T, Z and C. Axes of length 1 may be there or not.

    Parameters
    ----------
    labels
        Labels, any dtype.
    axes
        One letter per axis of `labels`; empty if unknown.
    image_axes, image_shape
        Of the image.

    Raises
    ------
    AxesError
        If labels and image differ in size.
    """
    pairs = [p for p in zip(image_axes, image_shape, strict=True) if p[0] != "C"]
    wanted = tuple(size for _, size in pairs)
    order = _order_by_letters(labels.shape, axes, pairs)
    if order is not None:
        return labels.transpose(order).reshape(wanted)
    if _squeezed(labels.shape) == _squeezed(wanted):
        return labels.reshape(wanted)
    raise _differ(labels.shape, wanted)


def _order_by_letters(
    shape: Shape, axes: str, pairs: Sequence[tuple[str, int]]
) -> list[int] | None:
    """Return the order of the labels' axes that gives the image's, if letters fit."""
    sizes = dict(zip(axes, shape, strict=False))
    if any(sizes.get(letter, 1) != size for letter, size in pairs):
        return None
    letters = [letter for letter, _ in pairs]
    others = [i for i in range(len(shape)) if axes[i : i + 1] not in letters]
    if any(shape[i] != 1 for i in others):
        return None
    return [*others, *(axes.index(letter) for letter in letters if letter in axes)]


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _differ(labels: Shape, image: Shape) -> AxesError:
    problem = f"Labels have the shape {labels}, but the image {image} (without C)."
    if _squeezed(labels) == _squeezed(image)[::-1]:
        return AxesError(
            problem, "They look transposed: swap the axes of one, or name them."
        )
    if len(labels) == len(image) + 1 and labels[-1] in (3, 4):
        return AxesError(
            problem, "They look like a colour picture: save one number per object."
        )
    factor = _factor(labels, image)
    if factor:
        return AxesError(
            problem,
            f"They look {factor}: resample the labels without interpolation.",
        )
    return AxesError(
        problem, "Check that they belong together, and name the axes of the image."
    )


def _factor(labels: Shape, image: Shape) -> str:
    """Say by which whole number labels are smaller or larger than the image."""
    if len(labels) != len(image):
        return ""
    ratios = {image[i] / labels[i] for i in range(len(image)) if image[i] != labels[i]}
    ratio = ratios.pop()
    if ratios:
        return ""
    if ratio.is_integer():
        return f"{int(ratio)} times smaller"
    return f"{int(1 / ratio)} times larger" if (1 / ratio).is_integer() else ""


def as_label_ids(
    array: Any, *, name: str = "labels", ignore_label: int | None = None
) -> NDArray[np.int32]:
    """Return labels as int32: 0 background, -1 not annotated.

    Parameters
    ----------
    array
        Labels of any shape and of any type that holds whole numbers.
    name
        What they are called in a message.
    ignore_label
        Value that means "not annotated"; negative values always do.

    Returns
    -------
    numpy.ndarray
        A new array. Ids are kept, unless one exceeds int32: then all are renumbered
        in order.

    Raises
    ------
    AxesError
        If they are not whole numbers.
    """
    found = _whole_numbers(np.asarray(array), name)
    ignored = found < 0
    if ignore_label is not None:
        ignored |= found == ignore_label
    kept = np.where(ignored, 0, found)
    if kept.size and int(kept.max()) > np.iinfo(np.int32).max:
        values, inverse = np.unique(kept, return_inverse=True)
        kept = inverse.reshape(kept.shape) + int(values[0] > 0)
    ids = kept.astype(np.int32)
    ids[ignored] = -1
    return ids


def _whole_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return integers, from floating point if nothing is lost."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "f":
        if np.isfinite(array).all() and (array == np.rint(array)).all():
            return array.astype(np.int64)
        raise AxesError(
            f"{name} holds fractions or NaN ({array.dtype}), not object numbers.",
            "Save integers: 0 for background and one number per object; probabilities "
            "need a threshold first.",
        )
    raise AxesError(
        f"{name} holds {array.dtype} values, not object numbers.",
        "Save integers: 0 for background and one number per object.",
    )
