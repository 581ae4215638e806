"""Reader: a checkpoint dropped on the viewer is chosen in the Segment widget.

A folder cannot be dropped there: whatever its name, napari asks with which reader a
folder is to be opened as soon as two plugins read folders, before it asks either. So
one is dropped on the widget, or its description on the viewer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_unet.plugin.model_paths import is_model, source_at
from napari_unet.plugin.paths import is_folder

# How a reader tells napari that all is done and there is no layer.
NO_LAYER = [(None,)]


def get_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return a reader for one checkpoint; None for anything else.

    A zip is one if it is a package of bioimage.io; nothing of it is unpacked here.
    """
    if isinstance(path, list):
        path = path[0] if len(path) == 1 else ""
    is_one = is_model(Path(path)) and not is_folder(path)
    return open_checkpoint if is_one else None


def open_checkpoint(path: str | list[str]) -> list[Any]:
    """Open the Segment widget with this checkpoint chosen."""
    from napari_unet.plugin.commands import open_segment

    single = path[0] if isinstance(path, list) else path
    open_segment().form.model.set_value(source_at(single))
    return NO_LAYER
