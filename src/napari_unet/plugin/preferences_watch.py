"""Preferences watch: what is changed on napari's page reaches widgets that are open."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_unet.plugin.preferences import Preferences, page_parts, read_preferences

REST_MS = 300


class PreferencesWatch(QObject):
    """Says `changed`, with the preferences before and now, when the page is closed.

    While it is open an address is typed letter by letter, and may be taken back.
    """

    changed = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._known: Preferences | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._on_rest)

    def follow(self) -> None:
        """Watch from now on; the page must have been read once, which is slow."""
        if self._known is None:
            self._known = _read()
            for part in page_parts():
                part.events.connect(self._look_soon)

    def stop(self) -> None:
        """Watch no more."""
        self._rest.stop()
        if self._known is not None:
            self._known = None
            for part in page_parts():
                part.events.disconnect(self._look_soon)

    def look(self) -> None:
        """Say at once what has changed, if anything."""
        self._rest.stop()
        before = self._known
        if before is None:
            return
        now = self._known = _read()
        if before != now:
            self.changed.emit(before, now)

    def _look_soon(self, _: Any = None) -> None:
        # A viewer that is closed destroys its widgets, and tells them nothing.
        with contextlib.suppress(RuntimeError):
            self._rest.start()

    def _on_rest(self) -> None:
        if _is_page_open():
            self._rest.start()
        else:
            self.look()


def _read() -> Preferences:
    """Return what a user chooses; files are opened all the time."""
    return dataclasses.replace(read_preferences(), recent=())


def _is_page_open() -> bool:
    return any(
        type(window).__name__ == "PreferencesDialog" and window.isVisible()
        for window in QApplication.topLevelWidgets()
    )
