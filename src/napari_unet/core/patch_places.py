"""Pixels and objects of one image, kept so that one of them can be drawn quickly.

A list of all candidate pixels would be larger than the image. Counts per line are
enough: a number drawn below their sum tells the line, and only that line is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_unet.core.nearest_cells import as_cell_ids

Pixel = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PixelChoice:
    """The pixels of `array` with values from `low` to `high`, each as likely.

    Parameters
    ----------
    array
        Not copied, not changed.
    low, high
        Values, both included.
    up_to
        How many such pixels lie in the lines (along the last axis) up to each.
    """

    array: NDArray[Any]
    low: int
    high: int
    up_to: NDArray[np.int64]

    @classmethod
    def find(cls, array: NDArray[Any], low: int, high: int) -> Self:
        """Count the pixels of each line."""
        counts = [
            np.count_nonzero((part >= low) & (part <= high), axis=-1).ravel()
            for part in array
        ]
        return cls(array, low, high, np.cumsum(np.concatenate(counts), dtype=np.int64))

    @property
    def n_pixels(self) -> int:
        """How many pixels there are to choose from."""
        return int(self.up_to[-1])

    def draw(self, rng: np.random.Generator) -> Pixel:
        """Draw one of the pixels; there must be one."""
        rank = int(rng.integers(self.n_pixels))
        line = int(np.searchsorted(self.up_to, rank, side="right"))
        place = np.unravel_index(line, self.array.shape[:-1])
        values = self.array[place]
        found = np.flatnonzero((values >= self.low) & (values <= self.high))
        before = int(self.up_to[line - 1]) if line else 0
        return (*(int(p) for p in place), int(found[rank - before]))


@dataclass(frozen=True, eq=False)
class ObjectChoice:
    """The objects of an image, each as likely whatever its size.

    Parameters
    ----------
    ids
        int32, 0 = background, negative = not annotated.
    objects
        Id and bounding box of each.
    """

    ids: NDArray[np.int32]
    objects: tuple[tuple[int, tuple[slice, ...]], ...]

    @classmethod
    def find(cls, labels: NDArray[Any]) -> Self:
        """Measure the bounding boxes."""
        ids = as_cell_ids(labels)
        boxes = enumerate(find_objects(np.maximum(ids, 0)), start=1)
        return cls(ids, tuple((i, box) for i, box in boxes if box is not None))

    def draw(self, rng: np.random.Generator) -> Pixel:
        """Draw an object, then one of its pixels; there must be an object."""
        identity, box = self.objects[int(rng.integers(len(self.objects)))]
        found = np.flatnonzero(self.ids[box] == identity)
        at = np.unravel_index(int(rng.choice(found)), self.ids[box].shape)
        return tuple(int(p) + part.start for p, part in zip(at, box, strict=True))


def count_classes(target: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each of the values 0 to 255 occurs."""
    return sum(
        (np.bincount(part.ravel(), minlength=256) for part in target),
        np.zeros(256, np.int64),
    )
