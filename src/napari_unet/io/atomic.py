"""Writing without accidents: a file is complete under its name, or not there.

Everything is written beside its target under a hidden temporary name and renamed at
the end, so neither an error nor a kill leaves half a file or costs the old one.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096  # bytes
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.part(\.\w+)?")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` if the block succeeds.

    Parameters
    ----------
    path
        Target; its folder must exist. A file that is there is replaced at the end.

    Raises
    ------
    ImageFileError
        If the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = _temporary(target)
    try:
        yield temporary
        os.replace(temporary, target)  # noqa: PTH105 - Path.replace hides the error
    except OSError as error:
        raise ImageFileError(
            f"{target} could not be written ({error.strerror or error}).",
            "Check the permissions and the free space of the disk.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise if a file cannot be written, before hours of work are spent on it.

    A page is written beside it, and deleted: permissions alone do not tell of a disk
    that is full or read-only.

    Raises
    ------
    ImageFileError
        With the reason that the system gives.
    """
    target = Path(path)
    temporary = _temporary(target)
    try:
        temporary.write_bytes(bytes(PAGE))
    except OSError as error:
        raise ImageFileError(
            f"{target} cannot be written ({error.strerror or error}).",
            "Choose another file, or make room on its disk.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _temporary(target: Path) -> Path:
    if not target.parent.is_dir():
        raise ImageFileError(
            f"The folder {target.parent} does not exist.", "Create it first."
        )
    if target.is_dir():
        raise ImageFileError(f"{target} is a folder.", "Choose a file name.")
    return target.with_name(f".{uuid.uuid4().hex[:12]}.part{target.suffix}")


def sweep(folder: Path) -> None:
    """Delete temporary files that a kill has left in `folder`.

    Only to be called where no other process is writing.
    """
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
