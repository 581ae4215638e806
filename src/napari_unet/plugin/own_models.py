"""Own models: the user's checkpoints in a list, which follows the preferences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from napari_unet.plugin.model_paths import is_there
from napari_unet.plugin.paths import exists
from napari_unet.plugin.preferences import own_models, read_preferences


class ModelBox(QComboBox):
    """A list that may be filled once more before it is shown."""

    opening = Signal()

    def showPopup(self) -> None:
        """Tell, then show."""
        self.opening.emit()
        super().showPopup()


class OwnModels:
    """Lists those of the user's folder and those opened before, after the others.

    Parameters
    ----------
    box
        The list; the data of an entry is its source.
    add
        Adds a source to it.
    """

    def __init__(self, box: QComboBox, add: Callable[[str], None]) -> None:
        self._box, self._add = box, add
        self._own: set[str] = set()

    def update(self) -> None:
        """List what is new, drop what is not there any more; none is chosen."""
        box, chosen, own = self._box, self._box.currentData(), own_models()
        recent = [path for path in read_preferences().recent if is_there(path)]
        wanted = dict.fromkeys([*own, *recent])
        blocked = box.blockSignals(True)
        left = {box.itemData(index) for index in range(box.count())}
        gone = {path for path in left if Path(path).is_absolute() and not exists(path)}
        for source in (self._own - wanted.keys() | gone) - {chosen}:
            box.removeItem(box.findData(source))
        for source in wanted:
            if box.findData(source) < 0:
                self._add(source)
        box.blockSignals(blocked)
        self._own = {*own, *(self._own & {chosen})}
