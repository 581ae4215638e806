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
from napari_unet.core.resample import resampled_reader
from napari_unet.pipeline.plan import Plan

Position = Mapping[str, int]


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

    def raw(self, sample: Position) -> Reader:
        """Return a reader of the network's channels in the image's own values."""

        def read(region: Region) -> npt.NDArray[Any]:
            with self.lock:  # not every array may be sliced by two threads at once
                pixels = self.plan.axes.read(self.plan.image, sample, region)
            return self.plan.channels.apply(pixels)

        return read

    def normalised(self, sample: Position, intensity: IntensityRange) -> Reader:
        """Return a reader of float32 pixels at the model's pixel size."""
        raw = self.raw(sample)

        def read(region: Region) -> npt.NDArray[np.float32]:
            return intensity.apply(raw(region), self.plan.normalization)

        # Normalised first: wide integers keep their precision, NaN does not spread.
        if self.plan.resampling is not None:
            return resampled_reader(read, self.plan.resampling)
        return read

    def measure(self, samples: list[dict[str, int]]) -> list[IntensityRange]:
        """Return the range of each sample; those of one frame are measured together.

        All frames are measured jointly if the normalisation says so.
        """
        if self.plan.normalization.joint_frames:
            return [self._measure(samples)] * len(samples)
        frames: dict[int, list[dict[str, int]]] = {}
        for sample in samples:
            frames.setdefault(sample.get("T", 0), []).append(sample)
        measured = {frame: self._measure(members) for frame, members in frames.items()}
        return [measured[sample.get("T", 0)] for sample in samples]

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
