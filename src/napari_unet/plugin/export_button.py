"""Export button: the chosen model as a bioimage.io package that passed its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_unet.engine.exporting import export_package
from napari_unet.errors import UNetError
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.progress_row import ProgressRow
from napari_unet.settings import Credits, Recipe

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard

TESTING = "Writing the package, and testing it in a process of its own…"


class ExportButton(QPushButton):
    """Asks for credits and a file; `exported` carries what was written.

    For scripts: `export`. What it needs of the Segment widget is given by `serve`.
    """

    exported = Signal(object)  # an Export
    failed = Signal(object)  # a UNetError

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Export…", parent)
        self.setToolTip(
            "Write the model as a bioimage.io package, which other programs open."
        )
        self._card: Callable[[], ModelCard]
        self._engine: Callable[[], Engine]
        self._progress: ProgressRow
        self._job = EngineJob(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self._on_failed)
        self._job.stopped.connect(self._on_stopped)
        self.clicked.connect(self.ask)

    def serve(
        self,
        card: Callable[[], ModelCard],
        engine: Callable[[], Engine],
        progress: ProgressRow,
    ) -> None:
        """Say where the model and the worker come from, and where to speak.

        Parameters
        ----------
        card
            Returns the chosen model's card; raises `UNetError` if there is none.
        engine
            Returns the way to the worker.
        progress
            Shows what is going on.
        """
        self._card, self._engine, self._progress = card, engine, progress

    def ask(self) -> None:
        """Ask for credits and a file, then export; nothing if that is cancelled."""
        try:
            card = self._card()
            dialog = CreditsDialog(card.recipe, self)
            if not dialog.exec():
                return
            given = dialog.credits()
        except UNetError as error:
            self._on_failed(error)
            return
        name = f"{card.recipe.name or Path(card.source).stem}.zip"
        path, _ = QFileDialog.getSaveFileName(
            self, "Export the model", name, "bioimage.io packages (*.zip)"
        )
        if path:
            # The dialog has asked whether a file may be replaced.
            out = Path(path if path.lower().endswith(".zip") else f"{path}.zip")
            self.export(out, given, overwrite=str(out) == path)

    def export(self, out: Path, given: Credits, *, overwrite: bool = False) -> None:
        """Write the package; `exported` or `failed` follows."""
        try:
            card = self._card()
            engine = self._engine()
        except UNetError as error:
            self._on_failed(error)
            return
        self.setEnabled(False)
        self._progress.say(TESTING)
        self._job.start_on(
            engine,
            once(lambda: export_package(engine, card, out, given, overwrite=overwrite)),
        )

    def cancel(self) -> None:
        """Forget the package in work: its file appears only once it has passed."""
        self._job.cancel()

    def _on_stopped(self) -> None:
        self.setEnabled(True)

    def _on_done(self, done: Any) -> None:
        n_tests = len(done.tests)
        said = f"{done.path}: passed {n_tests} tests of bioimageio.core."
        self._progress.say(" ".join([said, *done.warnings]))
        self.exported.emit(done)

    def _on_failed(self, error: UNetError) -> None:
        self._progress.show_error(error)
        self.failed.emit(error)


class CreditsDialog(QDialog):
    """Asks who made the model, and on what terms it may be used."""

    def __init__(self, recipe: Recipe, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export the model")
        self.fields: dict[str, QLineEdit] = {}
        layout = QFormLayout(self)
        for name, title in (
            ("authors", "Authors"),
            ("licence", "Licence"),
            ("cite", "Cite (DOIs)"),
        ):
            known = getattr(recipe, name)
            text = known if isinstance(known, str) else ", ".join(known)
            edit = self.fields[name] = QLineEdit(text)
            edit.setToolTip(Credits.model_fields[name].description or "")
            layout.addRow(title, edit)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addRow(buttons)

    def credits(self) -> Credits:
        """Return what was written; empty fields are left to the model.

        Raises
        ------
        SettingsError
            If a DOI is none.
        """
        found: dict[str, Any] = {}
        for name, edit in self.fields.items():
            parts = [part.strip() for part in edit.text().split(",") if part.strip()]
            if parts:
                found[name] = parts[0] if name == "licence" else tuple(parts)
        return Credits.parse(found)
