"""The journal of an output: what was asked for, so that only the same work is resumed.

It lies in the output itself, in a group of its own that other programs pass over. What
is done is said by the records beside it; see `engine.records`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.engine.records import Records
from napari_unet.errors import ImageFileError
from napari_unet.io.atomic import replacing, sweep

FOLDER = ".napari-unet"
JOURNAL = "journal.json"
AFRESH = "Repeat the first command to resume, or start afresh with --overwrite."


@dataclass(frozen=True)
class Journal:
    """The journal of one output.

    Parameters
    ----------
    output
        The zarr group that holds the results.
    """

    output: Path

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self.output / FOLDER / JOURNAL

    def records(self, sample: int) -> Records:
        """Return the records of one sample; -1: those of the whole image."""
        return Records(self.output / FOLDER / "records" / f"{sample:05d}")

    def begin(self, request: Mapping[str, Any]) -> None:
        """Write down what is asked for, before any work."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(request, indent=1))

    def read(self) -> dict[str, Any] | None:
        """Return what was asked for; None if there is no journal.

        Raises
        ------
        ImageFileError
            If it is damaged.
        """
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise ImageFileError(
                f"The journal {self.path} is damaged.", "Start afresh with --overwrite."
            )
        return found

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse to go on with work that was begun otherwise.

        Raises
        ------
        ImageFileError
            If model, image or settings differ; says which.
        """
        found = self.read() or {}
        asked = json.loads(json.dumps(request))
        names = [n for n in {**asked, **found} if asked.get(n) != found.get(n)]
        if names:
            raise ImageFileError(
                f"{self.output.name} was begun with another {' and '.join(names)}.",
                AFRESH,
            )

    def remove_leftovers(self) -> None:
        """Remove files that a killed process left half written."""
        sweep(self.path.parent)
        for pattern in ("*.partial", "*.part"):
            for path in self.output.rglob(pattern):
                path.unlink(missing_ok=True)


def identity(path: Path) -> str:
    """Return a text that changes when a file, or any file of a folder, does."""
    digest = hashlib.sha256()
    for name, status in sorted(_files(path)):
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> list[tuple[str, os.stat_result]]:
    if not path.is_dir():
        return [("", path.stat())]
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            found.append((str(file.relative_to(path)), file.stat()))
    return found
