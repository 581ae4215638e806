"""Docked: a widget that follows its viewer while docked, and ends with its dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.shared_engine import keep_until_destroyed, return_engine

if TYPE_CHECKING:
    from napari_unet.plugin.preferences import Preferences


class DockedWidget(QWidget):
    """Base of widgets; subclasses say what to follow, and how to let go of it.

    napari takes the parent away when a dock is closed, and nothing else tells of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._user = object()
        self._attached = False
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._end_if_detached)
        keep_until_destroyed(self, self._user)

    def follow(self) -> None:
        """Begin to follow the viewer."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Stop following, and end all work."""
        raise NotImplementedError

    def attach(self) -> None:
        """Follow the viewer, unless that is done already."""
        if not self._attached:
            self._attached = True
            self.follow()

    def detach(self) -> None:
        """Let go of viewer, engine and work: the widget was taken from its dock."""
        if self._attached:
            self._attached = False
            self.let_go()
            return_engine(self._user)
            self._soon.start(0)

    def give_back(self, before: Preferences, now: Preferences) -> None:
        """Return the engine if work goes elsewhere now; what runs holds its own."""
        if before.compute != now.compute:
            return_engine(self._user)

    def _end_if_detached(self) -> None:
        """End once taken out of the dock for good, and not only moved."""
        if not self._attached:
            self.deleteLater()

    def event(self, event: QEvent | None) -> bool:
        """Attach and detach with the parent."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            (self.detach if self.parent() is None else self.attach)()
        return bool(super().event(event))

    def closeEvent(self, event: Any) -> None:
        """Let go of everything when closed as a window of its own."""
        self.detach()
        super().closeEvent(event)
