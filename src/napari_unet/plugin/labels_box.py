"""Labels box: a choice among labels layers, results of this plugin among them."""

from __future__ import annotations

from typing import Any

from napari_unet.plugin.layer_box import LayerBox, output_of
from napari_unet.plugin.layers import PREVIEW


class LabelsBox(LayerBox):
    """All labels layers of the viewer; see `LayerBox`.

    Parameters
    ----------
    viewer
        napari's.
    tooltip
        What they are for.
    drawn
        Whether a result is chosen at first only where nothing else is open.
    """

    def __init__(self, viewer: Any, tooltip: str, *, drawn: bool = False) -> None:
        super().__init__(viewer, "Labels")
        self._drawn = drawn
        self.setToolTip(tooltip)

    def _prefer_active(self) -> None:
        active = self._viewer.layers.selection.active
        if not self._drawn or active is None or output_of(active) is None:
            super()._prefer_active()

    def _of_kind(self) -> list[Any]:
        found = [
            layer
            for layer in reversed(self._viewer.layers)
            if type(layer).__name__ == self._kind and output_of(layer) != PREVIEW
        ]
        # What somebody drew is offered before what a network found.
        return sorted(found, key=lambda layer: output_of(layer) is not None)
