"""Measure panel: one row per object, into the layer's features and a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGroupBox, QHBoxLayout, QPushButton, QWidget

from napari_unet.plugin.work_button import WorkButton

if TYPE_CHECKING:
    from napari_unet.core.tables import Table


class MeasurePanel(QGroupBox):
    """A button that measures, one that saves, and the table that was measured last.

    `saved_as` carries the path that was picked.
    """

    saved_as = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Measure", parent)
        self.setToolTip("One row per object.")
        self.table: Table | None = None
        self.button = WorkButton(
            "Measure",
            "Size, place and intensity of every object, into the layer's features "
            "(Layers > Visualize > Features table).",
            "Stop; the features of before stay.",
        )
        self.save_button = QPushButton("Save table…")
        self.save_button.setToolTip("Write the measurements, and errors, as CSV.")
        row = QHBoxLayout(self)
        row.addWidget(self.button, 1)
        row.addWidget(self.save_button, 1)
        self.set_table(None)
        self.save_button.clicked.connect(self._ask)

    def set_table(self, table: Table | None) -> None:
        """Keep a table, which can be saved; None: there is none."""
        self.table = table
        self.save_button.setEnabled(table is not None)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save", "objects.csv", "*.csv")
        if path:
            self.saved_as.emit(path)
