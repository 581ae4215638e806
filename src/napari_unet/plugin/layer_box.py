"""Layer box: the viewer's layers of some kind, always up to date."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.errors import SettingsError
from napari_unet.plugin.elided_box import ElidedBox


class LayerBox(ElidedBox):
    """A choice among layers; follows the viewer from `attach` to `detach`.

    `changed` says that another layer is chosen, or that it has another shape; `edited`
    that it has other pixels.

    Parameters
    ----------
    viewer
        napari's.
    kind
        Class of the layers, by name: ``"Image"``, ``"Labels"``, ...
    """

    changed = Signal()
    edited = Signal()

    def __init__(
        self, viewer: Any, kind: str = "Image", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._kind = viewer, kind
        self._layer: Any = None
        self._shape: Any = None
        self._watched: list[Any] = []
        self.setToolTip(
            "The layer to segment: NumPy, dask, zarr or multiscale, grey or RGB, with "
            "any of time, channels and depth."
            if kind == "Image"
            else f"A {kind} layer."
        )
        self.currentIndexChanged.connect(self._on_chosen)

    def attach(self) -> None:
        """Follow the viewer's layers."""
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._fill)
        self._fill()
        self._prefer_active()

    def detach(self) -> None:
        """Stop following."""
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._fill)
        self._watch(())
        self._layer = None

    def layer(self) -> Any:
        """Return the chosen layer; None if there is none."""
        return self._layer

    def value(self) -> str:
        """Return the chosen layer's name; empty if there is none."""
        return str(self._layer.name) if self._layer is not None else ""

    def set_value(self, name: str) -> None:
        """Choose a layer by name, if there is one of the kind."""
        index = self.findText(name)
        if index >= 0:
            self.setCurrentIndex(index)

    def choose(self, name: str) -> None:
        """Choose a layer by name, as a script does.

        Raises
        ------
        SettingsError
            If there is none of the kind.
        """
        if name and self.findText(name) < 0:
            raise SettingsError(
                f"There is no {self._kind.lower()} layer {name} to choose.",
                "Give the name of one that is open.",
            )
        self.set_value(name)

    def _of_kind(self) -> list[Any]:
        """Return the layers of the kind, top first, without outputs of this plugin."""
        return [
            layer
            for layer in reversed(self._viewer.layers)
            if type(layer).__name__ == self._kind and output_of(layer) is None
        ]

    def _prefer_active(self) -> None:
        active = self._viewer.layers.selection.active
        if active is not None:
            self.set_value(active.name)

    def _fill(self, _: object = None) -> None:
        layers = self._of_kind()
        self._watch(layers)
        blocked = self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.add_named(layer.name, layer)
        chosen = self._layer if self._layer in layers else (layers or [None])[0]
        self.setCurrentIndex(layers.index(chosen) if chosen is not None else -1)
        self.blockSignals(blocked)
        self._take(chosen)

    def _watch(self, layers: Any) -> None:
        """Follow the names and pixels of the layers, and of no others."""
        for layer in self._watched:
            for event, slot in self._events(layer):
                event.disconnect(slot)
        self._watched = list(layers)
        for layer in self._watched:
            for event, slot in self._events(layer):
                event.connect(slot)

    def _events(self, layer: Any) -> list[tuple[Any, Any]]:
        found = [(layer.events.name, self._fill), (layer.events.data, self._on_data)]
        if hasattr(layer.events, "paint"):
            found.append((layer.events.paint, self._on_data))
        return found

    def _on_chosen(self) -> None:
        self._take(self.currentData())

    def _take(self, layer: Any) -> None:
        is_other = layer is not self._layer
        self._layer = layer
        self.show_name()
        if is_other:
            self._shape = _shape_of(layer)
            self.changed.emit()

    def _on_data(self, event: Any) -> None:
        """Follow the pixels of the chosen layer."""
        layer = self._layer
        if layer is None or event.source != layer:
            return
        before, self._shape = self._shape, _shape_of(layer)
        if before != self._shape:
            self.changed.emit()
        self.edited.emit()


def _shape_of(layer: Any) -> Any:
    """Return the shape of a layer's array; None if it holds none, as Shapes do."""
    return None if layer is None else getattr(layer.data, "shape", None)


def output_of(layer: Any) -> str | None:
    """Return which output of this plugin a layer is; None: it is a user's."""
    found: str | None = layer.metadata.get("napari_unet", {}).get("output")
    return found
