"""Training image: one annotated image or stack in memory, and other views of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.components import label_components
from napari_unet.core.pixel_size import PixelSize, spatial_pixel_size
from napari_unet.io.source import NOTHING

Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One annotated image or stack.

    Parameters
    ----------
    image
        (C, Y, X) or (C, Z, Y, X), dtype of the source; colour has 3 channels.
    labels
        (Y, X) or (Z, Y, X), int32: 0 background, -1 not annotated.
    name
        What it is called in messages.
    pixel_size
        Micrometres per pixel for the spatial axes that are known.
    rgb
        Whether the channels are red, green and blue.
    group
        Images of one group show the same cells (frames of a series); empty: none.
    normalised
        Whether `image` is float32 that was brought to the network's range already.
    classes
        Names of the classes, background first, where the data say; else empty.
    """

    image: NDArray[Any]
    labels: Labels
    name: str = ""
    pixel_size: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    rgb: bool = False
    group: str = ""
    normalised: bool = False
    classes: tuple[str, ...] = ()

    @property
    def axes(self) -> str:
        """Axes of the image: CYX or CZYX."""
        return "C" + "ZYX"[-self.labels.ndim :]


def by_components(image: TrainingImage) -> TrainingImage:
    """Return the image with one object per connected component of its labels.

    For masks of 0 and 255 or 0 and 1; objects that touch become one. What is not
    annotated stays so.
    """
    labels = label_components(image.labels > 0, connectivity=1)
    labels[image.labels < 0] = -1
    return replace(image, labels=labels)


def with_pixel_size(
    images: Sequence[TrainingImage], pixel_size: PixelSize | None
) -> list[TrainingImage]:
    """Return images of one pixel size, whatever their files say; None: as they are."""
    if pixel_size is None:
        return list(images)
    found = []
    for image in images:
        axes = image.axes[1:]
        sizes = spatial_pixel_size(pixel_size, axes)
        known = NOTHING if sizes is None else dict(zip(axes, sizes, strict=True))
        found.append(replace(image, pixel_size=known))
    return found


def as_planes(image: TrainingImage) -> list[TrainingImage]:
    """Return the annotated planes of a stack as 2-D images; a plane is returned as is.

    Planes belong to one group, since neighbours show the same cells.
    """
    if image.labels.ndim == 2:
        return [image]
    annotated = [z for z, plane in enumerate(image.labels) if (plane >= 0).any()]
    return [
        replace(
            image,
            image=image.image[:, z],
            labels=image.labels[z],
            name=f"{image.name}_z{z:03d}",
            pixel_size={a: n for a, n in image.pixel_size.items() if a != "Z"},
            group=image.group or image.name,
        )
        for z in annotated
    ]
