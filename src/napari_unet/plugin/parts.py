"""Parts that several widgets are made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_unet.errors import UNetError


@contextlib.contextmanager
def told(
    tell: Callable[[UNetError], None], then: Callable[[], None] | None = None
) -> Iterator[None]:
    """Show an error where the user looks, instead of raising it; then say one more."""
    try:
        yield
    except UNetError as error:
        tell(error)
        if then is not None:
            then()


def titled(title: str, field: QWidget) -> QLabel:
    """Return a label with the tooltip of what it names."""
    label = QLabel(title)
    label.setToolTip(field.toolTip() or title)
    return label


def sentence(tooltip: str) -> QLabel:
    """Return a label for a line of plain text, empty at first."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setToolTip(tooltip)
    return label


def collapsible(title: str) -> QCollapsible:
    """Return a part that is folded away at first."""
    part = QCollapsible(title)
    part.setCollapsedIcon("▸")
    part.setExpandedIcon("▾")
    part.layout().setContentsMargins(0, 0, 0, 0)
    return part


def column(widget: QWidget, parts: Sequence[QWidget]) -> None:
    """Fill a widget with parts from top to bottom, which scroll if they must."""
    inside = QWidget()
    rows = QVBoxLayout(inside)
    for part in parts:
        rows.addWidget(part)
    rows.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(scroll)
