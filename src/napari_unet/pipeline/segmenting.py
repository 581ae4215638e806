"""Segmenting: the job that fills probabilities tile by tile, then labels."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.core.axes import ArrayLike
from napari_unet.core.events import Event, Note, SampleDone, Started, TileDone
from napari_unet.core.normalize import IntensityRange, Reader
from napari_unet.core.resample import inverse, resample_stored
from napari_unet.core.tiling import Grid
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.device import is_out_of_memory, release_memory
from napari_unet.nn.predict import iter_predict
from napari_unet.pipeline.options import parse_options
from napari_unet.pipeline.plan import Plan, make_plan, smaller_grid
from napari_unet.pipeline.reading import Source
from napari_unet.pipeline.separating import link, separate, separate_sample
from napari_unet.settings import Separation

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The answer, and all that is needed to find it again.

    Parameters
    ----------
    labels
        int32, `axes`; 0 is background; ids restart per frame, and per slice for a 2-D
        model, unless linked.
    probabilities
        Fixed point (uint16 or uint8), C first, then `axes`.
    channels
        Names of C.
    axes
        The image's axes without C, in their order.
    spatial
        The axes within one sample: ``"YX"`` or ``"ZYX"``.
    separation
        As used: the model's, with what was given.
    notes
        What a user should read, one sentence each.
    provenance
        Model hash, settings, tile shape, intensity ranges, versions: plain JSON.
    """

    labels: npt.NDArray[np.int32]
    probabilities: Array
    channels: tuple[str, ...]
    axes: str
    spatial: str
    separation: Separation
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def separate(self, separation: Separation) -> npt.NDArray[np.int32]:
        """Separate the stored probabilities again; fields not given stay."""
        return separate(
            self.probabilities,
            separation.over(self.separation),
            channels=self.channels,
            axes=self.axes,
            spatial=self.spatial,
        )


def segment(
    image: ArrayLike | Sequence[ArrayLike], model: Model | str | Path, **options: Any
) -> Segmentation:
    """Segment an image: probabilities tile by tile, then one label per cell.

    Parameters
    ----------
    image
        NumPy, dask or zarr array, or any other that can be sliced; a list of them is
        a multiscale image, whose first level is used.
    model
        From `load_model`, a bundled name, or a path.
    **options
        Fields of `Options`: `axes`, `pixel_size`, `tiling`, `separation`, `device`, ...

    Returns
    -------
    Segmentation
        Labels in the image's axes without C, probabilities and provenance.

    Raises
    ------
    UNetError
        If image, model and options do not fit; the message says what to do.
    """
    job = iter_segment(image, model, **options)
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def iter_segment(
    image: ArrayLike | Sequence[ArrayLike], model: Model | str | Path, **options: Any
) -> Generator[Event, None, Segmentation]:
    """Segment as `segment` does, yielding progress events; close it to cancel.

    What does not fit is refused at once, before the first event. The arrays in the
    first event, `Started`, are filled as the work goes on; what is finished when the
    job is closed stays in them.
    """
    return _run(make_plan(image, model, parse_options(options)))


def _run(plan: Plan) -> Generator[Event, None, Segmentation]:
    axes, grid = plan.axes, plan.grid
    samples = list(axes.samples())
    labels = np.zeros(axes.labels_shape, np.int32)
    probabilities = np.zeros(
        (len(plan.model.recipe.channels), *axes.labels_shape),
        plan.options.prediction.stored,
    )
    yield Started(len(grid.tiles) * len(samples), probabilities, labels)
    source = Source(plan)
    ranges = source.measure(samples)
    notes = [*plan.notes, *_invalid_notes(ranges)]
    for text in notes:
        yield Note(text)
    for index, sample in enumerate(samples):
        target = axes.probabilities_view(probabilities, sample)
        reader = source.normalised(sample, ranges[index])
        job = _predict(plan, reader, grid=grid, out=target)
        grid = yield from _counted(job, notes, index=index, n_samples=len(samples))
        axes.labels_view(labels, sample)[...] = separate_sample(
            target, plan.model.recipe.channels, plan.separation, semantic=plan.semantic
        )
        yield SampleDone(index + 1, len(samples))
    if plan.separation.link:
        labels[...] = link(labels, axes, plan.separation)
    return Segmentation(
        labels=labels,
        probabilities=probabilities,
        channels=plan.model.recipe.channels,
        axes=axes.labels_axes,
        spatial=axes.spatial,
        separation=plan.separation,
        notes=tuple(notes),
        provenance=_provenance(plan, grid, ranges, notes),
    )


def _predict(
    plan: Plan, reader: Reader, *, grid: Grid, out: Array
) -> Generator[TileDone | Note, None, Grid]:
    """Fill `out` with one sample's probabilities; return the grid that was used.

    If memory runs out with one tile in flight, the sample is begun again with smaller
    tiles, and the later ones follow it.
    """
    resampled = plan.resampling is not None
    predicted = np.empty((len(out), *grid.shape), out.dtype) if resampled else out
    model, device = plan.model, plan.device
    while True:
        try:
            yield from iter_predict(
                model.predictor(plan.options.prediction, device),
                reader,
                grid,
                predicted,
                workers=plan.options.workers or default_workers(device),
                blend=model.geometry if model.tile_dependent_layers else None,
            )
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            grid = smaller_grid(plan, grid)
        release_memory(device)
        yield Note(f"The device's memory is full: restarted with tiles of {grid.tile}.")
    if plan.resampling is not None:
        out[...] = resample_stored(predicted, inverse(plan.resampling))
    return grid


def _counted(
    job: Generator[TileDone | Note, None, Grid],
    notes: list[str],
    *,
    index: int,
    n_samples: int,
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
            done = index * event.n_tiles + event.n_done
            yield TileDone(event.tile, done, n_samples * event.n_tiles)


def default_workers(device: torch.device) -> int:
    """Return how many tiles are computed at once; see docs/decisions."""
    return 1 if device.type == "cpu" else 2


def _invalid_notes(ranges: list[IntensityRange]) -> list[str]:
    n_invalid = sum({id(r): r.n_invalid for r in ranges}.values())
    if not n_invalid:
        return []
    note = (
        f"{n_invalid} pixel(s) are NaN or infinite: taken as the darkest and brightest "
        "values."
    )
    return [note]


def _provenance(
    plan: Plan, grid: Grid, ranges: list[IntensityRange], notes: list[str]
) -> dict[str, Any]:
    options = plan.options
    return {
        "model": {"name": plan.model.recipe.name, "sha256": plan.model.sha256},
        "axes": plan.axes.axes,
        "spatial": plan.axes.spatial,
        "channels": list(plan.channels.picked),
        "tile": list(grid.tile),
        "tiling": options.tiling.model_dump(mode="json"),
        "prediction": options.prediction.model_dump(),
        "normalization": plan.normalization.model_dump(),
        "intensity": [[list(r.low), list(r.high)] for r in ranges],
        "resampled_shape": list(grid.shape) if plan.resampling else None,
        "separation": plan.separation.model_dump(),
        "device": str(plan.device),
        "threads": torch.get_num_threads(),
        "versions": {
            "napari-unet-cells": version("napari-unet-cells"),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "notes": notes,
    }
