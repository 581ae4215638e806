"""The shell: the same settings and the same pipeline as everywhere else.

Importing this loads neither torch nor numba: each command imports what it needs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEBUG = "NAPARI_UNET_DEBUG"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `napari-unet`; a user's mistake ends in one clear line and exit status 1."""
    from napari_unet.cli.app import app
    from napari_unet.errors import UNetError

    if os.environ.get(DEBUG):
        app(arguments)
        return
    try:
        app(arguments)
    except UNetError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("Cancelled; files that are complete stay.", 130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  (the last line before a traceback)
        _stop(
            f"Something unforeseen happened ({type(error).__name__}: {error}). Please "
            f"report it with the output of this command under {DEBUG}=1.",
            1,
        )


def _stop(message: str, status: int) -> None:
    # A message may quote a file: nothing in it may steer the terminal.
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    sys.stderr.write(f"napari-unet: {line}\n")
    sys.exit(status)
