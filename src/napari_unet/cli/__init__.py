"""The shell: the same settings and the same pipeline as everywhere else.

Importing this loads neither torch nor numba: each command imports what it needs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

DEBUG = "NAPARI_UNET_DEBUG"


class Cancelled(Exception):
    """The user interrupted; the message says what is done."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `napari-unet`; whatever goes wrong ends in one clear line.

    The exit status is 0, or 1 for an error, 2 for wrong usage, 130 if interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from napari_unet.cli.app import app

        status = app(given or ["--help"], standalone_mode=False)
    except (Cancelled, KeyboardInterrupt) as cancelled:
        _stop(str(cancelled) or "Cancelled.", 130)
    except Exception as error:  # the last line before a traceback
        if hasattr(error, "format_message"):  # typer's own: wrong usage
            _stop(f"{error.format_message().rstrip('.')}. See --help.", 2)
        if os.environ.get(DEBUG):
            raise
        _stop(explain(error), 1)
    sys.exit(status if isinstance(status, int) else 0)


def explain(error: Exception) -> str:
    """Say in one line what went wrong, and what to do about it."""
    from napari_unet.errors import UNetError

    if isinstance(error, UNetError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = (
            f"The memory of this machine is full ({error}). Close other programs, or "
            "cut the image into parts."
        )
    elif isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        text = (
            f"{name}{error.strerror}. Check the name, the permissions and the free "
            "space of the disk."
        )
    else:
        text = (
            f"Something unforeseen happened ({type(error).__name__}: {error}). Please "
            f"report it with the output of this command under {DEBUG}=1."
        )
    return " ".join(text.split())


def _stop(message: str, status: int) -> NoReturn:
    # A message may quote a file: nothing in it may steer the terminal.
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    sys.stderr.write(f"napari-unet: {line}\n")
    sys.exit(status)
