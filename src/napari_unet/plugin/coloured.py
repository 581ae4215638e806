"""Coloured: a run's events, its samples coloured outside the window's thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from napari_unet.core.events import Event, SampleDone, Started
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.result import Segmentation
from napari_unet.plugin.colours import next_colours
from napari_unet.plugin.live import SampleLabels, coloured_alike
from napari_unet.plugin.outputs import Outputs


def coloured(
    plan: Plan,
    job: Generator[Event, None, Segmentation],
    outputs: Callable[[], Outputs | None],
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
    """
    started: Started | None = None
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
            labels = np.array(plan.axes.labels_view(started.labels, event.sample))
            shown = outputs()
            before = (
                shown.painted(event.sample) if shown and shown.plan is plan else None
            )
            yield SampleLabels(dict(event.sample), labels, next_colours(labels, before))
    finally:
        job.close()
    shown = outputs()
    if plan.separation.link and shown is not None:
        yield from coloured_alike(shown, result.labels)
    return result
