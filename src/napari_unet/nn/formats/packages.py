"""Packages in a zip: unpacked once into this user's cache, under their own digest."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import Archive, open_archive
from napari_unet.nn.formats.files import RegularFile

CACHE = "NAPARI_UNET_CACHE"


def cache_folder() -> Path:
    """Return this user's cache: where the variable says, else where caches belong."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "napari-unet"
    local = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    root = os.environ.get(local)
    return (Path(root) if root else Path.home() / ".cache") / "napari-unet"


def unpacked(file: RegularFile) -> Path:
    """Return the folder that a checked archive was unpacked to, now or before.

    It appears complete or not at all.

    Raises
    ------
    CheckpointError
        If the archive is damaged or made to do harm, or the cache cannot be written.
    """
    folder = cache_folder() / "packages" / file.sha256()
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
        try:
            with open_archive(file) as archive:
                archive.extract(temporary)
            with contextlib.suppress(FileExistsError):
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if folder.is_dir():  # another process was faster
            return folder
        raise CheckpointError(
            f"{file.name} cannot be unpacked to {folder.parent} ({error.strerror}).",
            f"Free some space, or name another folder with {CACHE}.",
        ) from None
    return folder


def names_in(archive: Archive) -> list[str]:
    """Return the records of an archive that lie at its top, or one folder below."""
    return [name for name in archive.records if name.count("/") <= 1]
