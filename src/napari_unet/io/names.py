"""File names: which suffixes are images, and what an image is called without them.

Results are named after their source, so the stem of a file is decided in one place.
"""

from __future__ import annotations

from pathlib import Path

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".svs", ".ndpi", ".qptiff", ".scn")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES, ".npy")
OUTPUT_ENDINGS = (
    "_cp_masks",
    "_masks",
    "_labels",
    "_overlay",
    "_probabilities",
    "_seg",
    "_flows",
)
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")


def stem(path: str | Path) -> str:
    """Return the name of an image without folder and suffixes.

    ``a.ome.tif`` and ``a.ome.zarr`` are both ``a``; a group inside a zarr folder is
    named after the folder and its place in it: ``plate.zarr/B/03/0`` is
    ``plate_B_03_0``.
    """
    parts = Path(path).parts
    roots = [i for i, part in enumerate(parts) if part.lower().endswith(".zarr")]
    if not roots:
        return _without_suffixes(Path(path).name)
    return "_".join((_without_suffixes(parts[roots[0]]), *parts[roots[0] + 1 :]))


def bare_stem(path: str | Path) -> str:
    """Return `stem` without the endings of outputs, such as ``_labels``."""
    name = stem(path)
    for ending in OUTPUT_ENDINGS:
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder that holds a zarr group or array."""
    if not path.is_dir():
        return False
    named = path.suffix.lower() == ".zarr"
    return named or any((path / name).is_file() for name in _ZARR_FILES)


def is_image(path: Path) -> bool:
    """Whether `path` is named like an image that can be read."""
    return is_zarr(path) or (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES)


def _without_suffixes(name: str) -> str:
    lower = name.lower()
    for suffix in (*IMAGE_SUFFIXES, ".zarr"):
        if lower.endswith(suffix) and len(name) > len(suffix):
            cut = name[: -len(suffix)]
            return cut[:-4] if cut.lower().endswith(".ome") and len(cut) > 4 else cut
    return name
