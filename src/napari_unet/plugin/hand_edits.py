"""Hand edits: whether a labels layer was corrected by hand, which no run may undo.

Brush, fill and our own corrections all go through the layer's history, and say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

KEY = "napari_unet"
EDITED = "edited"


def note_edits(layer: Labels) -> None:
    """Note in a layer's metadata from now on when it is corrected by hand."""
    layer.events.paint.connect(_note)


def is_edited(layer: Layer) -> bool:
    """Whether a layer was corrected by hand, or is just being painted on."""
    made = layer.metadata.get(KEY, {})
    return bool(made.get(EDITED) or getattr(behind_proxy(layer), "_staged_history", ()))


def made_of(layer: Layer) -> dict[str, Any]:
    """Return what a layer's metadata say of how it was made, not of its edits."""
    made = layer.metadata.get(KEY, {})
    return {name: value for name, value in made.items() if name != EDITED}


def forget_history(layer: Layer) -> None:
    """Forget the steps of Undo: they hold pixels of labels that are gone."""
    itself = behind_proxy(layer)
    if hasattr(itself, "_reset_history"):
        itself._reset_history()


def behind_proxy(layer: Layer) -> Any:
    """Return the layer behind napari's proxy, which hides the history from widgets."""
    return getattr(layer, "__wrapped__", layer)


def _note(event: Any) -> None:
    layer = event.source
    made = layer.metadata.get(KEY, {})
    layer.metadata = {**layer.metadata, KEY: {**made, EDITED: True}}
