"""Segment files: one or thousands, with a journal so that a stopped run can go on.

An image counts as done when its labels are in place; they are written last, under a
temporary name that is then renamed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_unet.cli.console import err, follow, out, progress_bar
from napari_unet.cli.outputs import Wanted, output_paths, write_outputs
from napari_unet.errors import ImageFileError, UNetError
from napari_unet.io.atomic import replacing
from napari_unet.io.images import ImageSource, read_image
from napari_unet.io.names import stem
from napari_unet.nn.checkpoint import Model
from napari_unet.pipeline import Options, Segmentation, iter_segment

JOURNAL = ".napari-unet-journal.json"


@dataclass(frozen=True)
class Request:
    """What is done to every image.

    Parameters
    ----------
    model
        Loaded once.
    options
        As for `segment`; axes and pixel size, if given, stand over the file's.
    wanted
        Files beside the labels.
    series
        Which image of a file that holds several.
    """

    model: Model
    options: Options
    wanted: Wanted
    series: int = 0

    @property
    def fingerprint(self) -> str:
        """Changes whenever model or settings do."""
        options = {
            name: value.model_dump() if hasattr(value, "model_dump") else value
            for name, value in vars(self.options).items()
            if name not in ("device", "workers")
        }
        text = json.dumps(
            [self.model.sha256, options, asdict(self.wanted), self.series], default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()


def segment_one(path: Path, target: Path, request: Request, *, overwrite: bool) -> None:
    """Segment one file into exactly `target` (and what was asked for beside it)."""
    paths = output_paths(target, request.wanted)
    refuse_existing(paths.values(), overwrite=overwrite)
    with progress_bar() as bar:
        result = _segment_file(
            path, paths, request, lambda job, name: follow(job, bar, name)
        )
    out.print(_sentence(path, result, target), markup=False)


def segment_many(
    paths: list[Path], folder: Path, request: Request, *, overwrite: bool, resume: bool
) -> None:
    """Segment files into a folder; a bad one is reported and skipped.

    Raises
    ------
    ImageFileError
        If the folder holds something already, or at least one image failed.
    """
    journal = Journal(folder, request.fingerprint)
    journal.open(overwrite=overwrite, resume=resume)
    failed = 0
    with progress_bar() as bar:
        task = bar.add_task("images", total=len(paths))
        for path in paths:
            target = folder / f"{stem(path)}.tif"
            if not journal.has(path, target):
                failed += not _try_file(path, target, request, journal, bar)
            bar.advance(task)
    if failed:
        raise ImageFileError(
            f"{failed} of {len(paths)} images could not be segmented.",
            "The reasons stand above; the others are done.",
        )


def _try_file(
    path: Path, target: Path, request: Request, journal: Journal, bar: Any
) -> bool:
    paths = output_paths(target, request.wanted)
    try:
        result = _segment_file(
            path, paths, request, lambda job, name: follow(job, bar, name)
        )
    except UNetError as error:
        err.print(f"{path.name}: {error}", markup=False)
        return False
    journal.add(path, target)
    bar.console.print(_sentence(path, result, target), markup=False)
    return True


def _segment_file(
    path: Path,
    paths: dict[str, Path],
    request: Request,
    run: Callable[[Any, str], Segmentation],
) -> Segmentation:
    source = read_image(path, axes=request.options.axes, series=request.series)
    try:
        return segment_source(source, paths, request, run)
    finally:
        source.close()


def segment_source(
    source: ImageSource,
    paths: dict[str, Path],
    request: Request,
    run: Callable[[Any, str], Segmentation],
) -> Segmentation:
    """Segment an open image and write its outputs."""
    options = vars(request.options) | {"axes": source.axes, "rgb": source.rgb}
    given = options["pixel_size"]
    options["pixel_size"] = source.pixel_size if given is None else given
    result = run(iter_segment(source.data, request.model, **options), source.name)
    if not source.axes_known:
        err.print(f"{source.name}: the axes were guessed: {source.axes}.", markup=False)
    recipe = request.model.recipe
    write_outputs(
        paths,
        source,
        result,
        pixel_size=_sizes(options["pixel_size"]),
        class_names=recipe.channels if recipe.task == "semantic" else (),
    )
    return result


def _sizes(pixel_size: Any) -> dict[str, float]:
    if isinstance(pixel_size, tuple):
        axes = "ZYX"[-len(pixel_size) :] if len(pixel_size) > 1 else "YX"
        return dict(zip(axes, pixel_size * len(axes), strict=False))
    return dict(pixel_size)


def _sentence(path: Path, result: Segmentation, target: Path) -> str:
    n = count_objects(result)
    return f"{path.name}: {n} object{'s' * (n != 1)} -> {target}"


def count_objects(result: Segmentation) -> int:
    """Return the number of objects over all frames (ids restart in each)."""
    import numpy as np

    if not result.separation.link and len(result.axes) > len(result.spatial):
        others = [a for a in result.axes if a not in result.spatial]
        order = [result.axes.index(a) for a in others + list(result.spatial)]
        frames = result.labels.transpose(order)
        frames = frames.reshape(-1, *frames.shape[len(others) :])
        return sum(int(frame.max(initial=0)) for frame in frames)
    return int(np.count_nonzero(np.unique(result.labels)))


def refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise `ImageFileError` if one of `paths` exists and must not be replaced."""
    for path in paths:
        if path.exists() and not overwrite:
            raise ImageFileError(
                f"{path} exists already.", "Choose another name, or give --overwrite."
            )


class Journal:
    """Which images of a folder are done, under which model and settings.

    Parameters
    ----------
    folder
        Where the outputs go.
    fingerprint
        Of the request; a run with another one is not continued.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint
        self.done: dict[str, list[Any]] = {}

    def open(self, *, overwrite: bool, resume: bool) -> None:
        """Make the folder, or check that work may go on in it."""
        path = self.folder / JOURNAL
        if self.folder.exists() and not self.folder.is_dir():
            raise ImageFileError(
                f"{self.folder} is a file; several images need a folder.",
                "Choose another name.",
            )
        if resume and path.is_file():
            self._read(path)
        elif self.folder.exists() and any(self.folder.iterdir()) and not overwrite:
            raise ImageFileError(
                f"The folder {self.folder} is not empty.",
                "Choose another one, or give --overwrite, or --resume to go on.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def has(self, path: Path, target: Path) -> bool:
        """Return whether this very file is done and its labels are there."""
        return self.done.get(target.name) == _identity(path) and target.is_file()

    def add(self, path: Path, target: Path) -> None:
        """Note that `path` is done."""
        self.done[target.name] = _identity(path)
        self._write()

    def _read(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text())
            fingerprint, done = found["fingerprint"], dict(found["done"])
        except (ValueError, KeyError, TypeError):
            raise ImageFileError(
                f"The journal {path} is damaged.", "Start afresh with --overwrite."
            ) from None
        if fingerprint != self.fingerprint:
            raise ImageFileError(
                f"{self.folder} was begun with another model or other settings.",
                "Repeat them to resume, or start afresh with --overwrite.",
            )
        self.done = done

    def _write(self) -> None:
        with replacing(self.folder / JOURNAL) as temporary:
            content = {"fingerprint": self.fingerprint, "done": self.done}
            temporary.write_text(json.dumps(content, indent=1))


def _identity(path: Path) -> list[Any]:
    """Tell one version of a file (or of a zarr folder) from the next."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
