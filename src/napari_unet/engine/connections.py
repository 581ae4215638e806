"""Engine: what distributed raises when the other end of a connection has ended."""

from __future__ import annotations

from concurrent.futures import CancelledError

# What tornado says of a stream whose other end closed it before TLS began.
CLOSED_BEFORE_TLS = "IOStream is not idle"


def is_ended(error: Exception) -> bool:
    """Whether an error means that the other end of a connection is gone."""
    from distributed.client import ClosedClientError

    if isinstance(error, ValueError):
        return CLOSED_BEFORE_TLS in str(error)
    return isinstance(error, (OSError, CancelledError, ClosedClientError))
