"""PyTorch's zip format, of `torch.save` and of `torch.jit.save`: structure first.

A record `data.pkl` describes the objects, the records under `data/` are the storages.
TorchScript archives have the source of the network besides, and two pickles.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import Archive, open_archive
from napari_unet.nn.formats.contents import Code, Contents
from napari_unet.nn.formats.files import RegularFile
from napari_unet.nn.formats.limits import (
    LARGEST_PICKLE,
    LARGEST_SOURCE,
    LARGEST_SOURCES,
)
from napari_unet.nn.formats.pickle_code import named_code
from napari_unet.nn.formats.pickle_machine import Unpickled, unpickle
from napari_unet.nn.formats.state_dicts import State, find_state, listed
from napari_unet.nn.formats.tensor_refs import (
    StorageRef,
    TensorRef,
    check_sharing,
    read_tensors,
)
from napari_unet.nn.formats.torchscript import ScriptNetwork
from napari_unet.nn.weight_files import COPY_AGAIN

PICKLE = "data.pkl"
UNCHECKED = "The file was saved without checksums: damage to it would go unnoticed."
BYTE_ORDERS = {b"little": "little", b"big": "big"}


def open_torch_zip(
    file: RegularFile, *, trust: bool = False, weights: str | None = None
) -> Contents:
    """Open a file of `torch.save` or `torch.jit.save`.

    Parameters
    ----------
    file
        A zip file with a record `data.pkl`.
    trust
        Whether the network of a TorchScript archive may be run.
    weights
        Which set of weights, if the file holds several; None: chosen.

    Raises
    ------
    CheckpointError
        If it is damaged, made to do harm, or holds no weights.
    """
    with open_archive(file) as archive:
        root = root_of(archive)
        data = archive.read(root + PICKLE, LARGEST_PICKLE)
        content = unpickle(_Reader(data), file.name)
        sources = _sources(archive, root)
        byte_order = _byte_order(archive, root)
        scripted = is_torchscript(archive, root)
        checked = archive.checked
        state = find_state(content.value, file.name, weights=weights)
        check_sharing(state.tensors, file.size, file.name)
        _check_records(archive, root, state)

    def read() -> dict[str, Tensor]:
        with open_archive(file) as again:

            def storage(reference: StorageRef) -> bytearray:
                return again.read(_record(root, reference), reference.n_bytes)

            return read_tensors(state.tensors, storage, byte_order=byte_order)

    def network() -> nn.Module:
        return ScriptNetwork.load(file)

    return Contents(
        file=file,
        format="TorchScript" if scripted else "PyTorch",
        listed=listed(state.tensors),
        read=read,
        hints=state.hints,
        code=(*sources, *_named(content, scripted=scripted)),
        notes=state.notes if checked else (*state.notes, UNCHECKED),
        network=network if scripted and trust else None,
        needs_trust="its TorchScript code" if scripted else "",
    )


def root_of(archive: Archive) -> str:
    """Return the folder of the archive's `data.pkl`, with a slash; or empty.

    Raises
    ------
    CheckpointError
        If there is none, or more than one.
    """
    found = [
        name
        for name in archive.records
        if PurePosixPath(name).name == PICKLE and name.count("/") <= 1
    ]
    if len(found) != 1:
        raise CheckpointError(
            f"{archive.name} is a zip file, but no checkpoint.",
            "Unpack it, and give the checkpoint inside.",
        )
    return found[0].removesuffix(PICKLE)


def is_torchscript(archive: Archive, root: str) -> bool:
    """Return whether the archive holds a network's source."""
    records = archive.records
    return f"{root}constants.pkl" in records or any(
        name.startswith(f"{root}code/") for name in records
    )


class _Reader:
    """A file in memory without a position to tell, which is faster."""

    def __init__(self, data: bytearray) -> None:
        self.data, self.place = bytes(data), 0

    def read(self, n: int = -1, /) -> bytes:
        start, self.place = self.place, self.place + n
        return self.data[start : self.place]

    def readline(self) -> bytes:
        end = self.data.find(b"\n", self.place) + 1 or len(self.data)
        start, self.place = self.place, end
        return self.data[start:end]


def _sources(archive: Archive, root: str) -> tuple[Code, ...]:
    """Return the Python-like sources of a TorchScript archive, to be shown."""
    found, left = [], LARGEST_SOURCES
    for name, record in archive.records.items():
        if not name.startswith(f"{root}code/") or not name.endswith(".py"):
            continue
        text = ""
        if record.file_size <= min(LARGEST_SOURCE, left):
            left -= record.file_size
            text = bytes(archive.read(name, LARGEST_SOURCE)).decode("utf-8", "replace")
        found.append(
            Code("TorchScript", name.removeprefix(root), record.file_size, text)
        )
    return tuple(found)


def _named(content: Unpickled, *, scripted: bool) -> tuple[Code, ...]:
    if not scripted:
        return named_code(content)
    named = tuple(n for n in content.named if not n.startswith("__torch__."))
    return named_code(Unpickled(None, named, content.sources))


def _byte_order(archive: Archive, root: str) -> str:
    name = f"{root}byteorder"
    if name not in archive.records:
        return "little"
    order = BYTE_ORDERS.get(bytes(archive.read(name, 16)))
    if order is None:
        raise CheckpointError(f"{archive.name} has an unknown byte order.", COPY_AGAIN)
    return order


def _record(root: str, storage: StorageRef) -> str:
    return f"{root}data/{storage.key}"


def _check_records(archive: Archive, root: str, state: State) -> None:
    """Refuse weights whose storages are not all there, and as long as they should."""
    references: list[TensorRef] = list(state.tensors.values())
    for storage in {id(t.storage): t.storage for t in references}.values():
        name = _record(root, storage)
        size = archive.size(name)
        if size != storage.n_bytes:
            raise CheckpointError(
                f"{name} in {archive.name} has {size} bytes, not {storage.n_bytes}.",
                COPY_AGAIN,
            )
