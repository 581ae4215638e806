"""Sums over the pixels of each object, while bands of an image go by.

One pass over labels and image gives number, place, box and brightness of all objects.
Every sum runs over the pixels in raster order, so the height of the bands does not show
in the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import ArrayLike
from napari_unet.core.components import compiled
from napari_unet.core.overlap import label_array, label_runs, refuse_negative

Key = tuple[int | slice, ...]

BAND_PIXELS = 2**21


def bands(shape: tuple[int, ...]) -> Iterator[Key]:
    """Yield keys of at most about `BAND_PIXELS` pixels, in raster order."""
    height, width = shape[-2:]
    rows = max(1, BAND_PIXELS // max(1, width))
    for plane in np.ndindex(*shape[:-2]):
        for top in range(0, height, rows):
            yield (*plane, slice(top, min(top + rows, height)), slice(0, width))


def start_of(key: Key) -> tuple[int, int]:
    """Return the plane and the first row of a band."""
    *plane, rows, _ = (k if isinstance(k, int) else k.start for k in key)
    return (plane[0] if plane else 0), rows


def find_ids(labels: ArrayLike) -> NDArray[Any]:
    """Return the ids that occur, ascending, without 0."""
    found = [label_array(np.zeros(0, labels.dtype))]
    for key in bands(tuple(labels.shape)):
        (values,), _ = label_runs(label_array(labels[key]))
        found.append(np.unique(values))
    ids = np.unique(np.concatenate(found))
    refuse_negative(ids)
    objects: NDArray[Any] = ids[ids != 0]
    return objects


def number_objects(labels: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels in which `ids` are replaced by 1, 2, 3, ..."""
    (values,), lengths = label_runs(labels)
    numbers = np.where(values == 0, 0, np.searchsorted(ids, values) + 1)
    return np.repeat(numbers.astype(np.int32), lengths).reshape(labels.shape)


@dataclass(frozen=True, eq=False)
class ObjectSums:
    """What is added up for each object while the bands go by; row 0 is background.

    `place` holds sums of Z, Y, X; `low` and `high` the box, inclusive; `total`,
    `least` and `most` the intensities, one column per channel.
    """

    n_pixels: NDArray[np.int64]
    place: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    total: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]

    @classmethod
    def of(cls, n_objects: int, n_channels: int) -> ObjectSums:
        """Return sums over no pixel yet."""
        rows, channels = n_objects + 1, (n_channels, n_objects + 1)
        return cls(
            np.zeros(rows, np.int64),
            np.zeros((rows, 3), np.int64),
            np.full((rows, 3), np.iinfo(np.int64).max),
            np.full((rows, 3), -1),
            np.zeros(channels),
            np.full(channels, np.inf),
            np.full(channels, -np.inf),
        )

    @property
    def area(self) -> NDArray[np.int64]:
        """Pixels of each object."""
        return self.n_pixels[1:]

    def add(self, numbers: NDArray[np.int32], start: tuple[int, int]) -> None:
        """Add where the pixels of a band lie."""
        _add_places(numbers, start, self.n_pixels, self.place, (self.low, self.high))

    def add_channel(
        self, channel: int, numbers: NDArray[np.int32], pixels: NDArray[Any]
    ) -> None:
        """Add how bright the pixels of a band are."""
        values = np.ascontiguousarray(pixels, np.float64)
        extremes = self.least[channel], self.most[channel]
        _add_values(numbers, values, self.total[channel], extremes)


@compiled
def _add_places(
    numbers: NDArray[np.int32],
    start: tuple[int, int],
    n_pixels: NDArray[np.int64],
    place: NDArray[np.int64],
    box: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    low, high = box
    height, width = numbers.shape
    for row in range(height):
        for x in range(width):
            number = numbers[row, x]
            if number == 0:
                continue
            n_pixels[number] += 1
            at = (start[0], start[1] + row, x)
            for axis in range(3):
                place[number, axis] += at[axis]
                low[number, axis] = min(low[number, axis], at[axis])
                high[number, axis] = max(high[number, axis], at[axis])


@compiled
def _add_values(
    numbers: NDArray[np.int32],
    values: NDArray[np.float64],
    total: NDArray[np.float64],
    extremes: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    least, most = extremes
    height, width = numbers.shape
    for row in range(height):
        for x in range(width):
            number = numbers[row, x]
            if number == 0:
                continue
            value = values[row, x]
            total[number] += value
            # NaN is no number to be compared: it comes in here, and then stays.
            if value < least[number] or value != value:
                least[number] = value
            if value > most[number] or value != value:
                most[number] = value
