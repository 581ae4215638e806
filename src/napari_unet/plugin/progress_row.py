"""Progress row: Run or Cancel, how far it is, and how long it still takes."""

from __future__ import annotations

import time

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import UNetError


class ProgressRow(QWidget):
    """One button that is Run or Cancel, a bar, and one line of text."""

    run = Signal()
    cancel = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QPushButton("Run")
        self.button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setToolTip("Tiles done.")
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setWordWrap(True)
        self.text.setToolTip("What is going on, and what to know about the result.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.text):
            layout.addWidget(widget)
        self.button.clicked.connect(self._on_clicked)
        self._running, self._began = False, 0.0
        self.show_idle()

    @property
    def is_running(self) -> bool:
        """Whether the button is Cancel."""
        return self._running

    def show_idle(self) -> None:
        """Turn the button to Run."""
        self._running = False
        self.button.setText("Run")
        self.button.setToolTip("Segment: one label per cell.")
        self.bar.setVisible(False)

    def show_running(self, text: str) -> None:
        """Turn the button to Cancel; the bar moves without an end."""
        self._running, self._began = True, time.monotonic()
        self.button.setText("Cancel")
        self.button.setToolTip("Stop; what is finished stays.")
        self.button.setEnabled(True)
        self.bar.setVisible(True)
        self.bar.setRange(0, 0)
        self.say(text)

    def show_cancelling(self) -> None:
        """Say that the tile in work is the last."""
        self.button.setEnabled(False)
        self.say("Cancelling after this tile…")

    def show_progress(self, n_done: int, n_all: int, what: str = "tile") -> None:
        """Show how far it is and how long it still takes."""
        self.bar.setRange(0, n_all)
        self.bar.setValue(n_done)
        spent = time.monotonic() - self._began
        left = spent / n_done * (n_all - n_done) if n_done else 0.0
        more = f" · {duration(left)} left" if n_done < n_all else ""
        self.say(f"{what} {n_done} of {n_all}{more}")

    def say(self, text: str) -> None:
        """Show a line."""
        self.text.setStyleSheet("")
        self.text.setText(text)

    def show_error(self, error: UNetError) -> None:
        """Show what happened and what to do."""
        self.text.setStyleSheet("color: #e05050")
        self.text.setText(str(error))

    def said(self) -> tuple[str, str]:
        """Return what is shown: text and style."""
        return self.text.text(), self.text.styleSheet()

    def repeat(self, said: tuple[str, str]) -> None:
        """Show again what was shown, if that was anything."""
        text, style = said
        if text:
            self.text.setText(text)
            self.text.setStyleSheet(style)

    def take_back(self, start: str) -> None:
        """Show nothing, if what is shown starts so."""
        if self.text.text().startswith(start):
            self.say("")

    def set_enabled(self, enabled: bool) -> None:
        """Enable Run; Cancel is always enabled."""
        if not self._running:
            self.button.setEnabled(enabled)

    def _on_clicked(self) -> None:
        (self.cancel if self._running else self.run).emit()


def duration(seconds: float) -> str:
    """Return a length of time as one reads it."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
