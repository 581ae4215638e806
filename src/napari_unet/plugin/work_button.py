"""Work button: starts a piece of work, and is its Cancel while that goes on."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget


class WorkButton(QPushButton):
    """One button for both; `run` and `cancel` say what was meant.

    Parameters
    ----------
    title, tip
        What it says while nothing goes on.
    stop_tip
        What Cancel leaves.
    """

    run = Signal()
    cancel = Signal()

    def __init__(
        self, title: str, tip: str, stop_tip: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._idle, self._busy = (title, tip), ("Cancel", stop_tip)
        self._running, self._allowed = False, True
        self.clicked.connect(self._on_clicked)
        self._show()

    @property
    def is_running(self) -> bool:
        """Whether it is Cancel."""
        return self._running

    def show_running(self, running: bool) -> None:
        """Turn to Cancel or back."""
        self._running = running
        self._show()

    def allow(self, allowed: bool) -> None:
        """Enable it while nothing goes on; Cancel is always enabled."""
        self._allowed = allowed
        self._show()

    def _show(self) -> None:
        title, tip = self._busy if self._running else self._idle
        self.setText(title)
        self.setToolTip(tip)
        self.setEnabled(self._running or self._allowed)

    def _on_clicked(self) -> None:
        (self.cancel if self._running else self.run).emit()
