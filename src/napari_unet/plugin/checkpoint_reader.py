"""Reader: a checkpoint dropped on the viewer is chosen in the Segment widget.

A folder cannot be dropped: napari asks for each folder with which reader it is to be
opened, once there is a second one for folders. Its description can.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".onnx")
PACKED = ".zip"
# What a bioimage.io package is described in; a test keeps this and its reader in step.
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")

# How a reader tells napari that all is done and there is no layer.
NO_LAYER = [(None,)]


def get_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return a reader for one checkpoint; None for anything else.

    A zip is one if it is a package of bioimage.io; nothing of it is unpacked here.
    """
    if isinstance(path, list):
        path = path[0] if len(path) == 1 else ""
    return open_checkpoint if _is_checkpoint(Path(path)) else None


def _is_checkpoint(path: Path) -> bool:
    suffix = path.suffix.lower()
    is_known = suffix in SUFFIXES or path.name in DESCRIPTIONS
    return is_known or (suffix == PACKED and _is_package(path))


def _is_package(path: Path) -> bool:
    """Return whether a zip holds the description of a model."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return any(name.rpartition("/")[2] in DESCRIPTIONS for name in names)


def open_checkpoint(path: str | list[str]) -> list[Any]:
    """Open the Segment widget with this checkpoint chosen."""
    from napari_unet.plugin.commands import open_segment

    single = path[0] if isinstance(path, list) else path
    open_segment().form.model.set_value(str(single))
    return NO_LAYER
