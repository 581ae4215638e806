"""Regular files: opened without waiting, never longer than allowed, never swapped.

A path may name a pipe, a device or a file that somebody replaces between two looks at
it. Each opening here checks what was opened, and that it is still the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.limits import LARGEST_FILE

# Without these a pipe would wait for a writer, and Windows would translate line ends.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class RegularFile:
    """A regular file of bounded size.

    Parameters
    ----------
    path
        May be a link to a regular file.

    Raises
    ------
    CheckpointError
        If it is anything else, cannot be read, or is larger than any checkpoint.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = shown_name(self.path)
        with self._open() as (_, found):
            self._identity = _identity(found)
            self.size = found.st_size
        if self.size > LARGEST_FILE:
            raise CheckpointError(
                f"{self.name} has {self.size / 2**30:.0f} GiB, more than any U-Net.",
                "Check that it is the right file.",
            )

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading; refuse if the file is not the one first seen."""
        with self._open() as (file, found):
            if _identity(found) != self._identity:
                raise CheckpointError(
                    f"{self.name} changed while it was read.", "Load it again."
                )
            yield file

    def head(self, length: int) -> bytes:
        """Return the first `length` bytes, or all there are."""
        with self.open() as file:
            return file.read(length)

    def sha256(self) -> str:
        """Return the digest of the content, in hexadecimal."""
        with self.open() as file:
            return hashlib.file_digest(
                cast("io.BufferedReader", file), "sha256"
            ).hexdigest()

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[BinaryIO, os.stat_result]]:
        try:
            self._check(self.path.stat())
            descriptor = os.open(self.path, _FLAGS)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"{self.name} cannot be read: {reason}.",
                "Check the path and its rights.",
            ) from None
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, no path
            found = os.fstat(descriptor)
            self._check(found)
            yield file, found

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(
                f"{self.name} is no regular file.", "Give the checkpoint's own file."
            )


def inside(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`, links followed.

    Raises
    ------
    CheckpointError
        If it leads out of the folder.
    """
    try:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            return path
    except (OSError, RuntimeError, ValueError):
        pass  # a link to itself, a name with a zero byte
    raise CheckpointError(
        f"{shown_name(Path(name))} leads out of {shown_name(folder)}.",
        "Copy the files themselves into the folder.",
    )


def shown_name(path: Path) -> str:
    """Return the last part of a path as it may stand in a message, in one line."""
    name = "".join(c if c.isprintable() else "?" for c in path.name or str(path))
    return name if len(name) <= 80 else f"{name[:77]}..."


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
