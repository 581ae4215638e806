"""Intensity: measured once on the whole image, applied to every tile.

Integers of up to 16 bits go through an exact histogram in one pass over the blocks;
other types use all pixels up to 2^24, above that fixed blocks chosen from the shape.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import AxesError
from napari_unet.settings import Normalization

# Above this many pixels, types without a histogram are measured on fixed blocks.
LARGEST_EXACT = 2**24
BLOCK_PIXELS = 2**16
# In units of the intensity range. What lies farther is a fill value, such as the
# largest float, and would overflow inside the network and spoil its surroundings.
FARTHEST = 1e6

Region = tuple[slice, ...]
Reader = Callable[[Region], npt.NDArray[Any]]


@dataclass(frozen=True)
class IntensityRange:
    """What becomes 0 and 1, per channel of the network.

    Parameters
    ----------
    low, high
        In the image's own units.
    n_invalid
        Values that are NaN or infinite, among those measured.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    n_invalid: int = 0

    @property
    def numbers(self) -> tuple[tuple[float, ...], ...]:
        """What becomes 0 and what becomes 1, for the provenance."""
        return self.low, self.high

    def apply(
        self, tile: npt.NDArray[Any], normalization: Normalization
    ) -> npt.NDArray[np.float32]:
        """Scale (C, ...) to float32.

        Of the infinite values, -inf counts as `low` and +inf as `high`. NaN and
        constant channels become 0. Values beyond ±`FARTHEST` are cut there.
        """
        scaled = np.zeros(tile.shape, np.float32)
        ends = zip(self.low, self.high, strict=True)
        for channel, target, (low, high) in zip(tile, scaled, ends, strict=True):
            if low < high:
                target[...] = _scale(channel, low, high, normalization)
        return scaled


def _scale(
    channel: npt.NDArray[Any], low: float, high: float, settings: Normalization
) -> npt.NDArray[np.floating[Any]]:
    zero, one = (high, low) if settings.invert else (low, high)
    nearest, farthest = (0, 1) if settings.clip else (-FARTHEST, FARTHEST)
    # Large integers and large offsets would leave no digits in float32.
    work = np.float32 if channel.itemsize <= 2 else np.float64
    scaled: npt.NDArray[np.floating[Any]] = channel.astype(work)
    if channel.dtype.kind == "f":
        np.nan_to_num(scaled, copy=False, nan=zero, neginf=low, posinf=high)
    with np.errstate(over="ignore"):
        scaled -= zero
        scaled /= one - zero
    return np.clip(scaled, nearest, farthest, out=scaled)


