"""Safetensors files: no code, a JSON header, tensors; own ones carry a recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import safetensors
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.contents import Contents, TensorInfo
from napari_unet.nn.formats.files import RegularFile
from napari_unet.nn.formats.limits import LARGEST_HEADER, MOST_TENSORS
from napari_unet.nn.formats.plain import plain
from napari_unet.nn.formats.prefixes import clean_names
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED, METADATA_KEY, first_line

LENGTH_BYTES = 8
BITS = {
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "U32": ("uint32", 32),
    "I32": ("int32", 32),
    "F32": ("float32", 32),
    "U64": ("uint64", 64),
    "I64": ("int64", 64),
    "F64": ("float64", 64),
}


def is_safetensors(head: bytes) -> bool:
    """Return whether a file that begins with `head` may be a safetensors file."""
    return head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def open_safetensors(file: RegularFile, *, weights: str | None = None) -> Contents:
    """Open a safetensors file, of this package or of anybody's.

    Parameters
    ----------
    file
        The file.
    weights
        Which of several networks, by the first part of the names; None: chosen.

    Raises
    ------
    CheckpointError
        If it is damaged.
    """
    length = int.from_bytes(file.head(LENGTH_BYTES), "little")
    if length > LARGEST_HEADER:
        raise CheckpointError(
            f"{file.name} claims a header of {length} bytes.", COPY_AGAIN
        )
    with _opened(file) as opened:
        metadata: dict[str, str] = opened.metadata() or {}
        stored = {name: _info(opened, name) for name in _names(opened, file)}
    recipe = metadata.pop(METADATA_KEY, None)
    names = {name: name for name in stored}
    notes: tuple[str, ...] = ()
    if recipe is None:
        cleaned, notes = clean_names(stored, file.name, weights=weights)
        names = {new: info.name for new, info in cleaned.items()}

    def read() -> dict[str, Tensor]:
        with _opened(file) as again:
            return {new: _tensor(again, old) for new, old in names.items()}

    return Contents(
        file=file,
        format="safetensors",
        listed=tuple(_renamed(stored[old], new) for new, old in names.items()),
        read=read,
        # The format sorts its tensors: their order says nothing.
        hints={"ordered": False, "metadata": plain(_parsed(metadata))},
        recipe=recipe,
        notes=notes,
    )


@contextmanager
def _opened(file: RegularFile) -> Iterator[Any]:
    """Open with the library, which validates the header, and explain what it says."""
    try:
        with file.open(), safetensors.safe_open(file.path, framework="pt") as opened:
            yield opened
    except (safetensors.SafetensorError, *DAMAGED) as error:
        raise CheckpointError(
            f"{file.name} is damaged or no safetensors file ({first_line(error)}).",
            COPY_AGAIN,
        ) from None


def _names(opened: Any, file: RegularFile) -> list[str]:
    names = sorted(opened.keys(), key=_natural)
    if len(names) > MOST_TENSORS:
        raise CheckpointError(f"{file.name} lists {len(names)} tensors.", COPY_AGAIN)
    return names


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which numbers count: the format keeps no order of its own."""
    parts = re.split(r"([0-9]{1,9})", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _info(opened: Any, name: str) -> TensorInfo:
    part = opened.get_slice(name)
    shape = tuple(part.get_shape())
    dtype, bits = BITS.get(part.get_dtype(), (str(part.get_dtype()).lower(), 8))
    n_values = 1
    for size in shape:
        n_values *= size
    return TensorInfo(name, shape, dtype, n_values * bits // 8)


def _renamed(info: TensorInfo, name: str) -> TensorInfo:
    return TensorInfo(name, info.shape, info.dtype, info.n_bytes)


def _tensor(opened: Any, name: str) -> Tensor:
    found: Tensor = opened.get_tensor(name)
    return found


def _parsed(metadata: dict[str, str]) -> dict[str, Any]:
    """Return the metadata with what is JSON parsed."""
    found: dict[str, Any] = {}
    for key, text in metadata.items():
        found[key] = text
        if text[:1] in ("{", "["):
            try:
                found[key] = json.loads(text)
            except (ValueError, RecursionError):
                continue
    return found
