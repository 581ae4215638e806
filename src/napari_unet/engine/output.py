"""Output: how the result of a long run is written, what it tells, what it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_unet.errors import ImageFileError

SUFFIX = ".part"


@dataclasses.dataclass(frozen=True)
class Progress:
    """So much of one step is done; `total` counts items."""

    step: str
    n_done: int
    total: int


@dataclasses.dataclass(frozen=True)
class Written:
    """The result of a run.

    Parameters
    ----------
    path
        The OME-Zarr group.
    labels
        The labels' array on disk, int32, read by slicing.
    axes
        Its axes, in the order T, Z, Y, X.
    probabilities
        The stored probabilities on disk; None if they were dropped.
    n_objects
        Objects over all samples; classes are not counted.
    notes
        What a user should read.
    """

    path: Path
    labels: Any
    axes: str
    probabilities: Any
    n_objects: int
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Output:
    """How the result is written, and on which terms.

    Parameters
    ----------
    path
        The OME-Zarr group to be; work goes on in ``<path>.part``, which is renamed at
        the end.
    block
        Pixels along each axis of a block, rounded up to whole tiles; 0: a default, or
        that of the run that is resumed. It never changes a label.
    keep_probabilities
        Whether probabilities stay in the output.
    resume
        Go on where a stopped run left off; without one, start afresh.
    overwrite
        Replace `path`, and forget a stopped run.
    threads
        CPU threads of each worker; 0: those of the run that is resumed, or torch's.
    preview
        Whether labels of each block alone are there to be looked at while the work goes
        on. Those of the whole image take their place.
    """

    path: Path
    block: int = 0
    keep_probabilities: bool = True
    resume: bool = False
    overwrite: bool = False
    threads: int = 0
    preview: bool = False


@contextlib.contextmanager
def told(output: Path) -> Iterator[None]:
    """Say in one sentence which file could not be read or written.

    Parameters
    ----------
    output
        Named where the system names no file.
    """
    try:
        yield
    except OSError as error:
        raise ImageFileError(
            f"{error.filename or output.name} could not be read or written "
            f"({error.strerror or error}).",
            "Put this right and repeat the command with --resume: finished blocks are "
            "kept.",
        ) from error
