"""Targets: where outputs go, and what is refused before any work is done.

A run of hours must not end in "the folder does not exist", and nothing replaces a
file of the user's, least of all the image itself, unless that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.names import IMAGE_SUFFIXES, stem
from napari_unet.io.write import check_suffix


@dataclass(frozen=True)
class Wanted:
    """Which files are written beside the labels."""

    overlay: bool = False
    objects: bool = False
    probabilities: bool = False


def output_paths(labels_path: Path, wanted: Wanted) -> dict[str, Path]:
    """Return the path of each file that one image leads to, labels first."""
    name = stem(labels_path)
    paths = {"labels": labels_path}
    if wanted.overlay:
        paths["overlay"] = labels_path.with_name(f"{name}_overlay.png")
    if wanted.objects:
        paths["objects"] = labels_path.with_name(f"{name}_objects.csv")
    if wanted.probabilities:
        paths["probabilities"] = labels_path.with_name(f"{name}_probabilities.tif")
    return paths


def check_file(target: Path) -> None:
    """Refuse a labels file that could not be written in the end.

    Raises
    ------
    ImageFileError
        If it is a folder, of a wrong kind, or its folder is missing or read-only.
    """
    if target.is_dir():
        raise ImageFileError(
            f"{target} is a folder, but one image leads to one file.",
            f"Name the file, such as {target / 'labels.tif'}.",
        )
    check_suffix(target, "Labels")
    if not target.parent.is_dir():
        raise ImageFileError(
            f"The folder {target.parent} does not exist.", "Create it first."
        )
    _check_writable(target.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder of results that could not be made or written.

    Raises
    ------
    ImageFileError
        If it is a file, named like one, or read-only.
    """
    if folder.exists() and not folder.is_dir():
        raise ImageFileError(
            f"{folder} is a file; several images need a folder.",
            "Choose another name.",
        )
    if not folder.exists() and folder.suffix.lower() in IMAGE_SUFFIXES:
        raise ImageFileError(
            f"{folder} is named like a file, but several images need a folder.",
            f"Choose a name such as {folder.with_suffix('')}.",
        )
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise ImageFileError(
            f"The folder {folder} cannot be made: {existing} is a file.",
            "Choose another name.",
        )
    _check_writable(existing)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageFileError(
            f"The folder {folder} may not be written to.",
            "Choose another folder, or ask for permission.",
        )


def refuse_existing(
    paths: Iterable[Path], *, overwrite: bool, own: Collection[str] = ()
) -> None:
    """Refuse to replace files unasked.

    Parameters
    ----------
    paths
        What will be written.
    overwrite
        Whether to replace was asked for.
    own
        Names of files that the same run wrote before it was stopped.

    Raises
    ------
    ImageFileError
        Naming the first file that is in the way.
    """
    for path in paths:
        if path.exists() and not overwrite and path.name not in own:
            raise ImageFileError(
                f"{path} exists already.", "Choose another name, or give --overwrite."
            )


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, even with --overwrite.

    Raises
    ------
    ImageFileError
        Naming the file.
    """
    read = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise ImageFileError(
                f"{path} is an input and would be overwritten by the result.",
                "Write the result to another place.",
            )


def refuse_collisions(outputs: Mapping[Path, Mapping[str, Path]]) -> None:
    """Refuse two images that lead to one file, given the outputs of each.

    Raises
    ------
    ImageFileError
        Naming the images and the file.
    """
    taken: dict[str, Path] = {}
    for image, paths in outputs.items():
        for path in paths.values():
            other = taken.setdefault(path.name.casefold(), image)
            if other is not image:
                raise ImageFileError(
                    f"{other} and {image} would both be written to {path}.",
                    "Rename one of them, or run them into different folders.",
                )
