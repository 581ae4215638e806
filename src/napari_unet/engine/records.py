"""Records: what each step found out about each block, one small file each.

A record is renamed into place when it is complete, so its presence says that the step
is done for that block, whatever happens to the process that wrote it.
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_unet.errors import ImageFileError

Array = npt.NDArray[Any]

SUFFIX = ".safetensors"
CHECKSUM = "crc32"


class _DamagedError(ValueError):
    """The bytes of a record are not those that were written."""


DAMAGE = (SafetensorError, KeyError, ValueError)


@dataclass(frozen=True)
class Records:
    """The records of one sample.

    Parameters
    ----------
    folder
        Where they lie, a folder per step.
    """

    folder: Path

    def path(self, step: str, number: int) -> Path:
        """Return where the record of a block lies."""
        return self.folder / step / f"{number:06d}{SUFFIX}"

    def write(self, step: str, number: int, arrays: Mapping[str, Array]) -> None:
        """Write a record, complete or not at all."""
        path = self.path(step, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.part")
        kept = {name: np.asarray(values, order="C") for name, values in arrays.items()}
        try:
            temporary.write_bytes(save(kept, {CHECKSUM: _checksum(kept)}))
            os.replace(temporary, path)  # noqa: PTH105 - Path.replace hides the error
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, step: str, number: int) -> dict[str, Array]:
        """Return a record.

        Raises
        ------
        ImageFileError
            If it is damaged; it is removed, so that a resumed run makes it again.
        """
        path = self.path(step, number)
        try:
            with safe_open(path, "numpy") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                written = file.metadata()[CHECKSUM]
            if _checksum(found) != written:
                raise _DamagedError
            return found
        except DAMAGE as error:
            self.remove(step, number)
            raise ImageFileError(
                f"The record {path} is damaged.",
                "Repeat the command with --resume: it is made again.",
            ) from error

    def number(self, step: str, number: int, name: str) -> int | None:
        """Return one number of a record; None if record or number are not there."""
        try:
            with safe_open(self.path(step, number), "numpy") as file:
                return int(file.get_tensor(name))
        except (FileNotFoundError, *DAMAGE):
            return None

    def has(self, step: str, number: int) -> bool:
        """Whether a step is done for a block; a record that was cut off says no."""
        try:
            with safe_open(self.path(step, number), "numpy"):
                return True
        except (FileNotFoundError, *DAMAGE):
            return False

    def remove(self, step: str, number: int) -> None:
        """Forget that a step is done for a block."""
        self.path(step, number).unlink(missing_ok=True)

    def done(self, step: str) -> set[int]:
        """Return the blocks for which a step is done."""
        return {int(path.stem) for path in (self.folder / step).glob(f"*{SUFFIX}")}


def _checksum(arrays: Mapping[str, Array]) -> str:
    found = 0
    for name in sorted(arrays):
        found = zlib.crc32(np.ascontiguousarray(arrays[name]).data, found)
    return str(found)


def from_text(text: str) -> npt.NDArray[np.uint8]:
    """Return a text as an array."""
    return np.frombuffer(text.encode(), np.uint8)


def as_text(array: Array) -> str:
    """Return the text of an array."""
    return array.tobytes().decode()
