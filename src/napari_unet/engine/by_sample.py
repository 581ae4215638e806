"""By sample: a task for one plane, frame or volume after the other, on the worker.

What is read stays small: a sample is read when its turn comes, and few are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet.engine.client import URGENT

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.engine.client import Engine

Result = TypeVar("Result")
Position = tuple[int, ...]

# Enough that the worker never waits for pixels, few enough to cancel quickly.
IN_FLIGHT = 3


def iter_samples(
    engine: Engine,
    task: Callable[..., Result],
    positions: Sequence[Position],
    read: Callable[[Position], tuple[Any, ...]],
) -> Generator[int | None, None, list[Result]]:
    """Run a task for every sample, on the worker.

    Closing the generator drops what has not begun.

    Parameters
    ----------
    engine
        The way to the worker.
    task
        What is done to each.
    positions
        Index of each sample along the leading axes.
    read
        Returns the task's arguments for one of them; reads its pixels.

    Yields
    ------
    int or None
        Samples done; None where nothing has happened for a moment.

    Returns
    -------
    list
        What the task returns, in the order of `positions`.

    Raises
    ------
    UNetError
        As the task, or if the worker has ended.
    """
    todo = deque(positions)
    waiting: deque[Future] = deque()
    done: list[Result] = []
    try:
        while todo or waiting:
            while todo and len(waiting) < IN_FLIGHT:
                pixels = read(todo.popleft())
                waiting.append(engine.submit(task, *pixels, priority=URGENT))
            done.append((yield from engine.iter_result(waiting[0])))
            waiting.popleft()
            yield len(done)
    finally:
        engine.drop(waiting)
    return done
