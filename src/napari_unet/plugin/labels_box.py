"""Labels box: a choice among labels layers, results of this plugin among them."""

from __future__ import annotations

from typing import Any

from napari_unet.plugin.layer_box import LayerBox


class LabelsBox(LayerBox):
    """All labels layers of the viewer; see `LayerBox`."""

    def __init__(self, viewer: Any, tooltip: str) -> None:
        super().__init__(viewer, "Labels")
        self.setToolTip(tooltip)

    def _of_kind(self) -> list[Any]:
        layers = reversed(self._viewer.layers)
        return [layer for layer in layers if type(layer).__name__ == self._kind]
