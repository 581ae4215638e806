"""Records: what each step found out about each block, one small file each.

A record is renamed into place when it is complete, so its presence says that the step
is done for that block, whatever happens to the process that wrote it.
"""

from __future__ import annotations

import os
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageFileError

Array = npt.NDArray[Any]

DAMAGE = (EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)

# Pixels are kept compressed; all else is small.
COMPRESSED = ("codes",)


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
        return self.folder / step / f"{number:06d}.npz"

    def write(self, step: str, number: int, arrays: Mapping[str, Array]) -> None:
        """Write a record, complete or not at all."""
        path = self.path(step, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.part")
        kind = zipfile.ZIP_DEFLATED if step in COMPRESSED else zipfile.ZIP_STORED
        try:
            with zipfile.ZipFile(temporary, "w", kind, compresslevel=1) as file:
                for name, values in arrays.items():
                    with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asarray(values))
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
            with np.load(path, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except DAMAGE as error:
            self.remove(step, number)
            raise ImageFileError(
                f"The record {path} is damaged.",
                "Repeat the command with --resume: it is made again.",
            ) from error

    def number(self, step: str, number: int, name: str) -> int | None:
        """Return one number of a record; None if record or number are not there."""
        try:
            with np.load(self.path(step, number), allow_pickle=False) as found:
                return int(found[name])
        except (FileNotFoundError, *DAMAGE):
            return None

    def has(self, step: str, number: int) -> bool:
        """Whether a step is done for a block; a record that was cut off says no."""
        return zipfile.is_zipfile(self.path(step, number))

    def remove(self, step: str, number: int) -> None:
        """Forget that a step is done for a block."""
        self.path(step, number).unlink(missing_ok=True)

    def done(self, step: str) -> set[int]:
        """Return the blocks for which a step is done."""
        folder = self.folder / step
        if not folder.is_dir():
            return set()
        names = (entry.name for entry in os.scandir(folder))
        return {int(name[:-4]) for name in names if name.endswith(".npz")}
