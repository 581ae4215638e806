"""Running: the job that fills probabilities tile by tile, then labels.

The loop stands here once. Where the network and the watershed run is the backend's
business: in this process, or in a worker that only ever sees pixels and settings. So
both give one answer.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_unet.core.events import Event, Note, SampleDone, Started, TileDone
from napari_unet.core.normalize import Reader
from napari_unet.core.outline import as_lists
from napari_unet.core.resample import inverse, resample_stored
from napari_unet.core.tiling import Grid
from napari_unet.errors import DeviceFullError
from napari_unet.pipeline.held import Held, empty_labels, held_part
from napari_unet.pipeline.linking import link
from napari_unet.pipeline.options import RegionLike
from napari_unet.pipeline.outlined import kept_by, tiles_within
from napari_unet.pipeline.plan import Plan, smaller_grid
from napari_unet.pipeline.reading import Intensity, Source
from napari_unet.pipeline.region import (
    Region,
    covered,
    cut_to,
    keep_touching,
    needed_grid,
    parse_region,
    tiles_first,
)
from napari_unet.pipeline.result import Segmentation
from napari_unet.settings import Separation

Array = npt.NDArray[Any]
Sample = dict[str, int]


class Separator(Protocol):
    """Where the watershed of one job runs."""

    def separate(
        self,
        stored: Array,
        channels: tuple[str, ...],
        separation: Separation,
        *,
        semantic: bool,
    ) -> npt.NDArray[np.int32]:
        """Return the labels of one sample's probabilities (C, [Z,] Y, X)."""


class Backend(Separator, Protocol):
    """Where the network and the watershed of one job run."""

    def predict(
        self, plan: Plan, reader: Reader, grid: Grid, out: Array
    ) -> Iterator[TileDone]:
        """Fill `out` with the grid's tiles in their order; raise `DeviceFullError`."""

    def facts(self) -> dict[str, Any]:
        """Return device, threads and versions, for the provenance."""


def run(
    plan: Plan, backend: Backend, *, first: RegionLike | None = None
) -> Generator[Event, None, Segmentation]:
    """Segment as planned, yielding progress events; close it to cancel.

    Parameters
    ----------
    plan
        From `make_plan`.
    backend
        Where network and watershed run.
    first
        What is looked at, and done first. Changes the order of work, and no value.
    """
    axes, recipe = plan.axes, plan.model.recipe
    ahead = parse_region(first, axes)
    samples = sorted(plan.region.samples, key=lambda s: s not in ahead.samples)
    held = held_part(plan)
    grid = held.grid(_ordered(plan, plan.grid, ahead))
    labels = empty_labels(held)
    probabilities = np.zeros(
        (len(recipe.channels), *held.shape), plan.options.prediction.stored
    )
    yield Started(len(grid.tiles) * len(samples), probabilities, labels)
    source, notes = Source(plan), list(plan.notes)
    for text in notes:
        yield Note(text)
    todo, done = deque(samples), list[Sample]()
    while todo:
        sample = todo.popleft()
        reader = source.normalised(sample)
        every = held.every_probability(probabilities, sample)
        target = kept_by(plan, every, held.origin)
        job = _predict(plan, backend, reader, grid=grid, out=target)
        count = _Count(len(done), len(samples), sample)
        used = yield from _counted(job, notes, count)
        if used is not grid:  # one picture has one tile shape: the others once more
            todo.extend(done)
            grid, done = used, []
        stored = held.probabilities(probabilities, sample)
        found = labels_of_area(plan, held, backend, stored, plan.separation)
        held.labels(labels, sample)[...] = found
        done.append(sample)
        yield SampleDone(len(done), len(samples), sample)
    for text in _invalid_notes(source.measured):
        notes.append(text)
        yield Note(text)
    return Segmentation(
        labels=link(labels, held.axes, plan.separation),
        probabilities=probabilities,
        channels=recipe.channels,
        axes=axes.labels_axes,
        spatial=axes.spatial,
        separation=plan.separation,
        semantic=plan.semantic,
        notes=tuple(notes),
        provenance=_provenance(plan, grid, source, notes, facts=backend.facts()),
        start=dict(held.start),
    )


