"""Pairs that files state themselves: a CSV table, and labels inside OME-Zarr."""

from __future__ import annotations

import csv
from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.names import is_zarr, stem
from napari_unet.io.pairs import Pair, Pairing, folders_in, image_files, visible

_IMAGE_COLUMNS = ("image", "images", "image_path", "image_file", "raw")
_LABEL_COLUMNS = (
    "labels",
    "label",
    "labels_path",
    "label_path",
    "mask",
    "masks",
    "mask_path",
    "masks_path",
)

Row = tuple[int, str, str]


def find_table(folder: Path) -> Pairing | None:
    """Recognise a folder with a CSV file of pairs in it; two are refused."""
    tables = [p for p in visible(folder) if p.suffix.lower() == ".csv" and _columns(p)]
    if len(tables) > 1:
        raise ImageFileError(
            f"{folder} holds the tables of pairs {tables[0].name} and "
            f"{tables[1].name}.",
            f"Name the one that is meant, such as {tables[0]}.",
        )
    return pair_table(tables[0]) if tables else None


def pair_table(path: Path) -> Pairing:
    """Read pairs from a CSV file with a column of images and one of labels.

    Columns are called image or image_path, and labels, mask or mask_path; commas,
    semicolons or tabs separate; paths are relative to the table. A row without labels
    is an image that is left out.

    Raises
    ------
    ImageFileError
        If the table has no such columns, a file does not exist, or an image is named
        twice.
    """
    if _columns(path) is None:
        raise ImageFileError(
            f"{path} has no column of images and column of labels.",
            "Call them image and labels, or image_path and mask_path, in its first "
            "line, and name each once.",
        )
    rows = _rows(path)
    _check_rows(rows, path)
    folder = path.parent
    pairs = tuple(_row_pair(row, folder) for row in rows if row[2])
    if not pairs:
        raise ImageFileError(f"{path} names no pairs.", "Add one line per image.")
    unpaired = tuple(folder / image for _, image, labels in rows if not labels)
    return Pairing("Table", f"{path.name} names both files.", pairs, unpaired)


def _columns(path: Path) -> tuple[int, int, str] | None:
    """Return the columns of images and labels, and what separates columns."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(4096)
    for delimiter in ",;\t":
        header = [cell.strip().lower() for cell in _cells(line, delimiter)]
        images = [i for i, name in enumerate(header) if name in _IMAGE_COLUMNS]
        labels = [i for i, name in enumerate(header) if name in _LABEL_COLUMNS]
        if len(images) == 1 and len(labels) == 1:
            return images[0], labels[0], delimiter
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _rows(path: Path) -> list[Row]:
    """Return line number, image and labels of each line that names an image."""
    columns = _columns(path)
    if columns is None:
        return []
    first, second, delimiter = columns
    blank = [""] * (max(first, second) + 1)
    rows = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        for cells in reader:
            padded = [*(_as_path(cell) for cell in cells), *blank]
            if padded[first]:
                rows.append((reader.line_num, padded[first], padded[second]))
    return rows


def _as_path(cell: str) -> str:
    """Return a path with slashes, which every system understands."""
    return cell.strip().replace("\\", "/")


def _check_rows(rows: list[Row], path: Path) -> None:
    seen: dict[Path, int] = {}
    for line, image, labels in rows:
        for name in filter(None, (image, labels)):
            if not (path.parent / name).exists():
                raise ImageFileError(
                    f"Line {line} of {path} names {name}, which does not exist.",
                    "Paths are relative to the table: correct it, or move the file.",
                )
        file = (path.parent / image).resolve()
        if file in seen:
            raise ImageFileError(
                f"Lines {seen[file]} and {line} of {path} both name {image}.",
                "Remove one of the two lines.",
            )
        seen[file] = line


def _row_pair(row: Row, folder: Path) -> Pair:
    line, image, labels = row
    path = folder / image
    return Pair(stem(path), (path,), (folder / labels,), f"line {line}")


def find_zarr_labels(folder: Path) -> Pairing | None:
    """Recognise OME-Zarr images with ``labels/NAME`` inside: one, or a folder of them.

    Raises
    ------
    ImageFileError
        If there are labels of several names.
    """
    images = _zarr_images(folder)
    names = sorted({path.name for image in images for path in _label_groups(image)})
    if not names:
        return None
    if len(names) > 1:
        raise ImageFileError(
            f"The OME-Zarr images in {folder} hold the labels {', '.join(names)}.",
            f"Say which are meant by giving a name as labels, such as {names[0]}.",
        )
    return pair_zarr_labels(folder, names[0])


def pair_zarr_labels(folder: Path, name: str) -> Pairing | None:
    """Pair OME-Zarr images with their labels of one name; None if there are none."""
    pairs, unpaired = [], []
    for image in _zarr_images(folder):
        found = [path for path in _label_groups(image) if path.name == name]
        if found:
            reason = f"its labels {name!r}"
            pairs.append(Pair(stem(image), (image,), (found[0],), reason))
        else:
            unpaired.append(image)
    if not pairs:
        return None
    reason = f"images hold their labels as labels/{name}."
    return Pairing("OME-Zarr", reason, tuple(pairs), tuple(unpaired))


def _zarr_images(folder: Path) -> list[Path]:
    return (
        [folder] if is_zarr(folder) else [p for p in image_files(folder) if is_zarr(p)]
    )


def _label_groups(image: Path) -> list[Path]:
    """Return the label images inside an OME-Zarr image (or in its first series)."""
    for parent in (image / "labels", image / "0" / "labels"):
        if parent.is_dir():
            return [path for path in folders_in(parent) if is_zarr(path)]
    return []
