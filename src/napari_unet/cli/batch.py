"""Segment files: one or thousands, so that a stopped run can go on.

Everything that can be refused is refused before the first image. An image counts as
done when its labels are in place; they are written last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_unet.cli import DEBUG, Cancelled, explain
from napari_unet.cli.console import err, follow, out, progress_bar, say
from napari_unet.cli.journal import (
    START_AFRESH,
    Journal,
    differences,
    identity,
    plain_json,
)
from napari_unet.cli.outputs import count, summary, write_outputs
from napari_unet.cli.parallel import segment_parallel
from napari_unet.cli.place import Place
from napari_unet.cli.report import SUMMARY, Outcome, Report
from napari_unet.cli.request import Request
from napari_unet.cli.targets import (
    check_file,
    check_folder,
    output_paths,
    refuse_collisions,
    refuse_existing,
    refuse_inputs,
)
from napari_unet.errors import ImageFileError
from napari_unet.io.images import ImageSource, read_image
from napari_unet.io.names import stem
from napari_unet.io.write import read_provenance
from napari_unet.pipeline import Segmentation, iter_segment

JOURNAL = ".napari-unet-journal.jsonl"

Outputs = dict[str, Path]


def segment_one(
    image: Path, target: Path, request: Request, *, overwrite: bool, resume: bool
) -> None:
    """Segment one file into exactly `target` (and what was asked for beside it).

    The journal beside it is there only until the labels are.

    Raises
    ------
    UNetError
        If the image or the target does not allow it.
    """
    paths = output_paths(target, request.wanted)
    check_file(target)
    refuse_inputs(paths.values(), [image])
    if resume and target.is_file() and _is_done(image, target, request):
        out.print(f"{_name(image)}: done already -> {target}", markup=False)
        return
    journal = Journal(target.with_name(f".{target.name}{JOURNAL}"), request.described())
    resumed = resume and journal.resume()
    own = _names(paths) if resumed else ()
    refuse_existing(paths.values(), overwrite=overwrite, own=own)
    if not resumed:
        journal.remove()  # of a run that was stopped and is not gone on with
    with progress_bar() as bar:
        result = _segment_file(image, paths, request, journal, bar)
    journal.remove()
    out.print(f"{_name(image)}: {summary(result)} -> {target}", markup=False)


def _is_done(image: Path, target: Path, request: Request) -> bool:
    """Return whether `target` holds the labels of this very image.

    Raises
    ------
    ImageFileError
        If it does, but with another model or other settings.
    """
    stored = read_provenance(target) or {}
    if stored.get("source") != identity(image):
        return False
    differing = differences(stored.get("request"), plain_json(request.described()))
    if differing:
        raise ImageFileError(f"{target} was made with {differing}.", START_AFRESH)
    return True


def segment_many(
    images: Sequence[Path],
    folder: Path,
    request: Request,
    *,
    place: Place,
    overwrite: bool,
    resume: bool,
) -> None:
    """Segment files into a folder; a bad one is reported and skipped.

    A table at the end, and `SUMMARY` in the folder, say what became of each.

    Raises
    ------
    ImageFileError
        If the folder holds something already, or at least one image failed.
    Cancelled
        If it is interrupted; says how many images are done.
    """
    outputs = {
        image: output_paths(folder / f"{stem(image)}.tif", request.wanted)
        for image in images
    }
    journal = Journal(folder / JOURNAL, request.described())
    _open(journal, outputs, overwrite=overwrite, resume=resume)
    report = Report(folder)
    try:
        with progress_bar() as bar:
            task = bar.add_task("images", total=len(images))
            for outcome in _each(outputs, request, journal, bar, place):
                report.outcomes.append(outcome)
                bar.advance(task)
    except KeyboardInterrupt:
        raise Cancelled(
            f"Cancelled: {report.n_done} of {len(images)} images are done and stay; "
            "repeat the command with --resume to go on."
        ) from None
    finally:
        report.finish()
    if report.n_failed:
        raise ImageFileError(
            f"{report.n_failed} of {len(images)} images could not be segmented.",
            "The reasons stand above; the others are done.",
        )


def _each(
    outputs: dict[Path, Outputs],
    request: Request,
    journal: Journal,
    bar: Any,
    place: Place,
) -> Iterator[Outcome]:
    """Yield what is done, and segment what is left, one by one or many at once."""
    left = {i: p for i, p in outputs.items() if not journal.has(i, p["labels"])}
    for image in (image for image in outputs if image not in left):
        facts = journal.facts.get(outputs[image]["labels"].name, {})
        yield Outcome(image, is_new=False, **facts)
    if place.is_here:
        for image, paths in left.items():
            yield _try_file(image, paths, request, journal, bar)
        return
    with place.cluster() as cluster:
        for image, paths in left.items():
            journal.begin(image, paths["labels"])
        for found in segment_parallel(cluster, left, request):
            name = _name(found.image)
            if found.problem:
                err.print(f"{name}: {found.problem}", markup=False)
            else:
                target = left[found.image]["labels"]
                journal.finish(found.image, target, **_facts(found))
                say(f"{name}: {found.summary} -> {target}")
            yield found


def _facts(found: Outcome) -> dict[str, Any]:
    return {"n_objects": found.n_objects, "seconds": found.seconds}


def _open(
    journal: Journal, outputs: dict[Path, Outputs], *, overwrite: bool, resume: bool
) -> None:
    """Make the folder of results, or check that work may go on in it."""
    folder = journal.path.parent
    check_folder(folder)
    refuse_collisions(outputs)
    every = [path for paths in outputs.values() for path in paths.values()]
    refuse_inputs(every, outputs)
    resumed = resume and journal.resume()
    own = {
        name
        for paths in outputs.values()
        if paths["labels"].name in journal.begun
        for name in _names(paths)
    }
    table = [] if resumed else [folder / SUMMARY]
    refuse_existing([*every, *table], overwrite=overwrite, own=own)
    if not (overwrite or resume) and folder.is_dir() and _visible(folder):
        raise ImageFileError(
            f"The folder {folder} is not empty.",
            "Choose another one, or give --overwrite, or --resume to go on.",
        )
    if not resumed:
        folder.mkdir(parents=True, exist_ok=True)
        journal.start()


def _name(image: Path) -> str:
    """Return what an image is called; the last part of a path into zarr says little."""
    return stem(image) if image.is_dir() else image.name


def _visible(folder: Path) -> bool:
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _names(paths: Outputs) -> set[str]:
    return {path.name for path in paths.values()}


def _try_file(
    image: Path, paths: Outputs, request: Request, journal: Journal, bar: Any
) -> Outcome:
    """Segment one of many; say why, if that is impossible."""
    started = time.perf_counter()
    try:
        result = _segment_file(image, paths, request, journal, bar)
    except Exception as error:  # one bad image must not cost the others
        if os.environ.get(DEBUG):
            raise
        problem, spent = explain(error), time.perf_counter() - started
        err.print(f"{_name(image)}: {problem}", markup=False)
        return Outcome(image, problem=problem, seconds=spent)
    said = summary(result)
    say(f"{_name(image)}: {said} -> {paths['labels']}")
    spent = time.perf_counter() - started
    return Outcome(image, said, n_objects=count(result), seconds=spent)


def _segment_file(
    image: Path, paths: Outputs, request: Request, journal: Journal, bar: Any
) -> Segmentation:
    started = time.perf_counter()
    source = read_image(image, axes=request.options.axes, series=request.series)
    try:
        result = segment_source(source, request, bar)
        if not journal.path.is_file():
            journal.start()
        journal.begin(image, paths["labels"])
        write_outputs(paths, source, result, request, origin=identity(image))
        spent = round(time.perf_counter() - started, 3)
        journal.finish(image, paths["labels"], n_objects=count(result), seconds=spent)
    finally:
        source.close()
    return result


def segment_source(source: ImageSource, request: Request, bar: Any) -> Segmentation:
    """Segment an open image and show how it goes."""
    if not source.axes_known:
        err.print(f"{source.name}: the axes were guessed: {source.axes}.", markup=False)
    options = vars(request.options_for(source))
    return follow(iter_segment(source.data, request.model, **options), bar, source.name)
