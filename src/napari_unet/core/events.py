"""Progress events: what a long job yields while it works.

A job is a generator: it yields these and returns its result. Closing it cancels the
job; what it has written into the arrays of `Started` stays.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_unet.core.tiling import Tile

Result = TypeVar("Result")


@dataclass(frozen=True)
class Started:
    """The job is planned; its arrays exist and will be filled.

    Parameters
    ----------
    n_tiles
        Tiles over all samples.
    probabilities
        Fixed point, C first; tiles are written here as they finish.
    labels
        int32; samples are written here as they are separated.
    """

    n_tiles: int
    probabilities: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]


@dataclass(frozen=True)
class TileDone:
    """One tile's probabilities are in place, of the sample at this position."""

    tile: Tile
    n_done: int
    n_tiles: int
    sample: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleDone:
    """The labels of one sample (one frame, or one slice of a stack) are in place.

    `sample` is its position along the axes that are repeated over.
    """

    n_done: int
    n_samples: int
    sample: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """One sentence that a user should read."""

    text: str


Event = Started | TileDone | SampleDone | Note


def exhaust(job: Generator[object, None, Result]) -> Result:
    """Run a job to its end; return its result."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: Result = stop.value
            return result
