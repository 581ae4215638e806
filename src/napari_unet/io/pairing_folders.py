"""Pairs in plain folders: two folders, Cellpose, StarDist and BiaPy, DSB 2018.

Each function takes a folder and returns its pairs, or None if the folder is not laid
out in that way.
"""

from __future__ import annotations

from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.names import stem
from napari_unet.io.pairs import (
    Pair,
    Pairing,
    by_key,
    ending_key,
    exact_key,
    folders_in,
    image_files,
    looks_like_labels,
    match,
    shown,
)

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "inputs", "input")
_LABEL_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "gt",
    "ground_truth",
    "groundtruth",
    "annotations",
    "targets",
    "target",
)


def pair_two_folders(
    images: Path, labels: Path, *, convention: str = "Two folders"
) -> Pairing:
    """Pair the files of two folders by name.

    Raises
    ------
    ImageFileError
        If a folder holds no images, no names match, or a name occurs twice.
    """
    left, right = _without_outputs(some_images(images)), some_images(labels)
    pairs, unpaired = match(left, right)
    if not pairs:
        raise ImageFileError(
            f"No name in {images} (such as {left[0].name}) matches one in {labels} "
            f"(such as {right[0].name}).",
            "Name them alike, such as a.tif and a.tif, or a.tif and a_masks.tif.",
        )
    reason = f"{images.name}/ and {labels.name}/ hold files of the same names."
    return Pairing(convention, reason, tuple(pairs), unpaired)


def some_images(folder: Path) -> list[Path]:
    """Return the images in a folder; none at all is refused."""
    found = image_files(folder)
    if not found:
        raise ImageFileError(
            f"The folder {folder} holds no images that can be read.",
            "Name the folder that holds them itself, as TIFF, PNG, OME-Zarr or .npy.",
        )
    return found


def _without_outputs(paths: list[Path]) -> list[Path]:
    """Leave out ``a_labels.tif`` where ``a.tif`` lies beside it."""
    names = {ending_key(path) for path in paths if not looks_like_labels(path)}
    return [p for p in paths if not looks_like_labels(p) or ending_key(p) not in names]


def find_sibling_folders(folder: Path) -> Pairing | None:
    """Recognise ``images/`` with ``masks/``, ``raw/`` with ``label/``, and the like."""
    images, labels = _named(folder, _IMAGE_FOLDERS), _named(folder, _LABEL_FOLDERS)
    if not images or not labels or _single_bowl(folder):
        return None
    if len(images) > 1 or len(labels) > 1:
        several = images if len(images) > 1 else labels
        raise ImageFileError(
            f"{folder} holds the folders {shown(several, folder)}, and it is not clear "
            "which is meant.",
            f"Name both folders, such as {images[0]} and {labels[0]}.",
        )
    return pair_two_folders(images[0], labels[0], convention="StarDist or BiaPy")


def _named(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [path for path in folders_in(folder) if path.name.lower() in names]


def find_cellpose(folder: Path) -> Pairing | None:
    """Recognise ``x.tif`` (or ``x_img.tif``) beside ``x_masks.tif``, ``x_label.tif``.

    Cellpose's own predictions, ``x_cp_masks``, count as labels only of images that
    have no others.
    """
    files = image_files(folder)
    images = [path for path in files if not looks_like_labels(path)]
    labels = [path for path in files if looks_like_labels(path)]
    names = {ending_key(path) for path in images}
    predicted = [p for p in labels if _is_prediction(p)]
    manual = {ending_key(p) for p in labels if p not in predicted}
    labels = [p for p in labels if p not in predicted or ending_key(p) not in manual]
    if not any(ending_key(path) in names for path in labels):
        return None
    by_name = by_key(labels, ending_key, what="labels")
    pairs = [
        Pair(stem(image), (image,), (by_name[name],), _ending(by_name[name]))
        for name, image in by_key(images, ending_key, what="images").items()
        if name in by_name
    ]
    used = {path for pair in pairs for path in (*pair.images, *pair.labels)}
    unpaired = tuple(path for path in files if path not in used)
    reason = f"labels lie beside their images in {folder.name}/, as NAME_masks do."
    return Pairing("Cellpose", reason, tuple(pairs), unpaired)


def _is_prediction(path: Path) -> bool:
    return stem(path).lower().endswith(("_cp_masks", "_cp_mask"))


def _ending(labels: Path) -> str:
    if _is_prediction(labels):
        return "saved by Cellpose as _cp_masks: a prediction, perhaps corrected"
    return f"ending {stem(labels)[len(ending_key(labels)) :]}"


def find_bowl(folder: Path) -> Pairing | None:
    """Recognise the 2018 Data Science Bowl: ``*/images/`` and ``*/masks/``.

    Each image has a folder with one mask per object; a folder of that kind by itself
    is recognised by its image, which is named like the folder.
    """
    if _single_bowl(folder):
        items = [folder]
    else:
        items = [sub for sub in folders_in(folder) if _is_bowl_item(sub)]
    pairs = [pair for item in items if (pair := _bowl_pair(item)) is not None]
    if not pairs:
        return None
    used = {path for pair in pairs for path in pair.images}
    every = [path for item in items for path in image_files(item / "images")]
    reason = "each image has a folder with one mask per object."
    unpaired = tuple(path for path in every if path not in used)
    return Pairing("Data Science Bowl 2018", reason, tuple(pairs), unpaired)


def _is_bowl_item(folder: Path) -> bool:
    """Whether a folder holds one image whose masks are not named like it."""
    if not (folder / "images").is_dir():
        return False
    images = image_files(folder / "images")
    if len(images) != 1 or not (folder / "masks").is_dir():
        return len(images) == 1 and exact_key(images[0]) == folder.name.casefold()
    masks = [ending_key(path) for path in image_files(folder / "masks")]
    return masks != [ending_key(images[0])]


def _single_bowl(folder: Path) -> bool:
    if not _is_bowl_item(folder) or not (folder / "masks").is_dir():
        return False
    return exact_key(image_files(folder / "images")[0]) == folder.name.casefold()


def _bowl_pair(item: Path) -> Pair | None:
    masks = image_files(item / "masks") if (item / "masks").is_dir() else []
    images = tuple(image_files(item / "images"))
    if not masks:
        return None
    reason = f"{len(masks)} masks, one per object, in one folder with the image"
    return Pair(item.name, images, tuple(masks), reason, parts="objects")