def measure_intensity(
    readers: Iterable[Reader],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    normalization: Normalization,
    *,
    chunks: tuple[int, ...] | None = None,
) -> IntensityRange:
    """Measure the percentiles of one sample, or of several jointly.

    Parameters
    ----------
    readers
        One function per sample: spatial region -> (C, ...) pixels.
    shape
        Spatial shape of each sample.
    dtype
        The pixels' type.
    normalization
        Percentiles, and whether channels are measured jointly.
    chunks
        Reading granularity per spatial axis; whole rows otherwise.

    Returns
    -------
    IntensityRange
        Percentiles by linear interpolation.

    Raises
    ------
    AxesError
        If the pixels are complex or no numbers.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "biuf":
        raise AxesError(
            f"Pixels of type {kind} cannot be segmented.",
            "Convert the image to integers or real numbers, such as its magnitude.",
        )
    readers = list(readers)
    if kind.kind in "biu" and kind.itemsize <= 2:
        blocks = _all_blocks(readers, shape, chunks)
        counts, first = _histograms(blocks, kind, normalization)
        limits = [_histogram_limits(row, first, normalization) for row in counts]
        return _range(limits, 0)
    n_pixels = math.prod(shape) * len(readers)
    if n_pixels <= LARGEST_EXACT:
        blocks = _all_blocks(readers, shape, chunks)
    else:
        blocks = _fixed_blocks(readers, shape)
    return _measure_values(blocks, normalization)


def _range(limits: list[tuple[float, float]], n_invalid: int) -> IntensityRange:
    low, high = zip(*limits, strict=True)
    return IntensityRange(low, high, n_invalid)


def _all_blocks(
    readers: list[Reader], shape: tuple[int, ...], chunks: tuple[int, ...] | None
) -> Iterator[npt.NDArray[Any]]:
    """Yield every pixel once, in blocks of whole chunks."""
    for reader in readers:
        for region in block_regions(shape, chunks):
            yield reader(region)


def block_regions(
    shape: tuple[int, ...],
    chunks: tuple[int, ...] | None = None,
    *,
    n_pixels: int = 2**22,
) -> Iterator[Region]:
    """Yield regions that partition `shape`, aligned to chunks, of about `n_pixels`.

    Parameters
    ----------
    shape
        Spatial shape.
    chunks
        Storage granularity per axis.
    n_pixels
        Wanted size of a block.
    """
    block = list(chunks or (1,) * len(shape))
    for axis in reversed(range(len(shape))):
        room = n_pixels // math.prod(block)
        block[axis] = min(shape[axis], block[axis] * max(1, room))
    starts = (range(0, n, size) for n, size in zip(shape, block, strict=True))
    for origin in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + size, n))
            for start, size, n in zip(origin, block, shape, strict=True)
        )


def _fixed_blocks(
    readers: list[Reader], shape: tuple[int, ...]
) -> Iterator[npt.NDArray[Any]]:
    """Yield evenly spread blocks, about `LARGEST_EXACT` pixels in all."""
    sizes = _share(BLOCK_PIXELS, shape)
    room = [n // size for n, size in zip(shape, sizes, strict=True)]
    n_wanted = LARGEST_EXACT // math.prod(sizes)
    n_samples, *n_blocks = _share(n_wanted, (len(readers), *room))
    starts = [
        _spread(n - size, count)
        for n, size, count in zip(shape, sizes, n_blocks, strict=True)
    ]
    for sample in _spread(len(readers) - 1, n_samples):
        for origin in itertools.product(*starts):
            ends = zip(origin, sizes, strict=True)
            region = tuple(slice(start, start + size) for start, size in ends)
            yield readers[sample](region)


def _share(total: int, limits: tuple[int, ...]) -> list[int]:
    """Return a count per axis, at most its limit; their product is about `total`."""
    counts = list(limits)
    by_limit = sorted(range(len(limits)), key=lambda axis: limits[axis])
    for n_done, axis in enumerate(by_limit):
        even = round(total ** (1 / (len(limits) - n_done)))
        counts[axis] = max(1, min(even, limits[axis]))
        total = max(1, total // counts[axis])
    return counts


def _spread(last: int, count: int) -> list[int]:
    """Return `count` positions from 0 to `last`; the middle if it is one."""
    if count == 1:
        return [last // 2]
    return [last * index // (count - 1) for index in range(count)]


def _histograms(
    blocks: Iterator[npt.NDArray[Any]], kind: np.dtype[Any], settings: Normalization
) -> tuple[npt.NDArray[np.int64], int]:
    """Return counts (C, values) and the value of the first count."""
    first = 0 if kind.kind in "bu" else int(np.iinfo(kind).min)
    n_values = 2 if kind.kind == "b" else 2 ** (8 * kind.itemsize)
    counts: npt.NDArray[np.int64] | None = None
    for block in blocks:
        if counts is None:
            counts = np.zeros((len(block), n_values), np.int64)
        for row, channel in zip(counts, block, strict=True):
            values = channel.ravel().astype(np.intp) - first
            row += np.bincount(values, minlength=n_values)
    if counts is None:
        raise AxesError("The image holds no pixels.", "Choose another region.")
    if settings.joint_channels:
        counts = np.broadcast_to(counts.sum(axis=0), counts.shape)
    return counts, first


def _histogram_limits(
    counts: npt.NDArray[np.int64], first: int, settings: Normalization
) -> tuple[float, float]:
    cumulative = np.cumsum(counts)
    n = int(cumulative[-1])

    def percentile(q: float) -> float:
        rank = q / 100 * (n - 1)
        below = math.floor(rank)
        ends = np.searchsorted(cumulative, [below, min(below + 1, n - 1)], "right")
        low, high = (int(value) + first for value in ends)
        return low + (high - low) * (rank - below)

    return percentile(settings.low), percentile(settings.high)


def _measure_values(
    blocks: Iterator[npt.NDArray[Any]], settings: Normalization
) -> IntensityRange:
    flat = [block.reshape(len(block), -1) for block in blocks]
    values = np.concatenate(flat, axis=1)
    if settings.joint_channels:
        limits = [_value_limits(values.ravel(), settings)] * len(values)
    else:
        limits = [_value_limits(row, settings) for row in values]
    return _range(limits, int(np.count_nonzero(~np.isfinite(values))))


def _value_limits(
    values: npt.NDArray[Any], settings: Normalization
) -> tuple[float, float]:
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(finite, [settings.low, settings.high])
    return float(low), float(high)
