"""Bounded reading: a pickle may take so many bytes of its file, and no more."""

from __future__ import annotations

from typing import Protocol

from napari_unet.nn.formats.limits import LARGEST_PICKLE


class Reads(Protocol):
    """The part of a binary file that is needed."""

    def read(self, n: int = ..., /) -> bytes:
        """Return up to `n` bytes."""

    def readline(self) -> bytes:
        """Return bytes up to the end of the line."""


class TooMuchError(Exception):
    """The pickle is longer than allowed."""


class Bounded:
    """A file that ends in an error after so many bytes; without `tell`, for speed."""

    def __init__(self, file: Reads) -> None:
        self.file, self.left = file, LARGEST_PICKLE

    def read(self, n: int) -> bytes:
        """Return up to `n` bytes."""
        self.left -= n
        if self.left < 0:
            raise TooMuchError
        return self.file.read(n)

    def readline(self) -> bytes:
        """Return bytes up to the end of the line."""
        line = self.file.readline()
        self.left -= len(line)
        if self.left < 0:
            raise TooMuchError
        return line
