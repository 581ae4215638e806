"""Scoring on a worker, sample by sample: no lazy labels are held whole."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.metrics import Scores, count_image, pool_images
from napari_unet.engine.by_sample import Position, iter_samples
from napari_unet.errors import AxesError

if TYPE_CHECKING:
    from napari_unet.core.axes import ArrayLike
    from napari_unet.core.metrics import ImageCounts
    from napari_unet.engine.client import Engine


def iter_score(
    engine: Engine, labels: ArrayLike, truth: ArrayLike, n_leading: int
) -> Generator[int | None, None, Scores]:
    """Score as `napari_unet.evaluate` does a list of samples, on the worker.

    Closing the generator drops what has not begun.

    Parameters
    ----------
    engine
        The way to the worker.
    labels, truth
        Integers of one shape; a sample is read when its turn comes.
    n_leading
        Leading axes that count samples; the last two or three are the objects'.

    Yields
    ------
    int or None
        Samples done; None where nothing has happened for a moment.

    Raises
    ------
    UNetError
        As `napari_unet.evaluate`, or if the worker has ended.
    """
    positions = list(np.ndindex(*labels.shape[:n_leading]))
    if not positions:
        raise AxesError("There is nothing to score.", "Choose labels with pixels.")
    number = {at: image for image, at in enumerate(positions)}

    def read(at: Position) -> tuple[Any, ...]:
        return np.asarray(labels[at]), np.asarray(truth[at]), number[at]

    counts = yield from iter_samples(engine, _count, positions, read)
    return pool_images(counts)


def _count(labels: Any, truth: Any, image: int) -> ImageCounts:
    return count_image(labels, truth, image=image)
