"""Correct panel: draw a line, and what it crosses is split, merged or deleted."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QGroupBox, QLabel, QPushButton, QWidget

from napari_unet.core.corrections import (
    Edit,
    Stroke,
    delete_objects,
    in_whole_array,
    merge_objects,
    sample_at,
    split_objects,
)
from napari_unet.errors import SettingsError, UNetError
from napari_unet.plugin.layers import full_pixels, onto_layer, own_axes
from napari_unet.plugin.stroke_tool import StrokeTool

TOOLS = {
    "split": ("Split", "Draw a line through a cell: it is cut in two along it."),
    "merge": ("Merge", "Draw a line from one cell into others: they become one."),
    "delete": ("Delete", "Draw a line across cells: they are removed."),
}
HINT = "Choose a tool, then draw over the labels with the mouse."


class CorrectPanel(QGroupBox):
    """Three tools and undo; every correction is one step of the layer's own history.

    `corrected` says that the labels are others, `failed` why they are not.
    """

    corrected = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__("Correct", parent)
        self.setToolTip("Corrections go into the labels layer; Undo takes them back.")
        self.stroke = StrokeTool(viewer, self)
        self.tools = {name: _tool(*texts) for name, texts in TOOLS.items()}
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Take back the last change of the labels (Ctrl+Z).")
        self.redo = QPushButton("Redo")
        self.redo.setToolTip("Do again what was taken back.")
        self.hint = QLabel(HINT)
        self.hint.setToolTip("What the tool does.")
        self.hint.setWordWrap(True)
        self._layer: Any = None
        self._n_leading = 0
        self._lay_out()
        self._connect()

    def set_layer(self, layer: Any, n_leading: int) -> None:
        """Correct another layer, whose first axes count samples."""
        if layer is not self._layer:
            self.choose("")
        self._layer, self._n_leading = layer, n_leading
        for button in (*self.tools.values(), self.undo, self.redo):
            button.setEnabled(layer is not None)

    def choose(self, tool: str) -> None:
        """Turn a tool on by name; empty: none."""
        for name, button in self.tools.items():
            button.setChecked(name == tool)

    def tool(self) -> str:
        """Return the name of the tool that is on; empty: none."""
        on = (name for name, button in self.tools.items() if button.isChecked())
        return next(on, "")

    def correct(self, tool: str, points: Any, plane: tuple[int, int]) -> None:
        """Apply a tool along a line.

        Parameters
        ----------
        tool
            ``"split"``, ``"merge"`` or ``"delete"``.
        points
            (n, ndim) in pixels of the layer.
        plane
            The two axes of the layer in which it was drawn.
        """
        try:
            edit = self._plan(tool, np.atleast_2d(points), plane)
        except UNetError as error:
            self.failed.emit(error)
            return
        shape = full_pixels(self._layer).shape
        places = onto_layer(self._layer, edit.indices, shape)
        self._layer.data_setitem(places, edit.values)
        ids = ", ".join(map(str, edit.ids))
        self.corrected.emit(f"{TOOLS[tool][0]}: {ids}.")

    def _plan(self, tool: str, points: Any, plane: tuple[int, int]) -> Edit:
        data, lead = full_pixels(self._layer), self._n_leading
        own = own_axes(self._layer)
        if not isinstance(data, np.ndarray) or not data.flags.writeable:
            raise SettingsError(
                "The labels are not in memory, so they cannot be changed.",
                "Duplicate the layer as a NumPy array first.",
            )
        if not set(plane) <= set(own[lead:]):
            raise SettingsError(
                "The plane on screen is not one of the objects' planes.",
                "Show the Y and X axes.",
            )
        points = points[:, list(own)]
        position = tuple(round(float(at)) for at in points[0, :lead])
        labels = sample_at(data, position)
        rows, columns = (own.index(axis) - lead for axis in plane)
        stroke = Stroke(points[:, lead:], (rows, columns))
        if tool == "merge":
            edit = merge_objects(labels, stroke)
        elif tool == "delete":
            edit = delete_objects(labels, stroke)
        else:
            free = int(data.max(initial=0)) + 1
            edit = split_objects(labels, stroke, first_free=free)
        return in_whole_array(edit, position)

    def _on_tool(self, name: str, on: bool) -> None:
        if on:
            for other, button in self.tools.items():
                if other != name:
                    button.setChecked(False)
            self.stroke.turn_on(self._layer)
        elif not self.tool():
            self.stroke.turn_off()
        self.hint.setText(TOOLS[self.tool()][1] if self.tool() else HINT)

    def _on_drawn(self, points: Any, plane: tuple[int, int]) -> None:
        self.correct(self.tool(), points, plane)

    def _step(self, name: str) -> None:
        getattr(self._layer, name)()
        self.corrected.emit("Undone." if name == "undo" else "Done again.")

    def _lay_out(self) -> None:
        layout = QGridLayout(self)
        for at, button in enumerate(self.tools.values()):
            layout.addWidget(button, 0, 2 * at, 1, 2)
        layout.addWidget(self.hint, 1, 0, 1, 4)
        layout.addWidget(self.undo, 1, 4)
        layout.addWidget(self.redo, 1, 5)

    def _connect(self) -> None:
        for name, button in self.tools.items():
            button.toggled.connect(lambda on, name=name: self._on_tool(name, on))
        self.stroke.drawn.connect(self._on_drawn)
        self.undo.clicked.connect(lambda: self._step("undo"))
        self.redo.clicked.connect(lambda: self._step("redo"))


def _tool(title: str, tooltip: str) -> QPushButton:
    button = QPushButton(title)
    button.setCheckable(True)
    button.setToolTip(tooltip)
    return button
