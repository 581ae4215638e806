"""Paths: questions about files that an answer of the system cannot break off.

A folder that may not be read, or a name that is too long, is no file of ours.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Return whether there is a file that can be seen."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def is_folder(path: str | Path) -> bool:
    """Return whether there is a folder that can be seen."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_dir()
    return False


def is_writable(folder: str | Path) -> bool:
    """Return whether files may be made in a folder, as far as permissions tell."""
    with contextlib.suppress(OSError, ValueError):
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def exists(path: str | Path) -> bool:
    """Return whether there is anything that can be seen."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def files_in(folder: str | Path) -> list[Path]:
    """Return what lies in a folder, by name; nothing if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return sorted(Path(folder).iterdir())
    return []
