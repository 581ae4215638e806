"""Model drop: a model, a folder too, that is dropped on a widget is chosen there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.model_paths import is_model, source_at

MOVES = (QEvent.Type.DragEnter, QEvent.Type.DragMove)


class ModelDrop(QObject):
    """Takes what is dropped, if it is one model; all else is left alone.

    Parameters
    ----------
    target
        Where it is dropped, its children included; owner.
    choose
        Takes the model's source.
    """

    def __init__(self, target: QWidget, choose: Callable[[str], None]) -> None:
        super().__init__(target)
        self._choose = choose
        target.setAcceptDrops(True)
        target.installEventFilter(self)

    def eventFilter(self, _: QObject | None, event: QEvent | None) -> bool:
        """Accept a model, and choose it once it is let go."""
        if event is None or event.type() not in (*MOVES, QEvent.Type.Drop):
            return False
        path = _dropped(event)
        if not path:
            event.ignore()
            return True
        event.accept()
        if event.type() == QEvent.Type.Drop:
            self._choose(source_at(path))
        return True


def _dropped(event: Any) -> str:
    """Return the path of the only thing that is dropped, if it may be a model."""
    urls = event.mimeData().urls()
    path = urls[0].toLocalFile().rstrip("/") if len(urls) == 1 else ""
    return path if path and is_model(path) else ""
