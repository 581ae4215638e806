"""Coloured: finished samples with the colour of each object, from the worker.

Choosing colours takes a pass over all pixels, which the window's process is spared.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.events import Event, SampleDone, Started
from napari_unet.core.run_lengths import encode
from napari_unet.engine import worker_tasks
from napari_unet.pipeline.held import Held, held_part
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.result import Segmentation
from napari_unet.plugin.colours import N_COLOURS, Colours
from napari_unet.plugin.outputs import Outputs

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The final labels of one sample's area, with the colour of each."""

    sample: dict[str, int]
    labels: Array
    colours: Colours


def coloured(
    plan: Plan,
    job: Generator[Event, None, Segmentation],
    outputs: Callable[[], Outputs | None],
    engine: Engine,
) -> Generator[Any, None, Segmentation]:
    """Yield the events of `job`, with `SampleLabels` in place of `SampleDone`.

    Parameters
    ----------
    plan
        Of the job.
    job
        From the pipeline.
    outputs
        Returns the layers, once they are there: colours go on from what they show.
    engine
        The way to the worker.
    """
    started, held = None, held_part(plan)
    try:
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                result: Segmentation = stop.value
                break
            if isinstance(event, Started):
                started = event
            if not isinstance(event, SampleDone) or started is None:
                yield event
                continue
            labels = np.array(held.labels(started.labels, event.sample))
            shown = outputs()
            before = (
                shown.painted(event.sample) if shown and shown.plan is plan else None
            )
            colours = colours_of(engine, labels, before)
            yield SampleLabels(dict(event.sample), labels, colours)
    finally:
        job.close()
    if plan.separation.link:
        yield from coloured_alike(plan, held, result.labels, engine)
    return result


def coloured_alike(
    plan: Plan, held: Held, labels: Array, engine: Engine
) -> Generator[SampleLabels, None, None]:
    """Yield linked samples with one table, so that an object keeps its colour."""
    colours = colours_of(engine, labels, None)
    for sample in plan.region.samples:
        view = held.labels(labels, sample)
        yield SampleLabels(sample, np.array(view), colours)


def colours_of(engine: Engine, labels: Array, before: Colours | None) -> Colours:
    """Return a colour for each label; see `napari_unet.core.object_colours`."""
    shown = None if before is None else encode(before)
    return engine.call(worker_tasks.colour, encode(labels), shown, N_COLOURS)
