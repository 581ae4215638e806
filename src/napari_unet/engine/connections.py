"""Connections: what distributed raises and logs when their other end has ended."""

from __future__ import annotations

import contextlib
import logging
import zlib
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

# What tornado says of a stream whose other end closed it before TLS began.
CLOSED_BEFORE_TLS = "IOStream is not idle"


def is_ended(error: Exception) -> bool:
    """Whether an error means that the other end of a connection is gone."""
    from distributed.client import ClosedClientError

    if isinstance(error, ValueError):
        return CLOSED_BEFORE_TLS in str(error)
    return isinstance(error, (OSError, CancelledError, ClosedClientError))


@contextlib.contextmanager
def unlogged(*names: str) -> Iterator[None]:
    """Keep what these loggers say of a lost connection to themselves."""
    loggers = [logging.getLogger(name) for name in names]
    for each in loggers:
        each.addFilter(_nothing)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(_nothing)


def leave_unlogged_ends() -> None:
    """Keep what distributed logs when a worker is gone to itself: users are told."""
    logging.getLogger("distributed.client").addFilter(_is_no_end)


def close_quietly(client: Client) -> None:
    """Close a connection whose other end may be dead, which is no news by now."""
    # Python ends its threads first: what waits for a task cannot be told of the end.
    with unlogged("distributed.client", "tornado.application"):
        try:
            client.close(timeout=2)
        except Exception as error:
            if not is_ended(error):
                raise
            logger.debug("closed by the other side before", exc_info=True)
            client.status = "closed"  # or it tries again when it is collected


def choose_worker(client: Client) -> str:
    """Return the address of the worker of a cluster that does the least.

    Trainings, and what was sent, live on one worker; all that belongs together must
    meet there.

    Raises
    ------
    WorkerError
        If there is none; the connection is closed.
    """
    tasks = client.processing()
    if not tasks:
        close_quietly(client)
        raise WorkerError(
            "The scheduler has no workers.", "Start one there, then try again."
        )
    # Several viewers that connect to an idle cluster should not all take the first.
    own = sorted(tasks, key=lambda worker: zlib.crc32(f"{client.id}{worker}".encode()))
    found: str = min(own, key=lambda worker: len(tasks[worker]))
    return found


def _is_no_end(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, Exception) and is_ended(error))


def _nothing(_: logging.LogRecord) -> bool:
    return False
