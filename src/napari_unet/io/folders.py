"""Folders of images: which files are meant, and which belong together.

The conventions of the field are recognised before "a folder of images": a zarr folder
is one image, the 2018 Data Science Bowl keeps one folder per image, the Cell Tracking
Challenge one per sequence. Files that look like results lie beside their images, and
are not images to be segmented.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import ImageFileError
from napari_unet.io.names import IMAGE_SUFFIXES, bare_stem, is_image, is_zarr, stem
from napari_unet.io.plates import plate_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["bare_stem", "list_images", "pair_by_stem", "stem", "unpaired"]

logger = logging.getLogger(__name__)

Pair = tuple[Path, Path]

_SEQUENCE = re.compile(r"\d{2,3}")
_FRAME = re.compile(r"t\d{3,}")


def list_images(paths: Sequence[Path]) -> list[Path]:
    """Expand files and folders to images.

    Parameters
    ----------
    paths
        Files are taken as they are, folders are searched: a zarr folder is an image, or
        a plate or a well that stands for its fields of view;
        a folder with ``images/`` in it or in its subfolders (Data Science Bowl 2018)
        stands for the images there, one with a sequence ``01/`` for its frames (Cell
        Tracking Challenge); any other stands for the images in it, by name,
        without hidden files and without what looks like results (``_labels``,
        ``_masks``, ``_overlay``, ...), unless there is nothing else.

    Returns
    -------
    list of Path
        At least one path, no path twice.

    Raises
    ------
    ImageFileError
        If a path does not exist, a folder holds no images, or two images have the
        same name, so that their results would overwrite each other.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for image in _expand(Path(path)):
            found.setdefault(image.resolve(), image)
    images = list(found.values())
    if not images:
        raise ImageFileError("No images were given.", "Name a file or a folder.")
    _refuse_same_stems(images)
    return images


def pair_by_stem(predictions: Sequence[Path], truths: Sequence[Path]) -> list[Pair]:
    """Pair files whose names are equal but for suffixes and endings of results.

    ``a.tif`` goes with ``a_labels.tif``. Files without a partner are logged; `unpaired`
    lists them.

    Raises
    ------
    ImageFileError
        If a name occurs twice on one side, or nothing can be paired.
    """
    left = _by_bare_stem(predictions, "predictions")
    right = _by_bare_stem(truths, "truth")
    pairs = [(left[name], right[name]) for name in left if name in right]
    if not pairs:
        raise ImageFileError(
            f"None of the {len(left)} predictions and {len(right)} truth files have "
            "the same name.",
            "Name them alike, such as a.tif and a.tif, or a_labels.tif and a.tif.",
        )
    for path in (*unpaired(predictions, truths),):
        logger.warning("%s has no partner and is left out", path)
    return pairs


def unpaired(predictions: Sequence[Path], truths: Sequence[Path]) -> list[Path]:
    """Return the files of both sides that `pair_by_stem` leaves out."""
    names = [{_key(path) for path in side} for side in (predictions, truths)]
    both = names[0] & names[1]
    return [path for path in (*predictions, *truths) if _key(path) not in both]


def _expand(path: Path) -> list[Path]:
    if not path.exists():
        raise ImageFileError(
            f"{path} does not exist.", "Check the spelling and the current folder."
        )
    if is_zarr(path):
        return plate_images(path) or [path]
    if not path.is_dir():
        return [path]
    found = _images_in(path) or _images_in_bowl(path) or _images_in_sequence(path)
    if not found:
        raise ImageFileError(
            f"The folder {path} holds no images.",
            "Name the folder that holds them itself; readable are OME-Zarr, "
            + ", ".join(IMAGE_SUFFIXES)
            + ".",
        )
    return found


def _images_in(folder: Path) -> list[Path]:
    """Return the images directly in a folder; results only if there is nothing else."""
    every = [p for p in _visible(folder) if is_image(p)]
    return [p for p in every if stem(p) == bare_stem(p)] or every


def _images_in_bowl(folder: Path) -> list[Path]:
    """Return the images of the 2018 Data Science Bowl layout: ``*/images/*.png``."""
    if (folder / "images").is_dir():
        return _images_in(folder / "images")
    subfolders = [sub / "images" for sub in _visible(folder) if sub.is_dir()]
    return [p for sub in subfolders if sub.is_dir() for p in _images_in(sub)]


def _images_in_sequence(folder: Path) -> list[Path]:
    """Return the frames of the only sequence of a Cell Tracking Challenge data set."""
    sequences = [s for s in _visible(folder) if _SEQUENCE.fullmatch(s.name)]
    frames = {s.name: _images_in(s) for s in sequences if s.is_dir()}
    if len(frames) > 1 and all(map(_are_frames, frames.values())):
        raise ImageFileError(
            f"{folder} holds the sequences {', '.join(frames)} of the Cell Tracking "
            "Challenge, whose frames have the same names.",
            f"Name one of them, such as {sequences[0]}.",
        )
    return next((f for f in frames.values() if _are_frames(f)), [])


def _are_frames(paths: list[Path]) -> bool:
    return bool(paths) and all(_FRAME.fullmatch(stem(path)) for path in paths)


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _refuse_same_stems(images: Iterable[Path]) -> None:
    seen: dict[str, Path] = {}
    for image in images:
        key = stem(image).casefold()
        if key in seen:
            raise ImageFileError(
                f"{seen[key]} and {image} have the same name without suffix, so their "
                "results would overwrite each other.",
                "Rename one of them, or run them into different folders.",
            )
        seen[key] = image


def _by_bare_stem(paths: Sequence[Path], side: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        key = _key(path)
        if key in named:
            raise ImageFileError(
                f"Among the {side}, {named[key]} and {path} have the same name but for "
                "their endings.",
                "Remove one of them, so that it is clear which is meant.",
            )
        named[key] = path
    return named


def _key(path: Path) -> str:
    return bare_stem(path).casefold()
