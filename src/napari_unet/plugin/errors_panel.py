"""Errors panel: every error in a list, by kind, to be walked through one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.object_errors import ObjectRow
from napari_unet.engine.by_sample import Position
from napari_unet.plugin.error_view import COLOURS
from napari_unet.plugin.scoring import ERRORS, KINDS, Findings

MEANINGS = {
    "missed": "True objects that nothing was found for.",
    "false": "Objects where the truth has none.",
    "merged": "Objects that hold two or more true ones.",
    "split": "True objects found in two or more pieces.",
    "matched": "Objects found, with an IoU of 0.5 or more.",
}
HEADERS = ("Error", "Object", "Partners", "IoU", "Pixels")
# Of a series or a stack: the frame or plane, as the viewer's sliders count.
AT = "At"


class ErrorsModel(QAbstractTableModel):
    """The errors that are listed, as Qt wants them."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.rows: list[ObjectRow] = []
        self._positions: Sequence[Position] = ()

    def set_rows(
        self, rows: Sequence[ObjectRow], positions: Sequence[Position] = ()
    ) -> None:
        """List other errors, of samples at these positions."""
        self.beginResetModel()
        self.rows, self._positions = list(rows), positions
        self.endResetModel()

    @property
    def _headers(self) -> tuple[str, ...]:
        return (*HEADERS, AT) if any(self._positions) else HEADERS

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of errors."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._headers)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the title of a column."""
        horizontal = orientation == Qt.Orientation.Horizontal
        if role == Qt.ItemDataRole.DisplayRole and horizontal:
            return self._headers[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return text, colour or alignment of one cell."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._texts(row)[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0:
            return QColor(COLOURS[row.kind])
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{MEANINGS[row.kind]} Object of the {row.side}."
        return None

    def _texts(self, row: ObjectRow) -> tuple[Any, ...]:
        """Return what stands in each column."""
        partners = ", ".join(map(str, row.partners)) or "-"
        position = self._positions[row.image] if self._positions else ()
        at = ", ".join(map(str, position))
        return row.kind, row.id, partners, f"{row.iou:.2f}", row.area, at


class ErrorsPanel(QWidget):
    """Kinds with their numbers, the list, and two buttons.

    `chosen` carries the `ObjectRow` to look at; `coloured` whether layers show errors.
    """

    chosen = Signal(object)
    coloured = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kinds = {kind: _kind_box(kind) for kind in KINDS}
        self.model = ErrorsModel(self)
        self.table = _table(self.model)
        self.back, self.forth = QPushButton("◀ Previous"), QPushButton("Next ▶")
        self.back.setToolTip("Look at the error before.")
        self.forth.setToolTip("Look at the next error.")
        self.place = QLabel()
        self.place.setToolTip("Which of the listed errors is looked at.")
        self.place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.colour = QCheckBox("Colour by error")
        self.colour.setToolTip(
            "Show kinds of errors as colours; missed cells are outlined. Off: the "
            "layers' own colours."
        )
        self.colour.setChecked(True)
        self._errors: list[ObjectRow] = []
        self._positions: Sequence[Position] = ()
        self._lay_out()
        self._connect()

    def show_findings(self, findings: Findings) -> None:
        """List the errors of an evaluation; the one looked at stays where it was."""
        self._errors, self._positions = findings.errors(), findings.positions
        for kind, n in findings.counts().items():
            self.kinds[kind].setText(f"● {kind} {n}")
        self._filter()

    def step(self, by: int) -> None:
        """Look at the error that comes `by` after the current one, around the end."""
        count = self.model.rowCount()
        if count:
            now = self.table.currentIndex().row()
            at = 0 if now < 0 and by > 0 else (max(now, 0) + by) % count
            self.table.setCurrentIndex(self.model.index(at, 0))

    def current(self) -> ObjectRow | None:
        """Return the error that is looked at."""
        at = self.table.currentIndex().row()
        return self.model.rows[at] if 0 <= at < len(self.model.rows) else None

    def _filter(self) -> None:
        shown = {kind for kind in ERRORS if self.kinds[kind].isChecked()}
        at = self.table.currentIndex().row()
        selection = self.table.selectionModel()
        blocked = selection.blockSignals(True)
        rows = [row for row in self._errors if row.kind in shown]
        self.model.set_rows(rows, self._positions)
        self.table.setCurrentIndex(
            self.model.index(min(at, self.model.rowCount() - 1), 0)
        )
        selection.blockSignals(blocked)
        self._show_place()

    def _show_place(self) -> None:
        count, at = self.model.rowCount(), self.table.currentIndex().row() + 1
        self.place.setText(f"{at} of {count}" if at else f"{count} errors")
        for button in (self.back, self.forth):
            button.setEnabled(count > 0)

    def _on_current(self) -> None:
        self._show_place()
        row = self.current()
        if row is not None:
            self.chosen.emit(row)

    def _lay_out(self) -> None:
        legend, steps, layout = QGridLayout(), QHBoxLayout(), QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for at, kind in enumerate(KINDS):
            legend.addWidget(self.kinds[kind], at // 3, at % 3)
        legend.addWidget(self.colour, 1, 2)
        steps.addWidget(self.back)
        steps.addWidget(self.place, 1)
        steps.addWidget(self.forth)
        layout.addLayout(legend)
        layout.addWidget(self.table)
        layout.addLayout(steps)

    def _connect(self) -> None:
        for kind in ERRORS:
            self.kinds[kind].toggled.connect(lambda _: self._filter())
        self.colour.toggled.connect(self.coloured)
        self.back.clicked.connect(lambda: self.step(-1))
        self.forth.clicked.connect(lambda: self.step(1))
        self.table.selectionModel().currentRowChanged.connect(
            lambda *_: self._on_current()
        )


def _kind_box(kind: str) -> QCheckBox | QLabel:
    """Return the legend of one kind; a kind of error can be left out of the list."""
    box = QLabel() if kind == "matched" else QCheckBox()
    box.setText(f"● {kind}")
    box.setStyleSheet(f"color: {COLOURS[kind]}")
    box.setToolTip(MEANINGS[kind])
    if isinstance(box, QCheckBox):
        box.setChecked(True)
        box.setToolTip(f"{MEANINGS[kind]} Off: not listed.")
    return box


def _table(model: ErrorsModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setToolTip("Every error; click one to look at it.")
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(22)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setMinimumHeight(150)
    return table
