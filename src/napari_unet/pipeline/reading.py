"""Reading: regions of a sample as the network sees them, intensities measured once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.normalize import (
    IntensityRange,
    Reader,
    Region,
    measure_intensity,
)
from napari_unet.core.processing import Processing, measure_steps
from napari_unet.core.resample import resampled_reader
from napari_unet.pipeline.plan import Plan

Position = Mapping[str, int]
Intensity = IntensityRange | Processing


@dataclass(frozen=True, eq=False)
class Source:
    """The image of a plan; may be read from several threads.

    Parameters
    ----------
    plan
        From `make_plan`.
    """

    plan: Plan
    lock: threading.Lock = field(default_factory=threading.Lock)
    _ranges: dict[object, Intensity] = field(default_factory=dict)

    @property
    def measured(self) -> list[Intensity]:
        """The ranges measured so far."""
        return list(self._ranges.values())

    def intensity(self, sample: Position) -> Intensity:
        """Return the range of a sample, measured once for all samples of its frame.

        Steps of a foreign description are measured on each sample by itself, unless
        they say otherwise. All frames are measured jointly if the normalisation says
        so. Only when it is asked for: the first frame of a long series need not wait
        for the last.
        """
        if self.plan.steps:
            return self._steps(sample)
        joint = self.plan.normalization.joint_frames
        frame = 0 if joint else sample.get("T", 0)
        if frame not in self._ranges:
            every = self.plan.axes.samples()
            members = [s for s in every if joint or s.get("T", 0) == frame]
            self._ranges[frame] = self._measure(members)
        return self._ranges[frame]

    def raw(self, sample: Position) -> Reader:
        """Return a reader of the network's channels in the image's own values."""

        def read(region: Region) -> npt.NDArray[Any]:
            with self.lock:  # not every array may be sliced by two threads at once
                pixels = self.plan.axes.read(self.plan.image, sample, region)
            return self.plan.channels.apply(pixels)

        return read

    def normalised(self, sample: Position) -> Reader:
        """Return a reader of float32 pixels at the model's pixel size."""
        raw, intensity = self.raw(sample), self.intensity(sample)

        def read(region: Region) -> npt.NDArray[np.float32]:
            return intensity.apply(raw(region), self.plan.normalization)

        # Normalised first: wide integers keep their precision, NaN does not spread.
        if self.plan.resampling is not None:
            return resampled_reader(read, self.plan.resampling)
        return read

    def _steps(self, sample: Position) -> Intensity:
        steps = self.plan.steps
        if frozenset(sample.items()) not in self._ranges:
            joint = any(getattr(step, "joint_samples", False) for step in steps)
            members = list(self.plan.axes.samples()) if joint else [dict(sample)]
            found = measure_steps(
                [self.raw(member) for member in members],
                self.plan.axes.spatial_shape,
                self.plan.image.dtype,
                steps,
            )
            keys = (frozenset(member.items()) for member in members)
            self._ranges.update(zip(keys, found, strict=True))
        return self._ranges[frozenset(sample.items())]

    def _measure(self, samples: list[dict[str, int]]) -> IntensityRange:
        axes = self.plan.axes
        return measure_intensity(
            map(self.raw, samples),
            axes.spatial_shape,
            self.plan.image.dtype,
            self.plan.normalization,
            chunks=self._chunks(),
        )

    def _chunks(self) -> tuple[int, ...]:
        """Return the storage granularity per spatial axis, 1 where unknown."""
        axes = self.plan.axes
        chunks = getattr(self.plan.image, "chunks", None) or ()
        by_axis = dict(zip(axes.axes, chunks, strict=False))
        sizes = (by_axis.get(letter, 1) for letter in axes.spatial)
        return tuple(
            min(chunk if isinstance(chunk, int) else max(chunk), n)
            for chunk, n in zip(sizes, axes.spatial_shape, strict=True)
        )
