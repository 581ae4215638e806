"""The target of a run: what is refused before any work, and how it gets its name.

Only folders that this program has made are replaced, and never the image. The old
output is whole, here or aside, until the new one is in its place.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_unet.engine.journal import FOLDER
from napari_unet.engine.output import SUFFIX
from napari_unet.engine.stores import is_finished
from napari_unet.errors import ImageFileError

# Behind the name of an output that is about to be replaced.
ASIDE = ".old"


def check_target(path: Path, image: Path | None, *, replace: bool) -> None:
    """Refuse a target that must not be written.

    Parameters
    ----------
    path
        The output to be.
    image
        Where the image lies, if that is known.
    replace
        Whether an output that is there may be replaced, or gone on with.

    Raises
    ------
    ImageFileError
        If the folder is missing; if the target is in the way, or no output of this
        program; or if it is the image, holds it or lies in it.
    """
    part = _beside(path, SUFFIX)
    if image is not None and (_touch(path, image) or _touch(part, image)):
        raise ImageFileError(
            f"The output {path} is the image {image}, or one lies in the other.",
            "Write the result to another place.",
        )
    if not path.parent.is_dir():
        raise ImageFileError(
            f"The folder {path.parent} does not exist.", "Create it first."
        )
    if path.exists() and not replace:
        raise ImageFileError(
            f"{path} exists already.", "Choose another name, or give --overwrite."
        )
    for found in (path, part, _beside(path, ASIDE)):
        if found.exists() and not is_ours(found):
            raise ImageFileError(
                f"{found} is no output of this program, and is not replaced.",
                "Choose another name.",
            )


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a journal, or says that this program has made it."""
    return (folder / FOLDER).is_dir() or is_finished(folder)


def put_in_place(part: Path, path: Path) -> None:
    """Give a finished output its name; may be repeated after a kill at any moment."""
    aside = _beside(path, ASIDE)
    if part != path:
        if path.exists():
            remove(aside)
            path.rename(aside)
        part.rename(path)
    remove(aside)


def remove(folder: Path) -> None:
    """Remove an output, if it is there.

    What says that it is finished goes first, its journal last: what a kill leaves is
    not taken for whole, and is still known as ours.
    """
    if folder.is_symlink():
        folder.unlink()
    if not folder.exists():
        return
    order = sorted(folder.iterdir(), key=lambda e: (e.is_dir(), e.name == FOLDER))
    for entry in order:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.rmdir()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _touch(one: Path, other: Path) -> bool:
    """Whether one path is the other, or lies in it, whatever links lead there."""
    one, other = one.resolve(), other.resolve()
    return _holds(one, other) or _holds(other, one)


def _holds(folder: Path, path: Path) -> bool:
    # Names may differ in case where files do not.
    known = (p for p in (path, *path.parents) if p.exists())
    return folder.exists() and any(p.samefile(folder) for p in known)
