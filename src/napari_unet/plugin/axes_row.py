"""Axes row: the guess, editable, with a drawing of where each axis goes."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_unet.errors import UNetError

ROLES = {
    "T": "frame by frame",
    "Z": "slice by slice",
    "C": "channels",
    "Y": "rows",
    "X": "columns",
}


class AxesRow(QObject):
    """A line of axis letters, and a label with what each means for the model."""

    changed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.edit = QLineEdit()
        self.edit.setMaxLength(5)
        self.edit.setToolTip(
            "One letter for each axis of the array: T time, C channel, Z depth, "
            "Y rows, X columns. Guessed from the layer; correct it if it is wrong."
        )
        self.drawing = QLabel()
        self.drawing.setWordWrap(True)
        self.drawing.setToolTip("How the axes of the image meet those of the model.")
        self.edit.textEdited.connect(lambda text: self.changed.emit(text.upper()))

    def value(self) -> str:
        """Return the letters, in upper case."""
        return str(self.edit.text()).upper()

    def set_value(self, axes: str) -> None:
        """Show other axes; `changed` is not emitted."""
        self.edit.setText(axes)

    def show_mapping(self, axes: str, shape: tuple[int, ...], spatial: str) -> None:
        """Draw the mapping; `spatial` are the model's axes."""
        self._mark("")
        self.drawing.setText(mapping(axes, shape, spatial))

    def show_error(self, error: UNetError) -> None:
        """Mark the field with the reason."""
        self._mark("border: 1px solid #e05050;")
        self.drawing.setText(f'<span style="color:#e05050">{error}</span>')

    def clear(self) -> None:
        """Show nothing."""
        self._mark("")
        self.drawing.setText("")

    def _mark(self, style: str) -> None:
        self.edit.setStyleSheet(style)


def mapping(axes: str, shape: tuple[int, ...], spatial: str) -> str:
    """Return one line: each axis, its size, and what the model does along it."""
    parts = []
    for axis, n in zip(axes, shape, strict=False):
        role = "" if axis in spatial else f" <i>{ROLES.get(axis, '')}</i>"
        size = f"<b>{axis}</b> {n}" if axis in spatial else f"{axis} {n}"
        parts.append(size + role)
    return " · ".join(parts)
