"""Writing without accidents: a file is complete under its name, or not there.

Everything is written beside its target under a hidden temporary name and renamed at
the end, so neither an error nor a kill leaves half a file or costs the old one.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    if not target.parent.is_dir():
        raise ImageFileError(
            f"The folder {target.parent} does not exist.", "Create it first."
        )
    if target.is_dir():
        raise ImageFileError(f"{target} is a folder.", "Choose a file name.")
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.part{target.suffix}")
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


def sweep(folder: Path) -> None:
    """Delete temporary files that a kill has left in `folder`.

    Only to be called where no other process is writing.
    """
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
