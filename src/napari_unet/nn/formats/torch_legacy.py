"""PyTorch's format before 1.6: five pickles in a row, then the bare storages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.contents import Contents
from napari_unet.nn.formats.files import RegularFile
from napari_unet.nn.formats.limits import MIB, MOST_TENSORS
from napari_unet.nn.formats.pickle_code import named_code
from napari_unet.nn.formats.pickle_machine import Unpickled, unpickle
from napari_unet.nn.formats.pickle_values import Table
from napari_unet.nn.formats.state_dicts import State, find_state, listed
from napari_unet.nn.formats.tensor_refs import StorageRef, check_sharing, read_tensors
from napari_unet.nn.weight_files import COPY_AGAIN

LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
PROTOCOL = 1001
LENGTH_BYTES = 8


@dataclass(frozen=True)
class _Parts:
    """The pickles, and where the storages begin."""

    content: Unpickled
    keys: list[str]
    start: int
    byte_order: Literal["little", "big"]


def open_torch_legacy(file: RegularFile, *, weights: str | None = None) -> Contents:
    """Open a file of an old `torch.save`.

    Parameters
    ----------
    file
        Begins with `LEGACY_MAGIC`.
    weights
        Which set of weights, if the file holds several; None: chosen.

    Raises
    ------
    CheckpointError
        If it is damaged, made to do harm, or holds no weights.
    """
    with file.open() as raw:
        parts = _parts(raw, file.name)
        state = find_state(parts.content.value, file.name, weights=weights)
        check_sharing(state.tensors, file.size, file.name)
        places = _places(raw, file, parts, state)

    def read() -> dict[str, Tensor]:
        with file.open() as again:

            def storage(reference: StorageRef) -> bytearray:
                again.seek(places[reference.key])
                data = bytearray(reference.n_bytes)
                view, start = memoryview(data), 0
                while start < len(data):
                    chunk = again.read(min(MIB, len(data) - start))
                    if not chunk:
                        raise _damaged(file, "it ends too early")
                    view[start : start + len(chunk)] = chunk
                    start += len(chunk)
                return data

            return read_tensors(state.tensors, storage, byte_order=parts.byte_order)

    return Contents(
        file=file,
        format="PyTorch before 1.6",
        listed=listed(state.tensors),
        read=read,
        hints=state.hints,
        code=named_code(parts.content),
        notes=state.notes,
    )


def _parts(raw: BinaryIO, name: str) -> _Parts:
    unpickle(raw, name)  # the magic number
    protocol = unpickle(raw, name).value
    system = unpickle(raw, name).value
    content = unpickle(raw, name)
    keys = unpickle(raw, name).value
    if protocol != PROTOCOL or not isinstance(keys, list):
        raise CheckpointError(f"{name} is damaged or no PyTorch file.", COPY_AGAIN)
    little = not isinstance(system, Table) or system.get("little_endian", True)
    names = [str(key) for key in keys[:MOST_TENSORS] if isinstance(key, (str, int))]
    return _Parts(content, names, raw.tell(), "little" if little else "big")


def _places(
    raw: BinaryIO, file: RegularFile, parts: _Parts, state: State
) -> dict[str, int]:
    """Return where the values of each storage begin; all that are needed are there."""
    needed = {t.storage.key: t.storage for t in state.tensors.values()}
    places, position = {}, parts.start
    for key in parts.keys:
        raw.seek(position)
        n_values = int.from_bytes(raw.read(LENGTH_BYTES), parts.byte_order)
        dtype = parts.content.storages.get(key)
        if dtype is None:
            raise _damaged(file, f"nothing uses storage {key[:40]}")
        n_bytes = n_values * dtype.itemsize
        places[key] = position + LENGTH_BYTES
        position += LENGTH_BYTES + n_bytes
        if position > file.size:
            raise _damaged(file, "it ends too early")
        if key in needed and needed[key].n_bytes > n_bytes:
            raise _damaged(file, f"storage {key[:40]} is too short")
    if not needed.keys() <= places.keys():
        raise _damaged(file, "storages are missing")
    return places


def _damaged(file: RegularFile, why: str) -> CheckpointError:
    return CheckpointError(f"{file.name} is damaged ({why}).", COPY_AGAIN)
