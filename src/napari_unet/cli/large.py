"""Segment one image out of core: OME-Zarr out, with any number of workers."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from napari_unet.cli.console import out, progress_bar
from napari_unet.cli.place import Place
from napari_unet.cli.request import Request
from napari_unet.cli.targets import refuse_inputs
from napari_unet.engine.executors import Executor, Here
from napari_unet.engine.output import Output, Written
from napari_unet.engine.segment_to import iter_segment_to
from napari_unet.errors import SettingsError


def segment_large(
    image: Path,
    target: Path,
    request: Request,
    *,
    place: Place,
    overwrite: bool,
    resume: bool,
) -> None:
    """Segment one image into an OME-Zarr group and say how many objects there are."""
    refuse_inputs([target], [image])
    if request.wanted.overlay or request.wanted.objects:
        raise SettingsError(
            "Pictures and tables are not written beside an OME-Zarr.",
            "Leave --overlay and --objects out.",
        )
    output = Output(
        target,
        block=place.block,
        keep_probabilities=request.wanted.probabilities,
        overwrite=overwrite,
        resume=resume,
    )
    given: dict[str, Any] = dict(vars(request.options))
    with contextlib.ExitStack() as stack:
        executor: Executor = Here()
        if not place.is_here:
            executor = stack.enter_context(place.cluster())
        job = iter_segment_to(
            image,
            output,
            request.model,
            executor=executor,
            series=request.series,
            **given,
        )
        found = _follow(job)
    for note in found.notes:
        out.print(f"{image.name}: {note}", markup=False)
    n = found.n_objects
    out.print(f"{image.name}: {n} object{'s' * (n != 1)} -> {found.path}", markup=False)


def _follow(job: Any) -> Written:
    """Run a job to its end, a bar for each step."""
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                written: Written = stop.value
                return written
            if event.step not in tasks:
                tasks[event.step] = bar.add_task(event.step, total=event.total)
            bar.update(tasks[event.step], completed=event.n_done)
