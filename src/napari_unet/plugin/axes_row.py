"""Axes row: the guess, editable, with a drawing of where each axis goes."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_unet.core.axes import AxesPlan
from napari_unet.core.channels import ChannelPlan
from napari_unet.errors import UNetError

ROLES = {
    "T": "frame by frame",
    "Z": "slice by slice",
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
            "Y rows, X columns. Guessed from the layer; correct it if it is wrong: "
            "Train and Evaluate read the layer so, too."
        )
        self.drawing = QLabel()
        self.drawing.setWordWrap(True)
        self.drawing.setToolTip(
            "How the axes of the image meet those of the model, and which channels it "
            "sees."
        )
        self.edit.textEdited.connect(lambda text: self.changed.emit(text.upper()))

    def value(self) -> str:
        """Return the letters, in upper case."""
        return str(self.edit.text()).upper()

    def set_value(self, axes: str) -> None:
        """Show other axes; `changed` is not emitted."""
        self.edit.setText(axes)

    def show_mapping(self, axes: AxesPlan, channels: ChannelPlan) -> None:
        """Draw where each axis goes, and which channels the model sees."""
        self._mark("")
        self.drawing.setText(mapping(axes, channels))

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


def mapping(axes: AxesPlan, channels: ChannelPlan) -> str:
    """Return one line: each axis, its size, and what the model does along it."""
    parts = []
    for axis, n in zip(axes.axes, axes.shape, strict=True):
        role = seen(channels, n) if axis == "C" else ROLES.get(axis, "")
        role = "" if axis in axes.spatial else role
        name = f"<b>{axis}</b>" if axis in axes.spatial + "C" else axis
        parts.append(f"{name} {n}" + (f" <i>{role}</i>" if role else ""))
    return " · ".join(parts)


def seen(channels: ChannelPlan, n_image: int) -> str:
    """Return what the model sees of an image's channels; empty if it is all of them."""
    picked = channels.picked
    if channels.grey:
        return "mixed to grey"
    if picked == tuple(range(n_image)):
        return ""
    return f"channel{'s' * (len(picked) > 1)} {', '.join(map(str, picked))}"
