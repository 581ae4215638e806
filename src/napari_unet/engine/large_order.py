"""Large order: what a worker needs to segment an image from disk to disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class LargeOrder:
    """One image, and where its labels go.

    Parameters
    ----------
    image
        A zarr or dask array that the worker can read.
    out
        The OME-Zarr group to be.
    model
        Bundled name, or path.
    trust, choices
        As in the model's card.
    block
        Pixels along each axis of a block, which is what a cancelled run waits for.
    options
        As for `napari_unet.segment`.
    """

    image: Any
    out: Path
    model: str
    trust: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    block: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LargeResult:
    """What became of it; see `napari_unet.engine.output.Written`.

    Parameters
    ----------
    path, axes, n_objects, notes
        As there.
    provenance
        What the output says of itself.
    """

    path: Path
    axes: str
    n_objects: int
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]
