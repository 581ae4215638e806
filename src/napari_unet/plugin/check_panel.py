"""Check panel: what the training doctor says, and augmented patches to look at."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.training_facts import Finding
from napari_unet.engine.training_tasks import Check

COLOURS = {"error": "#ff6b6b", "warning": "#ffa62b", "info": "#909499"}
SIGNS = {"error": "✖", "warning": "▲", "info": "●"}


class CheckPanel(QWidget):
    """Two buttons and one line per finding."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QPushButton("Check data")
        self.button.setToolTip(
            "Ask the training doctor what is wrong with the data, and draw how "
            "patches will be varied. Nothing is trained."
        )
        self.look = QPushButton("Augmented patches…")
        self.look.setToolTip(
            "One place, as it is and varied; beside each patch its weights."
        )
        self.look.setVisible(False)
        self.text = QLabel()
        self.text.setToolTip("What the training doctor found, and what to do.")
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.findings: list[Finding] = []
        self._sheet: Any = None
        self._window: QDialog | None = None
        row = QHBoxLayout()
        row.addWidget(self.button, 1)
        row.addWidget(self.look, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.text)
        self.look.clicked.connect(self.show_sheet)
        self.show_findings([])

    def show_check(self, check: Check) -> None:
        """List findings and notes; the sheet waits for its button."""
        self.show_findings(list(check.findings), notes=check.notes)
        if not check.findings:
            self.text.setText(f"✔ Nothing to object.<br>{self.text.text()}")
        self._sheet = check.sheet
        self.look.setVisible(True)

    def show_findings(
        self, findings: list[Finding], *, notes: tuple[str, ...] = ()
    ) -> None:
        """List findings, errors first."""
        self.findings = list(findings)
        lines = [_line(finding) for finding in findings]
        colour = COLOURS["info"]
        lines += [f'<span style="color: {colour}">{escape(n)}</span>' for n in notes]
        self.text.setText("<br>".join(lines))
        self.text.setVisible(bool(lines))

    def add_finding(self, finding: Finding) -> None:
        """List one more."""
        if finding not in self.findings:
            self.show_findings([*self.findings, finding])

    def show_sheet(self) -> None:
        """Show the augmented patches in a window of their own."""
        if self._sheet is None:
            return
        self.close_sheet()
        window = QDialog(self)
        window.setWindowTitle("Augmented patches, and their weights")
        picture = QLabel()
        picture.setPixmap(_pixmap(self._sheet))
        scroll = QScrollArea()
        scroll.setWidget(picture)
        layout = QVBoxLayout(window)
        layout.addWidget(scroll)
        height, width = self._sheet.shape[:2]
        window.resize(min(width + 40, 1200), min(height + 40, 800))
        window.show()
        self._window = window

    def close_sheet(self) -> None:
        """Close the window, if it is open."""
        if self._window is not None:
            self._window.close()
            self._window = None


def _line(finding: Finding) -> str:
    colour, sign = COLOURS[finding.severity], SIGNS[finding.severity]
    return (
        f'<span style="color: {colour}">{sign} {escape(finding.found)}</span> '
        f"{escape(finding.remedy)}"
    )


def _pixmap(picture: Any) -> QPixmap:
    height, width, _ = picture.shape
    image = QImage(
        picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    )
    return QPixmap.fromImage(image.copy())
