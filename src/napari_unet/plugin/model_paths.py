"""Model paths: what on a disk may be a model, and how it is called.

Told by names alone: nothing is read but a folder's and a zip's list of contents.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from napari_unet.plugin.paths import is_file, is_folder

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".onnx")
PACKED = ".zip"
# What a bioimage.io package is described in; a test keeps this and its reader in step.
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
# What a model folder of nnU-Net is planned in; kept in step, too.
PLANS = "plans.json"


def source_at(path: str | Path) -> str:
    """Return what is loaded for a path: for the plans of nnU-Net their folder."""
    path = Path(path)
    return str(path.parent if path.name == PLANS else path)


def is_model(path: str | Path) -> bool:
    """Return whether a path is called like a model, or holds one as a package does."""
    path = Path(path)
    suffix = path.suffix.lower()
    if is_folder(path):
        return any(is_file(path / name) for name in (*DESCRIPTIONS, PLANS))
    if suffix == PACKED:
        return _is_package(path)
    return suffix in SUFFIXES or path.name in (*DESCRIPTIONS, PLANS)


def is_there(source: str) -> bool:
    """Return whether a source is a file or a model folder; a bundled name is none."""
    return is_file(source) or (is_model(source) and is_folder(source))


def title_of(source: str) -> str:
    """Return a short name: a file's, or that of the folder of a package."""
    path = Path(source)
    if path.name in DESCRIPTIONS and path.parent.name:
        path = path.parent
    return path.name if path.is_absolute() or path.suffix else source


def _is_package(path: Path) -> bool:
    """Return whether a zip holds the description of a model."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return any(name.rpartition("/")[2] in DESCRIPTIONS for name in names)
