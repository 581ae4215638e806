"""Trust: a checkpoint that holds code says what would run, and asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_unet.errors import UntrustedError


@dataclass(frozen=True)
class Untrusted:
    """A file that would have to run its own code.

    Parameters
    ----------
    source
        Its path.
    sha256
        Of what was looked at: only that may run.
    code
        What would run, to be read.
    error
        Why it cannot be used without.
    """

    source: str
    sha256: str
    code: str
    error: UntrustedError


def look_into(source: str, error: UntrustedError) -> Untrusted:
    """Return what a file would run; nothing in it is run. On the worker."""
    from napari_unet.nn.formats.inspecting import inspect_model

    found = inspect_model(source)
    code = "\n\n".join(f"# {c.kind}: {c.name}\n{c.text}" for c in found.code)
    return Untrusted(source, found.sha256, code, error)


def ask(
    parent: QWidget, found: Untrusted, allow: Callable[[Untrusted], None]
) -> QMessageBox:
    """Show what would run, and call `allow` if the user says so; does not wait."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Run code from this file?")
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(f"{Path(found.source).name} works only with code of its own.")
    box.setInformativeText(
        f"{found.error.problem}\n\nCode can do anything that you can. Run it only if "
        "you trust whoever made this file; Show Details shows what would run."
    )
    box.setDetailedText(found.code)
    run = box.addButton("Run its code", QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(cancel)
    box.finished.connect(lambda _: allow(found) if box.clickedButton() is run else None)
    box.open()
    return box
