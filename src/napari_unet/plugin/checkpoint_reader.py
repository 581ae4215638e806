"""Reader: a checkpoint dropped on the viewer is chosen in the Segment widget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".onnx")

# How a reader tells napari that all is done and there is no layer.
NO_LAYER = [(None,)]


def get_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return a reader for one checkpoint; None for anything else."""
    if isinstance(path, list):
        path = path[0] if len(path) == 1 else ""
    return open_checkpoint if Path(path).suffix.lower() in SUFFIXES else None


def open_checkpoint(path: str | list[str]) -> list[Any]:
    """Open the Segment widget with this checkpoint chosen."""
    from napari_unet.plugin.commands import open_segment

    single = path[0] if isinstance(path, list) else path
    open_segment().form.model.set_value(str(single))
    return NO_LAYER
