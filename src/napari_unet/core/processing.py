"""Steps before and after a network: measured once on whole images, applied anywhere.

Each step is measured on what the steps before it make of the whole image, as the
bioimage.io specification words it; the numbers are then plain, and a tile comes out as
the same part of the whole image would.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.normalize import FARTHEST, Reader, Region
from napari_unet.core.processing_measures import (
    Numbers,
    count_invalid,
    measure_moments,
    measure_percentiles,
)
from napari_unet.processing_settings import (
    Binarize,
    Clip,
    EnsureDtype,
    FixedZeroMeanUnitVariance,
    Measured,
    ProcessingStep,
    ScaleLinear,
    ScaleMeanVariance,
    ScaleRange,
    Sigmoid,
    Softmax,
    ZeroMeanUnitVariance,
)

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Processing:
    """Steps with their numbers.

    Parameters
    ----------
    steps
        In the order in which they are applied.
    numbers
        For each step what was measured, per channel; empty if nothing was.
    n_invalid
        Values of the image that are NaN or infinite.
    """

    steps: tuple[ProcessingStep, ...] = ()
    numbers: tuple[Numbers, ...] = ()
    n_invalid: int = 0

    def then(self, step: ProcessingStep, numbers: Numbers) -> Processing:
        """Return these steps, and one more."""
        return Processing((*self.steps, step), (*self.numbers, numbers), self.n_invalid)

    def values(self, pixels: Pixels) -> Pixels:
        """Apply the steps to (C, ...); the type is what the steps make of it."""
        with np.errstate(over="ignore", invalid="ignore"):
            for step, numbers in zip(self.steps, self.numbers, strict=True):
                pixels = _apply(step, numbers, pixels)
        return pixels

    def apply(self, tile: Pixels, _: object = None) -> npt.NDArray[np.float32]:
        """Return what the network sees of (C, ...): float32, NaN as 0, no infinity."""
        found = self.values(tile).astype(np.float32)
        np.nan_to_num(found, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
        return np.clip(found, -FARTHEST, FARTHEST, out=found)


def is_measured(step: ProcessingStep) -> bool:
    """Return whether a step needs numbers of the whole image."""
    if isinstance(step, Clip):
        return step.min_percentile is not None or step.max_percentile is not None
    return isinstance(step, Measured)


def measure_steps(
    readers: Sequence[Reader],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    steps: Sequence[ProcessingStep],
    references: Sequence[Reader] = (),
) -> list[Processing]:
    """Measure the steps on all samples of an image.

    Parameters
    ----------
    readers
        One function per sample: spatial region -> (C, ...) values before the steps.
    shape
        Spatial shape of each sample.
    dtype
        Of the values.
    steps
        The steps.
    references
        The unprocessed images, where the steps come after a network; by default the
        values themselves.

    Returns
    -------
    list of Processing
        One for each sample.
    """
    n_invalid = count_invalid(readers, shape, dtype)
    done = [Processing(n_invalid=n) for n in n_invalid]
    for step in steps:
        numbers: list[Numbers] = [()] * len(done)
        if is_measured(step):
            seen = list(map(_processed, readers, done))
            raw = references or readers
            joint = isinstance(step, Measured) and step.joint_samples
            groups = [range(len(done))] if joint else [[i] for i in range(len(done))]
            for group in groups:
                of_step = [seen[i] for i in group], [raw[i] for i in group]
                found = _measure(step, *of_step, shape)
                numbers = [found if i in group else n for i, n in enumerate(numbers)]
        done = [d.then(step, n) for d, n in zip(done, numbers, strict=True)]
    return done


def _processed(reader: Reader, so_far: Processing) -> Reader:
    """Return a reader of what the steps so far make of the image."""
    # Casts that lose nothing would only hide that the values are small integers.
    steps = [s for s in so_far.steps if not _is_wide_cast(s)]
    if not steps:
        return reader

    def read(region: Region) -> Pixels:
        return so_far.values(reader(region))

    return read


def _is_wide_cast(step: ProcessingStep) -> bool:
    return isinstance(step, EnsureDtype) and step.dtype in ("float32", "float64")


def _measure(
    step: ProcessingStep, seen: list[Reader], raw: list[Reader], shape: tuple[int, ...]
) -> Numbers:
    if isinstance(step, ScaleRange):
        of = raw if step.unprocessed else seen
        ends = step.min_percentile, step.max_percentile
        return measure_percentiles(of, shape, ends, per_channel=step.per_channel)
    if isinstance(step, Clip):
        given = step.min_percentile, step.max_percentile
        ends = given[0] or 0.0, 100.0 if given[1] is None else given[1]
        return measure_percentiles(seen, shape, ends, per_channel=step.per_channel)
    if isinstance(step, ScaleMeanVariance):
        own = measure_moments(seen, shape, per_channel=step.per_channel)
        return own + measure_moments(raw, shape, per_channel=step.per_channel)
    assert isinstance(step, ZeroMeanUnitVariance)  # noqa: S101  (the only one left)
    return measure_moments(seen, shape, per_channel=step.per_channel)


@functools.singledispatch
def _apply(step: Any, numbers: Numbers, x: Pixels) -> Pixels:
    raise TypeError(f"{type(step).__name__} is no step")


@_apply.register
def _(step: ScaleRange, numbers: Numbers, x: Pixels) -> Pixels:
    low, high = (_column(values, x) for values in numbers)
    return (x - low) / (high - low + step.eps)


@_apply.register
def _(step: ZeroMeanUnitVariance, numbers: Numbers, x: Pixels) -> Pixels:
    mean, std = (_column(values, x) for values in numbers)
    return (x - mean) / (std + step.eps)


@_apply.register
def _(step: ScaleMeanVariance, numbers: Numbers, x: Pixels) -> Pixels:
    mean, std, ref_mean, ref_std = (_column(values, x) for values in numbers)
    return (x - mean) / (std + step.eps) * (ref_std + step.eps) + ref_mean


@_apply.register
def _(step: Clip, numbers: Numbers, x: Pixels) -> Pixels:
    low: Any = step.min
    high: Any = step.max
    if step.min_percentile is not None:
        low = _column(numbers[0], x)
    if step.max_percentile is not None:
        high = _column(numbers[1], x)
    return np.clip(x, low, high)


@_apply.register
def _(step: ScaleLinear, numbers: Numbers, x: Pixels) -> Pixels:
    return x * _column(step.gain, x) + _column(step.offset, x)


@_apply.register
def _(step: FixedZeroMeanUnitVariance, numbers: Numbers, x: Pixels) -> Pixels:
    return (x - _column(step.mean, x)) / _column(step.std, x)


@_apply.register
def _(step: Binarize, numbers: Numbers, x: Pixels) -> Pixels:
    return x > _column(step.threshold, x)


@_apply.register
def _(step: EnsureDtype, numbers: Numbers, x: Pixels) -> Pixels:
    return x.astype(step.dtype)


@_apply.register
def _(step: Sigmoid, numbers: Numbers, x: Pixels) -> Pixels:
    from scipy.special import expit  # slow to load, and seldom needed

    return np.asarray(expit(_real(x)))


@_apply.register
def _(step: Softmax, numbers: Numbers, x: Pixels) -> Pixels:
    from scipy.special import softmax

    return np.asarray(softmax(_real(x), axis=0))


def _real(x: Pixels) -> Pixels:
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _column(values: Sequence[float], x: Pixels) -> npt.NDArray[np.float64]:
    """Return one number, or one for each channel, to be combined with (C, ...)."""
    return np.asarray(values, np.float64).reshape(-1, *(1,) * (x.ndim - 1))
