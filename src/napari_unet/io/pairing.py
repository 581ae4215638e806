"""Which image belongs to which labels, in the conventions of the field.

A table of conventions, each a function that recognises one. Exactly one must fit:
none, or two at once, is refused with a sentence on what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.names import is_zarr, stem
from napari_unet.io.pairing_challenges import (
    find_nnunet,
    find_tracking_challenge,
    pair_nnunet,
    pair_tracking_challenge,
)
from napari_unet.io.pairing_files import (
    find_table,
    find_zarr_labels,
    pair_table,
    pair_zarr_labels,
)
from napari_unet.io.pairing_folders import (
    find_bowl,
    find_cellpose,
    find_sibling_folders,
    pair_two_folders,
)
from napari_unet.io.pairs import Pair, Pairing, is_cellpose_pickle, visible

__all__ = ["Pair", "Pairing", "find_pairs"]

_IN_ONE_FOLDER: tuple[Callable[[Path], Pairing | None], ...] = (
    find_nnunet,
    find_tracking_challenge,
    find_bowl,
    find_sibling_folders,
    find_cellpose,
    find_zarr_labels,
    find_table,
)
_IN_TWO_FOLDERS: tuple[Callable[[Path, Path], Pairing | None], ...] = (
    pair_tracking_challenge,
    pair_nnunet,
)


def find_pairs(images: str | Path, labels: str | Path | None = None) -> Pairing:
    """Find out which image belongs to which labels.

    Parameters
    ----------
    images
        A folder of images or of pairs, one image, an OME-Zarr, or a CSV of pairs.
    labels
        A folder of labels, one label image, or the name of labels inside OME-Zarr;
        None: `images` holds both. Recognised are, in one folder: ``x.tif`` with
        ``x_masks.tif`` (Cellpose); ``images/`` with ``masks/`` or ``labels/``, ``raw/``
        with ``label/`` (StarDist, BiaPy); the Cell Tracking Challenge; nnU-Net; the
        2018 Data Science Bowl; labels in OME-Zarr; a CSV of pairs.

    Returns
    -------
    Pairing
        With the convention, the reason of each pair, and the files left out.

    Raises
    ------
    ImageFileError
        If something does not exist, nothing can be paired, or it is ambiguous.
    """
    images = _existing(Path(images))
    if labels is None:
        return _pair_within(images)
    if not Path(labels).exists():
        return _pair_named_labels(images, labels)
    labels = Path(labels)
    if images.resolve() == labels.resolve():
        return _pair_within(images)
    return _pair_between(images, labels)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ImageFileError(
            f"{path} does not exist.", "Check the spelling and the current folder."
        )
    return path


def _pair_within(path: Path) -> Pairing:
    """Pair what lies in one folder, or is named by one table."""
    if path.is_dir():
        return _only_convention(path)
    if path.suffix.lower() == ".csv":
        return pair_table(path)
    raise ImageFileError(
        f"{path} is a single file, and its labels were not given.",
        "Give the label image too, or the folder that holds both.",
    )


def _only_convention(folder: Path) -> Pairing:
    table = (find_zarr_labels,) if is_zarr(folder) else _IN_ONE_FOLDER
    found = [p for find in table if (p := find(folder)) is not None]
    if not found:
        raise _no_convention(folder)
    if len(found) > 1:
        names = " and ".join(f"{p.convention} ({len(p)})" for p in found)
        raise ImageFileError(
            f"{folder} holds pairs in more than one convention: {names}.",
            "Name the folder of images and the folder of labels, or one CSV of pairs.",
        )
    return found[0]


def _no_convention(folder: Path) -> ImageFileError:
    problem = f"No pairs of images and labels were recognised in {folder}."
    if is_zarr(folder):
        return ImageFileError(
            f"{folder} holds no labels.",
            "Name its labels too, or store them in it as labels/NAME.",
        )
    if any(is_cellpose_pickle(path) for path in visible(folder)):
        return ImageFileError(
            f"{problem[:-1]}: its _seg.npy files are pickles, which are not opened.",
            "Save the masks in Cellpose as TIFF or PNG (File, Save masks).",
        )
    for name in ("train", "training"):
        if (folder / name).is_dir():
            return ImageFileError(problem, f"Did you mean {folder / name}?")
    return ImageFileError(
        problem,
        "Give two folders, or use a.tif with a_masks.tif, images/ with masks/, or a "
        "CSV with the columns image and labels.",
    )


def _pair_named_labels(images: Path, name: str | Path) -> Pairing:
    """Take `name`, which is no path that exists, as that of labels in OME-Zarr."""
    plain = len(Path(name).parts) == 1 and images.is_dir()
    found = pair_zarr_labels(images, str(name)) if plain else None
    if found is None:
        raise ImageFileError(
            f"{name} does not exist.",
            "Check the spelling and the current folder; a name by itself is that of "
            "labels inside OME-Zarr.",
        )
    return found


def _pair_between(images: Path, labels: Path) -> Pairing:
    folders = [path.is_dir() and not is_zarr(path) for path in (images, labels)]
    if all(folders):
        return _pair_folders(images, labels)
    if any(folders):
        raise ImageFileError(
            f"Of {images} and {labels}, one is a folder and the other a single image.",
            "Give two folders or two images.",
        )
    pair = Pair(stem(images), (images,), (labels,), "both were named")
    return Pairing("Two files", "an image and its labels were named.", (pair,))


def _pair_folders(images: Path, labels: Path) -> Pairing:
    for find in _IN_TWO_FOLDERS:
        found = find(images, labels)
        if found is not None:
            return found
    return pair_two_folders(images, labels)
