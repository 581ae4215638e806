"""Scoring on a worker, sample by sample: no lazy labels are held whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.metrics import ImageCounts, Scores, count_image, pool_images
from napari_unet.engine.client import URGENT
from napari_unet.errors import AxesError

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.core.axes import ArrayLike
    from napari_unet.engine.client import Engine

# Enough that the worker never waits for pixels, few enough to cancel quickly.
IN_FLIGHT = 3


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
    todo = deque(enumerate(np.ndindex(*labels.shape[:n_leading])))
    if not todo:
        raise AxesError("There is nothing to score.", "Choose labels with pixels.")
    waiting: deque[Future] = deque()
    done: list[ImageCounts] = []

    def send(image: int, at: tuple[int, ...]) -> Future:
        pair: tuple[Any, Any] = np.asarray(labels[at]), np.asarray(truth[at])
        return engine.submit(count_image, *pair, priority=URGENT, image=image)

    try:
        while todo or waiting:
            while todo and len(waiting) < IN_FLIGHT:
                waiting.append(send(*todo.popleft()))
            done.append((yield from engine.iter_result(waiting[0])))
            waiting.popleft()
            yield len(done)
    finally:
        engine.drop(waiting)
    return pool_images(done)
