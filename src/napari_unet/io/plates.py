"""Plates: the images of a multi-well plate in OME-Zarr, well by well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plate_images(path: Path) -> list[Path]:
    """Return the fields of view of a plate or of a well; empty if `path` is neither.

    Fields whose folders are missing are left out: plates are often copied in part.

    Parameters
    ----------
    path
        A zarr group.
    """
    meta = _metadata(path)
    if "plate" in meta:
        wells = _paths(meta["plate"], "wells")
        return [image for well in wells for image in _fields(path / well)]
    if "well" in meta:
        fields = (path / name for name in _paths(meta["well"], "images"))
        return [field for field in fields if field.is_dir()]
    return []


def _fields(well: Path) -> list[Path]:
    """Return the images of a well, also of one whose own metadata were not copied."""
    found = plate_images(well)
    if found or not well.is_dir():
        return found
    fields = [path for path in well.iterdir() if "multiscales" in _metadata(path)]
    return sorted(fields, key=lambda path: (len(path.name), path.name))


def _metadata(path: Path) -> Mapping[str, Any]:
    """Return OME metadata of 0.5, else those at the top; empty if unreadable."""
    for name in ("zarr.json", ".zattrs"):
        try:
            found = json.loads((path / name).read_text())
        except (OSError, ValueError):
            continue
        attributes = found.get("attributes", {}) if name == "zarr.json" else found
        inner = attributes.get("ome", attributes)
        if isinstance(inner, dict):
            return inner
    return {}


def _paths(holder: Any, name: str) -> list[str]:
    entries = holder.get(name) if isinstance(holder, dict) else None
    return [
        str(entry["path"])
        for entry in entries or ()
        if isinstance(entry, dict) and entry.get("path")
    ]
