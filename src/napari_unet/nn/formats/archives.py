"""Zip files: every record is held against the limits before one is unpacked.

Refused are names that lead elsewhere, links, encryption, two records of one name,
records that share bytes, and archives that unpack to far more than they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.files import RegularFile, shown_name
from napari_unet.nn.formats.limits import (
    LARGEST_DIRECTORY,
    LARGEST_FILE,
    LARGEST_RATIO,
    MIB,
    UNPACKED_ANYWAY,
)
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED, first_line

ZIP_MAGIC = b"PK\x03\x04"
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """Records of an open zip file.

    Parameters
    ----------
    name
        Of the file, for messages.
    opened
        The zip file.
    records
        By name, in the file's order, without folders.
    checked
        Whether it has checksums: `torch.save` can be told to write none.
    """

    def __init__(self, name: str, opened: zipfile.ZipFile) -> None:
        self.name = name
        self.opened = opened
        self.records = {r.filename: r for r in opened.infolist() if not r.is_dir()}
        self.checked = any(record.CRC for record in self.records.values())
        if not self.checked:
            for record in self.records.values():
                record.CRC = None  # type: ignore[assignment]  # to zipfile: none

    def size(self, record: str) -> int:
        """Return the unpacked size of a record.

        Raises
        ------
        CheckpointError
            If there is none of this name.
        """
        return self._info(record).file_size

    def read(self, record: str, most: int) -> bytearray:
        """Return a record of at most `most` bytes; its checksum is compared.

        Raises
        ------
        CheckpointError
            If it is missing, longer, or damaged.
        """
        info = self._info(record)
        if info.file_size > most:
            raise CheckpointError(
                f"{shown_name(Path(record))} in {self.name} has {info.file_size} "
                f"bytes; at most {most} were expected.",
                COPY_AGAIN,
            )
        data = bytearray(info.file_size)
        view, start = memoryview(data), 0
        with self._explained(record), self.opened.open(info) as stream:
            while chunk := stream.read(MIB):
                view[start : start + len(chunk)] = chunk
                start += len(chunk)
            if start != info.file_size:
                raise EOFError("it ends too early")
        return data

    def extract(self, folder: Path) -> None:
        """Unpack all records into `folder`, which is new and empty.

        Raises
        ------
        CheckpointError
            If a record is damaged; nothing is written outside the folder.
        """
        for record, info in self.records.items():
            target = folder.joinpath(*PurePosixPath(record).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                self._explained(record),
                self.opened.open(info) as stream,
                target.open("xb") as out,
            ):
                shutil.copyfileobj(stream, out, MIB)

    def _info(self, record: str) -> zipfile.ZipInfo:
        if record not in self.records:
            raise CheckpointError(
                f"{self.name} lacks {shown_name(Path(record))}.", COPY_AGAIN
            )
        return self.records[record]

    @contextlib.contextmanager
    def _explained(self, record: str) -> Iterator[None]:
        try:
            yield
        except (*DAMAGED, NotImplementedError) as error:
            raise CheckpointError(
                f"{shown_name(Path(record))} in {self.name} is damaged "
                f"({first_line(error)}).",
                COPY_AGAIN,
            ) from None


@contextlib.contextmanager
def open_archive(file: RegularFile) -> Iterator[Archive]:
    """Open a zip file whose records have been checked.

    Raises
    ------
    CheckpointError
        If it is damaged, or made to do harm.
    """
    with file.open() as raw:
        try:
            opened = zipfile.ZipFile(_Sips(raw))
        except (*DAMAGED, NotImplementedError) as error:
            raise CheckpointError(
                f"{file.name} is a damaged zip file ({first_line(error)}).", COPY_AGAIN
            ) from None
        with opened:
            why = _harm(opened.infolist(), file.size)
            if why:
                raise CheckpointError(
                    f"{file.name} is refused: {why}.",
                    "Ask its author for a plain archive.",
                )
            yield Archive(file.name, opened)


class _Sips(io.RawIOBase):
    """A file from which no more than a directory's worth is read at once."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, n: int = -1) -> bytes:
        most = LARGEST_DIRECTORY + 1
        data = self.file.read(most if n < 0 else min(n, most))
        if len(data) > LARGEST_DIRECTORY:
            raise ValueError("its directory is too long")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _harm(records: list[zipfile.ZipInfo], size: int) -> str:
    """Say what is wrong with the records of an archive of `size` bytes, if anything."""
    unpacked = sum(record.file_size for record in records)
    if unpacked > min(LARGEST_FILE, max(UNPACKED_ANYWAY, LARGEST_RATIO * size)):
        return f"its {size} bytes unpack to {unpacked}"
    if sum(record.compress_size for record in records) > size:
        return "its records share bytes"
    seen = set()
    for record in records:
        why = _harm_of(record)
        if why:
            return f"{shown_name(Path(record.filename))} {why}"
        # Some file systems take different spellings for one name.
        spelling = unicodedata.normalize("NFC", record.filename).casefold()
        if spelling in seen:
            return f"it holds {shown_name(Path(record.filename))} twice"
        seen.add(spelling)
    return ""


def _harm_of(record: zipfile.ZipInfo) -> str:
    """Say what is wrong with one record, if anything."""
    if is_elsewhere(record.filename):
        return "leads out of its folder"
    kind = stat.S_IFMT(record.external_attr >> 16)
    if record.create_system == 3 and kind not in _KINDS:
        return "is a link or a device"
    if record.flag_bits & 0x1:
        return "is encrypted"
    return "" if record.compress_type in _METHODS else "is packed in an unknown way"


def is_elsewhere(name: str) -> bool:
    """Return whether a relative POSIX name could lead out of its folder anywhere."""
    path = PurePosixPath(name)
    odd = not name or any(c in name for c in '\\\0:*?"<>|\n\r')
    return odd or path.is_absolute() or ".." in path.parts
