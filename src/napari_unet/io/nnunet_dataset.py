"""What nnU-Net's ``dataset.json`` says about the values in its label files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.errors import ImageFileError

IGNORE = "ignore"


@dataclass(frozen=True)
class Dataset:
    """Meaning of the values in label files.

    Parameters
    ----------
    ignore
        Value that means "not annotated"; None: there is none.
    classes
        Names by number, background first; empty if values are no row of numbers, such
        as the overlapping regions that a list of values describes.
    """

    ignore: int | None = None
    classes: tuple[str, ...] = ()


def read_dataset(path: Path) -> Dataset:
    """Read ``dataset.json``; one that does not exist says nothing.

    Raises
    ------
    ImageFileError
        If it cannot be read, or has no labels.
    """
    if not path.is_file():
        return Dataset()
    try:
        described: Any = json.loads(path.read_text(encoding="utf-8"))
        values = _by_name(described["labels"])
        ignore = values.pop(IGNORE, None)
        return Dataset(None if ignore is None else int(ignore), _names(values))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageFileError(
            f"{path} is not a description of an nnU-Net data set ({error}).",
            "Correct it, or move it away if it is none.",
        ) from error


def _by_name(labels: Any) -> dict[str, Any]:
    """Return values by name: {name: number}, which once was {number: name}.

    Numbers may be text.
    """
    values = {str(name): _number(value) for name, value in dict(labels).items()}
    if values and all(isinstance(value, str) for value in values.values()):
        return {name: _number(number) for number, name in values.items()}
    return values


def _number(value: Any) -> Any:
    """Return what a text counts, if it does; all else as it is."""
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isdecimal() else value


def _names(values: dict[str, Any]) -> tuple[str, ...]:
    """Return the names if they count 0, 1, 2, ..."""
    numbered = {n: name for name, n in values.items() if isinstance(n, int)}
    if sorted(numbered) != list(range(len(values))):
        return ()
    return tuple(numbered[n] for n in range(len(values)))
