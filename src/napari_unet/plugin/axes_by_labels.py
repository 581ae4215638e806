"""Axes by labels: labels of an image tell which of its axes holds channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.core.axes import guess_axes
from napari_unet.plugin.layers import LayerImage, full_pixels, part_of, read_layer

if TYPE_CHECKING:
    from napari.layers import Image, Labels

# A longer axis is rather slices or frames, of which the labels show one.
MOST_CHANNELS = 8


def read_under(image: Image, labels: Labels) -> LayerImage:
    """Return what an image layer holds, read such that labels lie on it.

    Guessed axes give way where the labels lack one short axis: those are the channels.

    Parameters
    ----------
    image
        Any image layer.
    labels
        Of its shape without C, or of a part of that.
    """
    found = read_layer(image)
    if found.axes_known or "C" in found.axes:
        return found
    part = part_of(labels)
    shape = tuple(full_pixels(labels).shape if part is None else part["of"])
    axes = axes_with_channels(found.axes, tuple(found.data.shape), shape)
    return read_layer(image, axes) if axes else found


def axes_with_channels(
    guessed: str, shape: tuple[int, ...], labels: tuple[int, ...]
) -> str:
    """Return the axes of an image in which C is the one that its labels lack.

    Parameters
    ----------
    guessed
        Axes of the image, as its shape alone suggests.
    shape, labels
        Of the image and of its labels.

    Returns
    -------
    str
        Empty if there is no such axis, or more than one.
    """
    lacking = [
        i
        for i, n in enumerate(shape)
        if 1 < n <= MOST_CHANNELS and (*shape[:i], *shape[i + 1 :]) == labels
    ]
    if len(lacking) != 1 or len(labels) < 2:
        return ""
    at = lacking[0]
    rest = guessed[:at] + guessed[at + 1 :]
    if not {"Y", "X"} <= set(rest):
        rest = guess_axes(labels)
    return f"{rest[:at]}C{rest[at:]}"
