"""Kept pairs: layers that are learned from beside those in the boxes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unet.errors import SettingsError
from napari_unet.plugin.hand_edits import behind_proxy
from napari_unet.plugin.train_choice import PairChoice


@dataclass
class _KeptLayer:
    """A layer, and its name as long as it is open; it is not kept alive."""

    layer: weakref.ref[Any]
    name: str

    def is_open(self, layers: Any) -> bool:
        """Whether this very layer is in the viewer; another of its name is not it."""
        layer = self.layer()
        if layer is None or layer not in layers:
            return False
        self.name = layer.name
        return True


_Pair = dict[str, _KeptLayer]


class KeptPairs(QObject):
    """Follows layers from `attach` to `detach`, not their names.

    `changed` says that there are other pairs, or other names, or that a layer is gone.

    Parameters
    ----------
    viewer
        napari's.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        self._pairs: list[_Pair] = []
        self._watched: list[Any] = []
        self._attached = False

    def attach(self) -> None:
        """Follow the viewer's layers."""
        self._attached = True
        for event in self._events():
            event.connect(self._on_layers)
        self._watch()

    def detach(self) -> None:
        """Stop following."""
        self._attached = False
        for event in self._events():
            event.disconnect(self._on_layers)
        self._watch()

    def values(self) -> tuple[PairChoice, ...]:
        """Return the pairs by name; those of a layer that is gone are its last."""
        return tuple(self._named(pair) for pair in self._pairs)

    def add(self, pair: PairChoice) -> None:
        """Keep layers that are open.

        Raises
        ------
        SettingsError
            If one of them is not.
        """
        self._pairs.append(self._found(pair))
        self._tell()

    def replace(self, pairs: Sequence[PairChoice]) -> None:
        """Keep others; raises as `add` does."""
        self._pairs = [self._found(pair) for pair in pairs]
        self._tell()

    def drop(self, index: int) -> None:
        """Leave one out."""
        del self._pairs[index]
        self._tell()

    def gone(self, index: int) -> str:
        """Return the name of a pair's layer that is not open any more; empty: none."""
        closed = (k.name for k in self._pairs[index].values() if not self._is_open(k))
        return next(closed, "")

    def check(self) -> None:
        """Raise if a layer is gone.

        Raises
        ------
        SettingsError
            With its name.
        """
        for index in range(len(self._pairs)):
            name = self.gone(index)
            if name:
                raise SettingsError(
                    f"The layer {name} of a kept pair is gone.", "Remove that pair."
                )

    def _is_open(self, kept: _KeptLayer) -> bool:
        return kept.is_open(self._layers)

    def _named(self, pair: _Pair) -> PairChoice:
        for kept in pair.values():
            self._is_open(kept)  # and learns its name
        return PairChoice.parse({part: kept.name for part, kept in pair.items()})

    def _found(self, pair: PairChoice) -> _Pair:
        names = {part: name for part, name in pair.model_dump().items() if name}
        for name in names.values():
            if name not in self._layers:
                raise SettingsError(
                    f"There is no layer {name} to choose.",
                    "Give the name of one that is open.",
                )
        return {
            part: _KeptLayer(weakref.ref(behind_proxy(self._layers[name])), name)
            for part, name in names.items()
        }

    def _tell(self) -> None:
        self._watch()
        self.changed.emit()

    def _on_layers(self, _: object = None) -> None:
        if self._pairs:
            self._tell()

    def _events(self) -> tuple[Any, ...]:
        return self._layers.events.removed, self._layers.events.inserted

    def _watch(self) -> None:
        """Follow the names of the kept layers, and of no others."""
        for layer in self._watched:
            layer.events.name.disconnect(self._on_layers)
        kept = (kept for pair in self._pairs for kept in pair.values())
        found = [k.layer() for k in kept if self._attached and self._is_open(k)]
        self._watched = list(dict.fromkeys(found))
        for layer in self._watched:
            layer.events.name.connect(self._on_layers)
