"""Percentiles, means and deviations of whole images, per channel or over all.

Read in blocks that depend on the image's shape alone, so that the numbers do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_unet.core.normalize import (
    Reader,
    block_regions,
    measure_intensity,
)
from napari_unet.settings import Normalization

# One tuple for each quantity, with one number for each channel.
Numbers = tuple[tuple[float, ...], ...]


def count_invalid(
    readers: Sequence[Reader], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> list[int]:
    """Return how many values of each sample are NaN or infinite."""
    if np.dtype(dtype).kind != "f":
        return [0] * len(readers)
    return [
        sum(
            int(np.count_nonzero(~np.isfinite(reader(region))))
            for region in block_regions(shape)
        )
        for reader in readers
    ]


def measure_percentiles(
    readers: Sequence[Reader],
    shape: tuple[int, ...],
    ends: tuple[float, float],
    *,
    per_channel: bool,
) -> Numbers:
    """Return two percentiles per channel, by linear interpolation.

    Parameters
    ----------
    readers
        Samples that are measured together.
    shape
        Spatial shape of each.
    ends
        The lower and the upper percentile.
    per_channel
        Whether each channel is measured by itself.
    """
    settings = Normalization(low=ends[0], high=ends[1], joint_channels=not per_channel)
    probe = readers[0](tuple(slice(0, 1) for _ in shape))
    found = measure_intensity(readers, shape, probe.dtype, settings)
    return found.low, found.high


def measure_moments(
    readers: Sequence[Reader], shape: tuple[int, ...], *, per_channel: bool
) -> Numbers:
    """Return mean and standard deviation per channel; NaN and infinity do not count."""
    count, total = _sums(readers, shape, np.zeros(1), power=1)
    mean = _shares(total, count, per_channel=per_channel)
    _, squares = _sums(readers, shape, mean, power=2)
    variance = _shares(squares, count, per_channel=per_channel)
    deviation = [math.sqrt(value) for value in variance]
    return tuple(mean.tolist()), tuple(deviation)


def _sums(
    readers: Sequence[Reader],
    shape: tuple[int, ...],
    centre: npt.NDArray[np.float64],
    *,
    power: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per channel how many finite values there are, and the sum of powers."""
    count, total = np.zeros(1), np.zeros(1)
    for reader in readers:
        for region in block_regions(shape):
            block = reader(region)
            flat = block.reshape(len(block), -1).astype(np.float64)
            finite = np.isfinite(flat)
            centred = np.where(finite, flat - centre[:, None], 0.0) ** power
            count = count + finite.sum(axis=1)
            total = total + centred.sum(axis=1)
    return count, total


def _shares(
    total: npt.NDArray[np.float64],
    count: npt.NDArray[np.float64],
    *,
    per_channel: bool,
) -> npt.NDArray[np.float64]:
    """Return the mean of each channel, or that of all for each."""
    if not per_channel:
        total = np.full_like(total, total.sum())
        count = np.full_like(count, count.sum())
    return total / np.maximum(count, 1)
