"""Weight files: what damaged ones raise, and how that is said."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib

METADATA_KEY = "napari_unet"
# What reading a damaged file can raise, in torch, pickle and zipfile together.
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
COPY_AGAIN = "Copy or download it again."
SAVE_ALONE = "Save the state dict alone: torch.save(network.state_dict(), path)."


def first_line(error: BaseException, text: str = "") -> str:
    """Return the first line of what an error says, or its name."""
    text = (text or str(error)).strip() or type(error).__name__
    return shortened(text.splitlines()[0])


def shortened(text: str) -> str:
    """Return `text`, cut to what fits into a message."""
    return text if len(text) <= 160 else f"{text[:157]}..."
