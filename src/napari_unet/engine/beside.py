"""Beside: a quick task on a worker, at once, past the queue and its bookkeeping.

A task of dask is told of four times over the wire until its result is here, about 15 ms
on one machine; what answers a slider cannot wait for that. Here the worker is called
and answers: it runs the task in a thread of its own, beside tiles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed import Client, Worker

# Far longer than a quick task takes; a connection that another thread closes at the
# wrong moment never answers.
LIMIT = 300.0
FORGOTTEN = WorkerError("The worker no longer holds what was sent to it.", "Try again.")


@dataclass(frozen=True)
class Held:
    """An argument that the worker holds, by its key."""

    key: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What a task returned, or the error that it raised."""

    value: Any = None
    error: Exception | None = None


async def answer(
    task: Callable[..., Any], args: tuple[Any, ...], dask_worker: Worker
) -> Answer:
    """Run a task on a worker, which finds what it holds."""
    held = dask_worker.data
    if any(isinstance(arg, Held) and arg.key not in held for arg in args):
        return Answer(error=FORGOTTEN)
    found = [held[arg.key] if isinstance(arg, Held) else arg for arg in args]
    try:
        return Answer(await asyncio.to_thread(task, *found))
    except Exception as error:  # noqa: BLE001  # raised again by the caller
        return Answer(error=error)


def call(
    client: Client, place: list[str] | None, task: Callable[..., Any], args: Any
) -> Answer:
    """Call the worker at `place`, or the only one, and wait for its answer.

    Parameters
    ----------
    client
        The connection.
    place
        Address of the worker that holds the futures among `args`; None: there is
        one worker.
    task, args
        As for `Engine.call`; small, but for futures.

    Raises
    ------
    OSError
        The connection has ended, or there was no answer for `LIMIT` seconds.
    """
    sent = tuple(Held(a.key) if _is_future(a) else a for a in args)
    result: Answer
    [result] = client.run(
        answer, task, sent, workers=place, callback_timeout=LIMIT
    ).values()
    return result


def _is_future(value: Any) -> bool:
    from distributed import Future

    return isinstance(value, Future)
