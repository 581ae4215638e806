"""Resampling between pixel sizes, point by point at global coordinates.

Each output pixel is a fixed sum over a few input pixels that depends on its own index
alone: whichever region is asked for, its values are the same, bit for bit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.normalize import Reader, Region


@dataclass(frozen=True)
class AxisResampling:
    """Linear interpolation along one axis; an area-wide triangle when shrinking.

    Parameters
    ----------
    n_in, n_out
        Pixels of the source and of the result; both cover the same length.
    """

    n_in: int
    n_out: int

    def taps(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
        """Return source indices and weights, both (taps, stop - start).

        Weights of one output pixel sum to 1; beyond the edge the edge is repeated.
        """
        if self.n_in == self.n_out:
            kept = np.arange(start, stop)[None]
            return kept, np.ones(kept.shape, np.float32)
        step = self.n_in / self.n_out
        reach = max(1.0, step)
        centre = (np.arange(start, stop) + 0.5) * step - 0.5
        first = np.floor(centre - reach).astype(np.intp) + 1
        source = first + np.arange(math.ceil(2 * reach))[:, None]
        weights = np.maximum(0.0, 1.0 - np.abs(source - centre) / reach)
        weights /= weights.sum(axis=0)
        return np.clip(source, 0, self.n_in - 1), weights.astype(np.float32)


Resampling = tuple[AxisResampling, ...]


def plan_resampling(
    shape: tuple[int, ...], factors: tuple[float, ...], *, tolerance: float = 0.01
) -> Resampling | None:
    """Plan to scale an image by `factors`; None if it stays as it is.

    Parameters
    ----------
    shape
        Spatial shape.
    factors
        Output pixels per input pixel, per axis.
    tolerance
        Factors this near to 1 are taken as 1.
    """
    sizes = tuple(
        n if abs(factor - 1) <= tolerance else max(1, round(n * factor))
        for n, factor in zip(shape, factors, strict=True)
    )
    if sizes == tuple(shape):
        return None
    return tuple(AxisResampling(*pair) for pair in zip(shape, sizes, strict=True))


def resampled_shape(resampling: Resampling) -> tuple[int, ...]:
    """Return the shape that `resampling` leads to."""
    return tuple(axis.n_out for axis in resampling)


def inverse(resampling: Resampling) -> Resampling:
    """Return the way back to the source's shape."""
    return tuple(AxisResampling(axis.n_out, axis.n_in) for axis in resampling)


def resampled_reader(reader: Reader, resampling: Resampling) -> Reader:
    """Return a reader of the resampled image, float32, that reads only what it needs.

    Parameters
    ----------
    reader
        Source region -> (C, ...) pixels, finite: NaN would spread to neighbours.
    resampling
        Source to result.
    """

    def read(region: Region) -> npt.NDArray[np.float32]:
        taps = [
            axis.taps(part.start, part.stop)
            for axis, part in zip(resampling, region, strict=True)
        ]
        source = tuple(slice(int(i.min()), int(i.max()) + 1) for i, _ in taps)
        pixels = np.asarray(reader(source)).astype(np.float32)
        for axis, ((indices, weights), part) in enumerate(
            zip(taps, source, strict=True)
        ):
            pixels = _interpolate(pixels, indices - part.start, weights, axis + 1)
        return pixels

    return read


def _interpolate(
    pixels: npt.NDArray[np.float32],
    indices: npt.NDArray[np.intp],
    weights: npt.NDArray[np.float32],
    axis: int,
) -> npt.NDArray[np.float32]:
    """Sum the taps in a fixed order, so that the result is the same everywhere."""
    shape = [1] * pixels.ndim
    shape[axis] = -1
    parts = (
        pixels.take(index, axis=axis) * weight.reshape(shape)
        for index, weight in zip(indices, weights, strict=True)
    )
    return functools.reduce(np.add, parts)


def resample_nearest(
    array: npt.NDArray[Any], resampling: Resampling
) -> npt.NDArray[Any]:
    """Take the nearest pixel, for values that cannot be mixed, such as labels.

    Parameters
    ----------
    array
        (..., *spatial), any dtype.
    resampling
        Source to result, of the last axes.
    """
    for place, axis in enumerate(resampling, start=array.ndim - len(resampling)):
        if axis.n_in != axis.n_out:
            # The pixel in which the centre lies, in whole numbers.
            twice = 2 * np.arange(axis.n_out, dtype=np.intp) + 1
            array = array.take(twice * axis.n_in // (2 * axis.n_out), axis=place)
    return array


def resample_stored(
    stored: npt.NDArray[Any], resampling: Resampling
) -> npt.NDArray[Any]:
    """Resample fixed-point probabilities (C, ...) and round them back to their type.

    Parameters
    ----------
    stored
        uint8 or uint16.
    resampling
        From the shape of `stored` to the result's.
    """
    shape = resampled_shape(resampling)
    result = np.empty((len(stored), *shape), stored.dtype)
    rows = _rows_at_once(resampling)
    for channel, target in zip(stored, result, strict=True):
        read = resampled_reader(_channel_reader(channel), resampling)
        for start in range(0, shape[0], rows):
            stop = min(start + rows, shape[0])
            region = (slice(start, stop), *(slice(0, n) for n in shape[1:]))
            target[start:stop] = np.rint(read(region)[0])
    return result


def _rows_at_once(resampling: Resampling) -> int:
    """Return how many rows of the result need about 4 million pixels, there or here."""
    first, *others = resampling
    per_row = max(
        math.prod(axis.n_out for axis in others),
        math.prod(axis.n_in for axis in others) * first.n_in // first.n_out,
    )
    return max(1, 2**22 // max(1, per_row))


def _channel_reader(channel: npt.NDArray[Any]) -> Reader:
    return lambda region: channel[region][None]
