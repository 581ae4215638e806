"""Parts of images, and which are trained on and which are validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Region = tuple[slice, ...]
Labels = NDArray[Any]
NO_CLASS = 255
"""Class number that means "not annotated", as negative ones do."""


@dataclass(frozen=True)
class Part:
    """An image, or a region of one.

    Parameters
    ----------
    image
        Position in the list of images.
    region
        Slices along the spatial axes.
    cut
        Whether `region` is less than the image.
    """

    image: int
    region: Region
    cut: bool = False

    def image_of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the view of (C, [Z,] Y, X) that belongs to this part."""
        whole = (slice(None),) * (image.ndim - len(self.region))
        return image[whole + self.region]

    def labels_of(
        self, labels: NDArray[Any], *, semantic: bool = False
    ) -> NDArray[Any]:
        """Return the labels ([Z,] Y, X) of this part.

        Parameters
        ----------
        labels
            Labels of the whole image.
        semantic
            Whether labels are classes. Otherwise objects that reach beyond the part
            become -1, not annotated: half of an object is neither learnt nor scored,
            and no object is on both sides. (An object at the border of the image
            itself is kept.)
        """
        inside = labels[self.region]
        if semantic or not self.cut:
            return inside
        beyond = labels.copy()
        beyond[self.region] = 0
        crossing = np.intersect1d(inside[inside > 0], beyond)
        return np.where(np.isin(inside, crossing), np.int32(-1), inside)


@dataclass(frozen=True)
class Split:
    """What is trained on and what is validated on.

    Parameters
    ----------
    train, validation
        Parts of images; no pixel is in both unless `leaks`.
    note
        How it was split, one sentence.
    warning
        Why scores on validation will be too good, one sentence; empty if they are not.
    leaks
        Whether validation shows pixels that are trained on.
    """

    train: tuple[Part, ...]
    validation: tuple[Part, ...]
    note: str
    warning: str = ""
    leaks: bool = False


def whole_images(labels: Sequence[Labels], chosen: Sequence[int]) -> tuple[Part, ...]:
    """Return all of the chosen images."""
    return tuple(Part(i, tuple(map(slice, labels[i].shape))) for i in chosen)


def classes_in(labels: Labels) -> frozenset[int]:
    """Return the classes that occur, background included."""
    return frozenset(n for n in np.unique(labels).tolist() if n >= 0 and n != NO_CLASS)
