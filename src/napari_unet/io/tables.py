"""Tables: one CSV file per image, one row per object.

Plain enough for a spreadsheet and for pandas; lines end in LF everywhere, so equal
tables are equal files.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageFileError
from napari_unet.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOLEANS = {"true": True, "false": False}


def write_table(path: str | Path, columns: Mapping[str, npt.ArrayLike]) -> None:
    """Write columns of equal length as CSV.

    Parameters
    ----------
    path
        A file that is there is replaced, in one step.
    columns
        Values by name. Integers are written in full, floats with 6 significant
        digits, booleans as true and false.

    Raises
    ------
    ImageFileError
        If the columns differ in length or the file cannot be written.
    """
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    if len({a.shape for a in arrays.values()}) > 1:
        lengths = ", ".join(f"{name}: {a.shape}" for name, a in arrays.items())
        raise ImageFileError(
            f"The columns of {Path(path).name} differ in length ({lengths}).",
            "Give every column one value per object.",
        )
    texts = [[_text(value) for value in a.tolist()] for a in arrays.values()]
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(arrays)
        writer.writerows(zip(*texts, strict=True))


def read_table(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """Read a table that `write_table` wrote.

    Returns
    -------
    dict of str to numpy.ndarray
        int64, float64, bool or str columns, by what all their values look like; a
        table without rows has float64 columns.

    Raises
    ------
    ImageFileError
        If the file is not such a table.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        columns = list(zip(*rows, strict=True)) or [()] * len(header)
        return {n: _column(c) for n, c in zip(header, columns, strict=True)}
    except OSError as error:
        raise ImageFileError(
            f"{path} could not be read ({error.strerror}).", "Check the name."
        ) from error
    except (ValueError, csv.Error) as error:
        raise ImageFileError(
            f"{path} is not a table with a header and rows of one length.",
            "Write it again as CSV, separated by commas.",
        ) from error


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _column(texts: tuple[str, ...]) -> npt.NDArray[Any]:
    if texts and all(text in _BOOLEANS for text in texts):
        return np.array([_BOOLEANS[text] for text in texts])
    for kind in (int, float):
        try:
            dtype = np.int64 if kind is int and texts else np.float64
            return np.array([kind(text) for text in texts], dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(texts, dtype=str)
