"""Measuring on a worker, sample by sample: no lazy layer is held whole.

Compiled kernels never enter the viewer's process.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.tables import Table, join_tables, place_rows
from napari_unet.engine.by_sample import Position, iter_samples
from napari_unet.errors import AxesError

if TYPE_CHECKING:
    from napari_unet.core.axes import ArrayLike
    from napari_unet.engine.client import Engine


def iter_measure(
    engine: Engine,
    labels: ArrayLike,
    read_image: Callable[[Position], Any] | None,
    *,
    leading: str,
    spatial: str,
    pixel_size: Sequence[float] | None = None,
) -> Generator[int | None, None, Table]:
    """Measure as `napari_unet.core.measure.measure_stack` does, on the worker.

    Closing the generator drops what has not begun.

    Parameters
    ----------
    engine
        The way to the worker.
    labels
        Integers; a sample is read when its turn comes.
    read_image
        Returns the intensities at a sample, (C, *spatial); None: none are measured.
    leading, spatial
        Letters of the axes that count samples, and of those that follow them.
    pixel_size
        Micrometres per pixel along each of `spatial`.

    Yields
    ------
    int or None
        Samples done; None where nothing has happened for a moment.

    Raises
    ------
    UNetError
        As `measure_stack`, or if the worker has ended.
    """
    positions = list(np.ndindex(*labels.shape[: len(leading)]))
    if not positions:
        raise AxesError("There is nothing to measure.", "Choose labels with pixels.")

    def read(at: Position) -> tuple[Any, ...]:
        image = None if read_image is None else np.asarray(read_image(at))
        return np.asarray(labels[at]), image, spatial, pixel_size

    tables = yield from iter_samples(engine, _measure, positions, read)
    placed = [
        place_rows(table, dict(zip(leading, at, strict=True)))
        for table, at in zip(tables, positions, strict=True)
    ]
    return join_tables(placed)


def warm_up() -> None:
    """Score and measure a few pixels: what is loaded for the first time stays."""
    from napari_unet.core.metrics import count_image

    labels = np.eye(4, dtype=np.int32)
    count_image(labels, labels)
    _measure(labels, labels[None], "YX", None)


def _measure(
    labels: Any, image: Any, axes: str, pixel_size: Sequence[float] | None
) -> Table:
    from napari_unet.core.measure import measure_objects

    return measure_objects(labels, image, axes=axes, pixel_size=pixel_size)
