"""Own models: the user's checkpoints in a list, which follows the preferences."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QComboBox

from napari_unet.plugin.model_paths import is_there
from napari_unet.plugin.preferences import own_models, read_preferences


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
        """List what is new, drop what is not in the folder any more; none is chosen."""
        box, chosen, own = self._box, self._box.currentData(), own_models()
        recent = [path for path in read_preferences().recent if is_there(path)]
        wanted = dict.fromkeys([*own, *recent])
        blocked = box.blockSignals(True)
        for source in self._own - wanted.keys() - {chosen}:
            box.removeItem(box.findData(source))
        for source in wanted:
            if box.findData(source) < 0:
                self._add(source)
        box.blockSignals(blocked)
        self._own = {*own, *(self._own & {chosen})}
