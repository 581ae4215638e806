"""Elided box: a choice among long names, whose ends are seen and the rest is told."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

MARGIN = 6  # pixels of the frame around the text


class ElidedBox(QComboBox):
    """A combo box that leaves out the middle of a name, not its end.

    The whole name is in the tooltip: of the box above what the box is for, and of each
    item in the list.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._purpose = ""
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(12)
        view = self.view()
        if view is not None:
            view.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def setToolTip(self, text: str | None) -> None:
        """Say what the box is for."""
        self._purpose = text or ""
        self.show_name()

    def add_named(self, name: str, data: Any) -> None:
        """Add an item whose tooltip is its name."""
        self.addItem(name, data)
        self.setItemData(self.count() - 1, name, Qt.ItemDataRole.ToolTipRole)

    def show_name(self) -> None:
        """Put the chosen name into the tooltip; to be called when it is another."""
        parts = (self.currentText(), self._purpose)
        super().setToolTip("\n".join(part for part in parts if part))

    def shown_text(self) -> str:
        """Return the chosen name as it is drawn."""
        return str(self._option().currentText)

    def paintEvent(self, event: object) -> None:
        """Draw the box with the middle of a long name left out."""
        painter, option = QStylePainter(self), self._option()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _option(self) -> QStyleOptionComboBox:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        style = self.style()
        if style is not None:
            field = style.subControlRect(
                QStyle.ComplexControl.CC_ComboBox,
                option,
                QStyle.SubControl.SC_ComboBoxEditField,
                self,
            )
            option.currentText = self.fontMetrics().elidedText(
                option.currentText,
                Qt.TextElideMode.ElideMiddle,
                field.width() - MARGIN,
            )
        return option
