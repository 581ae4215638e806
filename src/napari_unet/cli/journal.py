"""Journal: what a run was asked for and what it has done, to go on after a stop.

One line of JSON an event, appended and forced to the disk: a kill at any moment costs
at most the last line, which then does not count.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_unet.errors import ImageFileError
from napari_unet.io.atomic import replacing, sweep

VERSION = 1
START_AFRESH = "Start afresh with --overwrite, or choose another name."


class Journal:
    """Which images of a run are begun and done.

    An image is noted as begun before its first output is written, so that outputs
    that exist are known to be the run's own; it is done when all of them are there.

    Parameters
    ----------
    path
        Of the journal itself.
    request
        Model and settings as plain JSON, by name; a run with others is not continued.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.path = path
        self.request = plain_json(request)
        self.begun: set[str] = set()
        self.done: dict[str, list[Any]] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        """Begin afresh; nothing is done."""
        self.begun.clear()
        self.done.clear()
        self.facts.clear()
        self._rewrite()

    def resume(self) -> bool:
        """Go on where the journal ends; return False if there is none.

        Raises
        ------
        ImageFileError
            If it is damaged, or was begun with another model or other settings.
        """
        if not self.path.is_file():
            return False
        header, *events = self._read()
        self._check_request(header)
        try:
            for event in events:
                self.begun.add(event["labels"])
                if event["done"]:
                    self.done[event["labels"]] = event["image"]
                    self.facts[event["labels"]] = dict(event.get("facts") or {})
        except (KeyError, TypeError):
            raise self._damaged() from None
        sweep(self.path.parent)  # what a kill left half written
        self._rewrite()
        return True

    def has(self, image: Path, labels: Path) -> bool:
        """Return whether this very image is done and its labels are there."""
        return self.done.get(labels.name) == identity(image) and labels.is_file()

    def begin(self, image: Path, labels: Path) -> None:
        """Note that outputs of `image` may be there from now on."""
        self.begun.add(labels.name)
        self._append(image, labels, done=False)

    def finish(self, image: Path, labels: Path, **facts: Any) -> None:
        """Note that `image` is done, and what the table at the end says of it."""
        self.done[labels.name] = identity(image)
        self.facts[labels.name] = facts
        self._append(image, labels, done=True, facts=facts)

    def remove(self) -> None:
        """Delete the journal: all is done."""
        self.path.unlink(missing_ok=True)

    def _rewrite(self) -> None:
        lines = [{"napari_unet_journal": VERSION, "request": self.request}]
        for labels in sorted(self.begun):
            image = self.done.get(labels)
            event = {"labels": labels, "image": image, "done": image is not None}
            lines.append({**event, "facts": self.facts.get(labels, {})})
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def _append(self, image: Path, labels: Path, *, done: bool, **more: Any) -> None:
        event = {"labels": labels.name, "image": identity(image), "done": done, **more}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ImageFileError(
                f"The journal {self.path} could not be written ({error.strerror}).",
                "Check the permissions and the free space of the disk.",
            ) from error

    def _read(self) -> list[Any]:
        """Return the lines; one that was cut off by a kill is not there."""
        try:
            text = self.path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            lines = [json.loads(line) for line in whole.splitlines()]
        except (OSError, ValueError):
            raise self._damaged() from None
        if not lines or not isinstance(lines[0], dict):
            raise self._damaged()
        return lines

    def _check_request(self, header: dict[str, Any]) -> None:
        if header.get("napari_unet_journal") != VERSION:
            raise self._damaged()
        differing = differences(header.get("request"), self.request)
        if differing:
            raise ImageFileError(
                f"{self.path.parent} was begun with {differing}.",
                f"Repeat the settings to resume. {START_AFRESH}",
            )

    def _damaged(self) -> ImageFileError:
        return ImageFileError(f"The journal {self.path} is damaged.", START_AFRESH)


def plain_json(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request as it is read back from a file: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(request))
    return plain


def differences(before: Any, now: dict[str, Any]) -> str:
    """Say which settings of a run differ from those before; empty if none."""
    if not isinstance(before, dict):
        return "unknown settings"
    names = sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
    )
    shown = (
        "another model"
        if name == "model"
        else f"{name.replace('_', ' ')} {before.get(name)} instead of {now.get(name)}"
        for name in names
    )
    return ", ".join(shown)


def identity(path: Path) -> list[Any]:
    """Tell one version of an image from the next: name, size and time of change.

    Of a zarr folder, only a change of its metadata is seen.
    """
    files = [path]
    if path.is_dir():
        files += [p for p in sorted(path.iterdir()) if p.is_file()]
    status = [file.stat() for file in files]
    size = sum(s.st_size for s in status)
    return [path.name, size, max(s.st_mtime_ns for s in status)]
