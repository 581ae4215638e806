"""Drawing: a box of a labels layer drawn again, and nothing else of the window.

A refresh makes napari cut the plane anew, colour and send all of it, compute every
transform and repaint the list of layers; after a stroke of the brush it sends the
pixels under the brush alone. A preview is drawn as such a stroke is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.plugin.hand_edits import behind_proxy

if TYPE_CHECKING:
    from napari.layers import Labels

Box = tuple[slice, ...]


def draw_box(layer: Labels, axes: str, box: Mapping[str, slice]) -> None:
    """Draw pixels again that were changed in place.

    Parameters
    ----------
    layer
        Whose plane on screen is a view into its array.
    axes
        Its axes, one letter each.
    box
        What has changed, by axis letter; all along axes that are not named.
    """
    itself = behind_proxy(layer)
    every = tuple(box.get(axis, slice(0, n)) for axis, n in _sizes(axes, itself))
    if not _is_drawn_in_place(itself) or not _draw(itself, every):
        layer.refresh(extent=False, thumbnail=False, highlight=False)


def _sizes(axes: str, layer: Any) -> Any:
    return zip(axes, layer.data.shape, strict=True)


def _is_drawn_in_place(layer: Any) -> bool:
    """Whether napari holds the plane on screen as a view into the layer's array."""
    return (
        isinstance(layer.data, np.ndarray)
        and not layer.multiscale
        and layer.contour == 0
        and layer.loaded
        and hasattr(layer, "_partial_labels_refresh")
    )


def _draw(layer: Any, box: Box) -> bool:
    """Send a box of the plane, as napari's brush does; return whether that worked."""
    image = layer._slice.image
    shown = tuple(box[axis] for axis in layer._slice_input.displayed)
    if len(shown) != 2 or not np.shares_memory(image.raw, layer.data):
        return False
    image.view[shown] = layer.colormap._data_to_texture(image.raw[shown])
    layer._updated_slice = box
    layer._partial_labels_refresh()
    return True
