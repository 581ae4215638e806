"""Held: the part of an image whose probabilities and labels are kept in memory.

Usually the image's own shape, of which a region touches only its part: memory that is
never written costs nothing. With `Options.crop` only that part exists. Everybody asks
here for a view by the image's own coordinates, so no one else adds an offset.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import AxesPlan
from napari_unet.core.tiling import Grid
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.region import Box, Region, covered, needed_grid

Array = npt.NDArray[Any]
Sample = Mapping[str, int]


@dataclass(frozen=True)
class Held:
    """What is held, and where it lies in the image.

    Parameters
    ----------
    axes
        Of the part.
    start
        Its first index in the image, by axis letter.
    area
        The part of a sample that is separated: all that the region's tiles cover, in
        the image's pixels.
    """

    axes: AxesPlan
    start: Mapping[str, int]
    area: Box

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return self.axes.labels_shape

    @property
    def origin(self) -> tuple[int, ...]:
        """First pixel of a sample, in the image."""
        return tuple(self.start[axis] for axis in self.axes.spatial)

    def labels(self, array: Array, sample: Sample, box: Box | None = None) -> Array:
        """Return a view ([Z,] Y, X) of a sample's labels: of a box, or of the area."""
        view = self.axes.labels_view(array, self._sample(sample))
        return view[self.within(self.area if box is None else box)]

    def probabilities(
        self, array: Array, sample: Sample, box: Box | None = None
    ) -> Array:
        """Return a view (C, [Z,] Y, X) of a sample's probabilities; see `labels`."""
        inside = self.within(self.area if box is None else box)
        return self.every_probability(array, sample)[(slice(None), *inside)]

    def every_probability(self, array: Array, sample: Sample) -> Array:
        """Return a view (C, [Z,] Y, X) of all that is held of a sample."""
        return self.axes.probabilities_view(array, self._sample(sample))

    def grid(self, grid: Grid) -> Grid:
        """Return a grid that writes into what is held."""
        return dataclasses.replace(grid, origin=self.origin)

    def _sample(self, sample: Sample) -> dict[str, int]:
        """Return where a sample lies in what is held.

        Raises
        ------
        IndexError
            If it is not held: an index below 0 would be another one's.
        """
        inside = {axis: at - self.start[axis] for axis, at in sample.items()}
        if any(not 0 <= at < self.axes.size[axis] for axis, at in inside.items()):
            raise IndexError(f"The sample {dict(sample)} is not held.")
        return inside

    def within(self, box: Box) -> Box:
        """Return a box of the image as it lies in what is held."""
        pairs = zip(box, self.origin, strict=True)
        return tuple(slice(part.start - at, part.stop - at) for part, at in pairs)


def held_part(plan: Plan) -> Held:
    """Return what of the image is held.

    Tiles that are blended or scaled back are summed over a whole sample, which then is
    held.
    """
    grid = needed_grid(plan.grid, plan.region, plan.resampling)
    area = covered(grid, plan.axes.spatial_shape)
    if not plan.options.crop:
        return Held(plan.axes, dict.fromkeys(plan.axes.labels_axes, 0), area)
    in_parts = plan.resampling is None and not plan.model.tile_dependent_layers
    whole = tuple(slice(0, n) for n in plan.axes.spatial_shape)
    spans = _spans(plan.axes, plan.region, area if in_parts else whole)
    sizes = dict(plan.axes.size)
    sizes.update({axis: stop - start for axis, (start, stop) in spans.items()})
    shape = tuple(sizes[axis] for axis in plan.axes.axes)
    axes = dataclasses.replace(plan.axes, shape=shape)
    return Held(axes, {axis: start for axis, (start, _) in spans.items()}, area)


def _spans(axes: AxesPlan, region: Region, box: Box) -> dict[str, tuple[int, int]]:
    """Return first and end index of the region's samples and a box, by axis letter."""
    spans = {}
    for axis, part in zip(axes.spatial, box, strict=True):
        spans[axis] = (part.start, part.stop)
    for axis in axes.sample_axes:
        at = [sample[axis] for sample in region.samples]
        spans[axis] = (min(at), max(at) + 1)
    return spans


def empty_labels(held: Held) -> npt.NDArray[np.int32]:
    """Return labels of which nothing is found yet."""
    return np.zeros(held.shape, np.int32)