def labels_of_area(
    plan: Plan, held: Held, backend: Separator, stored: Array, separation: Separation
) -> npt.NDArray[np.int32]:
    """Return the labels ([Z,] Y, X) of the region's objects in one sample.

    Objects are separated over all that the region's tiles cover: `stored` are the
    probabilities of that area, and the result has its shape.
    """
    found = backend.separate(
        stored, plan.model.recipe.channels, separation, semantic=plan.semantic
    )
    if plan.region.is_whole or plan.semantic:
        return found
    inner = tuple(
        slice(max(0, part.start - within.start), max(0, part.stop - within.start))
        for part, within in zip(plan.region.box, held.area, strict=True)
    )
    return keep_touching(found, inner)


def _ordered(plan: Plan, grid: Grid, ahead: Region) -> Grid:
    """Return the tiles that the region needs, those in view first."""
    if plan.model.tile_dependent_layers:
        return grid  # blended tiles are summed over the whole sample, in its order
    grid = tiles_within(plan, needed_grid(grid, plan.region, plan.resampling))
    if plan.resampling is not None or ahead.is_whole:
        return grid
    return dataclasses.replace(grid, tiles=tiles_first(grid.tiles, ahead.box))


def _predict(
    plan: Plan, backend: Backend, reader: Reader, *, grid: Grid, out: Array
) -> Generator[TileDone | Note, None, Grid]:
    """Fill `out` with one sample's probabilities; return the grid that was used.

    If memory runs out with one tile in flight, the sample is begun again with smaller
    tiles.
    """
    resampled = plan.resampling is not None
    predicted = np.zeros((len(out), *grid.shape), out.dtype) if resampled else out
    while True:
        try:
            yield from backend.predict(plan, reader, grid, predicted)
            break
        except DeviceFullError:
            grid = _smaller(plan, held_part(plan), grid)
        yield Note(f"The device's memory is full: restarted with tiles of {grid.tile}.")
    if plan.resampling is not None:
        out[...] = resample_stored(predicted, inverse(plan.resampling))
    return grid


def _smaller(plan: Plan, held: Held, grid: Grid) -> Grid:
    """Return smaller tiles that fill what the larger ones would have filled."""
    smaller = smaller_grid(plan, grid)
    if plan.model.tile_dependent_layers:
        return smaller
    if plan.resampling is not None:
        larger = needed_grid(plan.grid, plan.region, plan.resampling)
        return cut_to(smaller, covered(larger, larger.shape))
    return held.grid(tiles_within(plan, cut_to(smaller, held.area)))


@dataclass(frozen=True)
class _Count:
    """Which of how many samples is in work."""

    index: int
    n_samples: int
    sample: Sample


def _counted(
    job: Generator[TileDone | Note, None, Grid], notes: list[str], count: _Count
) -> Generator[Event, None, Grid]:
    """Count one sample's tiles among those of all samples; keep the notes."""
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            grid: Grid = stop.value
            return grid
        if isinstance(event, Note):
            notes.append(event.text)
            yield event
        else:
            done = count.index * event.n_tiles + event.n_done
            n_tiles = count.n_samples * event.n_tiles
            yield TileDone(event.tile, done, n_tiles, count.sample)


def _invalid_notes(ranges: list[Intensity]) -> list[str]:
    n_invalid = sum({id(r): r.n_invalid for r in ranges}.values())
    if not n_invalid:
        return []
    note = (
        f"{n_invalid} pixel(s) are NaN or infinite: taken as the darkest and brightest "
        "values."
    )
    return [note]


def _provenance(
    plan: Plan, grid: Grid, source: Source, notes: list[str], *, facts: dict[str, Any]
) -> dict[str, Any]:
    options, versions = plan.options, facts.pop("versions")
    intensity = [source.intensity(sample) for sample in plan.region.samples]
    return {
        "model": {"name": plan.model.recipe.name, "sha256": plan.model.sha256},
        "axes": plan.axes.axes,
        "spatial": plan.axes.spatial,
        "channels": list(plan.channels.picked),
        "tile": list(grid.tile),
        "planned_tile": list(plan.grid.tile),  # says what a region is separated in
        "tiling": options.tiling.model_dump(mode="json"),
        "prediction": options.prediction.model_dump(),
        "normalization": plan.normalization.model_dump(),
        "intensity": [list(map(list, found.numbers)) for found in intensity],
        "resampled_shape": list(grid.shape) if plan.resampling else None,
        "separation": plan.separation.model_dump(),
        "region": None if options.region is None else dict(options.region),
        "outline": as_lists(plan.outline),
        "crop": options.crop,
        "versions": {
            "napari-unet-cells": version("napari-unet-cells"),
            "numpy": np.__version__,
            **versions,
        },
        **facts,
        "notes": notes,
    }
