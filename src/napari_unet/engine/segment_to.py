"""Segmenting an image of any size into an OME-Zarr file, resumable, on any machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import torch
import zarr

from napari_unet.core.axes import ArrayLike
from napari_unet.engine.executors import Executor, Here
from napari_unet.engine.items import NETWORK, Item
from napari_unet.engine.job import Job, Origin
from napari_unet.engine.journal import Journal
from napari_unet.engine.linking import check_linking, link_all
from napari_unet.engine.ordering import in_view_first
from napari_unet.engine.output import (
    SUFFIX,
    Output,
    Progress,
    Written,
    told,
)
from napari_unet.engine.previews import create_previews
from napari_unet.engine.stores import (
    NAME,
    create_level,
    is_finished,
    level_chunks,
    n_levels_of,
)
from napari_unet.engine.target import check_target, put_in_place, remove
from napari_unet.engine.work import Work
from napari_unet.errors import ImageFileError, SettingsError
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.pipeline.options import RegionLike, parse_options

View = Callable[[], RegionLike | None]


def segment_to(
    source: str | Path | ArrayLike,
    out: str | Path | Output,
    model: Model | str | Path,
    *,
    executor: Executor | None = None,
    series: int = 0,
    **options: Any,
) -> Written:
    """Segment an image that need not fit into memory into an OME-Zarr file.

    The labels are those of `napari_unet.segment`, bit for bit, numbers included.

    Parameters
    ----------
    source
        OME-Zarr, zarr, TIFF or any other image file; or a NumPy, dask or zarr array.
    out
        The OME-Zarr group to be, or an `Output`.
    model
        From `load_model`, a bundled name, or a path.
    executor
        Where the work runs: `Here` by default, or a `Cluster`.
    series
        Which image of a file that holds several.
    **options
        As for `segment`, and the fields of `Output`.

    Returns
    -------
    Written
        Arrays on disk.

    Raises
    ------
    ImageFileError
        The output exists; or was begun with another model, image or settings; or a
        file cannot be read or written.
    UNetError
        Image, model and options do not fit.
    """
    job = iter_segment_to(
        source, out, model, executor=executor, series=series, **options
    )
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: Written = stop.value
            return result


def iter_segment_to(
    source: str | Path | ArrayLike,
    out: str | Path | Output,
    model: Model | str | Path,
    *,
    executor: Executor | None = None,
    series: int = 0,
    first: View | None = None,
    **options: Any,
) -> Generator[Progress, None, Written]:
    """Do as `segment_to`, yielding progress; close it to stop, and resume later.

    Parameters
    ----------
    source, out, model, executor, series, **options
        As for `segment_to`.
    first
        Returns what is looked at, such as ``{"Y": (0, 512)}``, whenever it is asked:
        that is done first. It changes the order of work, and no label.

    Yields
    ------
    Progress
        A step, and how many of its items are done.
    """
    output = _output(out, options)
    if options.get("region") is not None or options.get("crop"):
        raise SettingsError(
            "A region cannot be segmented out of core yet.",
            "Leave the region out, or use segment.",
        )
    origin = (
        Origin(Path(source), series=series)
        if isinstance(source, (str, Path))
        else Origin(None, source)
    )
    job = Job(
        origin=origin,
        model=model if isinstance(model, Model) else load_model(model),
        options=parse_options(options),
        output=output.path.with_name(output.path.name + SUFFIX),
        block=output.block,
        threads=output.threads or torch.get_num_threads(),
        keep_probabilities=output.keep_probabilities,
        preview=output.preview,
    )
    return _run(job, output, executor or Here(), first or _nowhere)


def _nowhere() -> None:
    """Look at nothing: the order is that of the image."""


def _output(out: str | Path | Output, options: dict[str, Any]) -> Output:
    """Take the fields of `Output` out of `options`."""
    names = {field.name for field in dataclasses.fields(Output)} - {"path"}
    given = {name: options.pop(name) for name in names & set(options)}
    if isinstance(out, Output):
        return dataclasses.replace(out, **given)
    return Output(Path(out), **given)


def _run(
    job: Job, output: Output, executor: Executor, first: View
) -> Generator[Progress, None, Written]:
    with told(job.output):
        return (yield from _steps(job, output, executor, first))


def _steps(
    job: Job, output: Output, executor: Executor, first: View
) -> Generator[Progress, None, Written]:
    replace = output.overwrite or output.resume
    check_target(output.path, job.origin.place, replace=replace)
    resumed = _resumable(output, job.output)
    if resumed is not None:
        job = _as_before(job, output, resumed)
    work = Work(job, job.plan())
    request = job.request(work.plan)
    if resumed is None:
        _start(work, request, overwrite=output.overwrite)
    else:
        work.journal.check(request)
        work.journal.remove_leftovers()
        if is_finished(job.output):
            return _put(work, output.path)
    _create(work)
    yield Progress("measure", 0, 1)
    work.measure()
    yield Progress("measure", 1, 1)
    with executor.running(work) as run:
        for step in work.steps:
            yield from _step(run, step, work, first)
        yield from _finish(run, work, request)
    return _put(work, output.path)


def _put(work: Work, target: Path) -> Written:
    """Give a finished output its name, unless it has it."""
    work.store.remove_scratch()
    put_in_place(work.job.output, target)
    return _written(target, work)


def _resumable(output: Output, part: Path) -> Journal | None:
    """Return the journal of the run that is resumed, if there is one."""
    if not output.resume:
        if part.exists() and not output.overwrite:
            raise ImageFileError(
                f"A stopped run left {part.name}.",
                "Give --resume to go on with it, or --overwrite to start afresh.",
            )
        return None
    for path in (part, output.path):
        journal = Journal(path)
        if journal.read() is not None:
            return journal
    if output.path.exists() and not output.overwrite:
        raise ImageFileError(
            f"{output.path} holds no journal, so it cannot be resumed.",
            "Choose another name, or give --overwrite.",
        )
    return None


def _as_before(job: Job, output: Output, journal: Journal) -> Job:
    """Take block and threads, unless given, from the run that is resumed."""
    before = journal.read() or {}
    block = output.block or before.get("block", 0)
    threads = output.threads or int(before.get("threads", job.threads))
    return dataclasses.replace(job, output=journal.output, block=block, threads=threads)


def _start(work: Work, request: dict[str, Any], *, overwrite: bool) -> None:
    part = work.job.output
    check_linking(work.store)
    if overwrite:
        remove(part)
    work.journal.begin(request)


def _create(work: Work) -> None:
    """Make what is to be filled, as far as it is not there."""
    work.store.create()
    if work.job.preview:
        create_previews(work.store)
    if work.plan.resampling is not None:
        blocks = work.network_blocks
        channels = len(work.plan.model.recipe.channels)
        shape = (len(work.samples), channels, *blocks.shape)
        work.store.create_scratch(NETWORK, shape, blocks.region(0))


def _step(
    run: Any, step: str, work: Work, first: View
) -> Generator[Progress, None, None]:
    """Do what is left of one step."""
    items = work.items(step)
    left = [item for item in items if not work.is_done(item)]
    ordered = in_view_first(left, work, first)
    yield from _do(run, step, ordered, n_done=len(items) - len(left), total=len(items))


def _do(
    run: Any, step: str, items: Iterable[Item], *, n_done: int = 0, total: int
) -> Generator[Progress, None, None]:
    yield Progress(step, n_done, total)
    for _ in run(items):
        n_done += 1
        yield Progress(step, n_done, total)


def _finish(
    run: Any, work: Work, request: dict[str, Any]
) -> Generator[Progress, None, None]:
    """Link, build pyramids, and write the metadata."""
    store = work.store
    if not all(map(work.is_done, work.items(work.steps[-1]))):
        raise ImageFileError(
            f"Stored labels of {work.job.output.name} have vanished.",
            "Repeat the command with --resume: they are made again.",
        )
    n_linked = link_all(store, work.plan.separation)
    n_levels = {}
    for what, group in store.groups.items():
        n_levels[what] = n_levels_of(zarr.open_array(group / "0", mode="r").shape)
        for level in range(1, n_levels[what]):
            create_level(group, level)
            chunks = range(level_chunks(group, level))
            items = [Item("level", level, chunk, what) for chunk in chunks]
            yield from _do(run, f"pyramid {level}", items, total=len(items))
    _check_image(work, request)
    n_objects = _count(work, n_linked) if work.has_objects else 0
    provenance = {**request, "intensity": work.plain_ranges, "n_objects": n_objects}
    store.finish({**provenance, "notes": list(work.plan.notes)}, n_levels)


def _check_image(work: Work, request: dict[str, Any]) -> None:
    """Refuse an image that changed: a chunk that was not there is a hole in labels."""
    if work.job.origin.identity() != request["image"]:
        # Nobody knows which blocks have seen it: what is there must not be resumed.
        work.journal.begin({**request, "image": "changed while it was segmented"})
        raise ImageFileError(
            "The image changed while it was segmented.",
            "Put it in order, and start afresh with --overwrite.",
        )


def _count(work: Work, n_linked: int) -> int:
    """Return the number of objects over all samples; linked ones count once each."""
    if work.store.layout.link:
        return n_linked
    step = "number" if work.steps[-1] == "labels" else work.steps[-1]
    found = (work.records(s).read(step, 0) for s in range(len(work.samples)))
    return sum(int(record["n_labels"]) for record in found)


def _written(path: Path, work: Work) -> Written:
    group = zarr.open_group(path, mode="r")
    facts: Any = group.attrs["napari_unet"]
    kept = work.job.keep_probabilities
    return Written(
        path=path,
        labels=zarr.open_array(path / "labels" / NAME / "0", mode="r"),
        axes=work.store.layout.labels_axes,
        probabilities=zarr.open_array(path / "0", mode="r") if kept else None,
        n_objects=int(facts["n_objects"]),
        notes=tuple(facts["notes"]),
    )
