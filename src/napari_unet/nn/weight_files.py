"""Weight files: tensors read from disk, and nothing executed.

Safetensors files hold no code. Foreign `.pt` files are pickles, which can: they are
read with ``weights_only=True``, always.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import warnings
import zipfile

import safetensors
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from napari_unet.errors import CheckpointError

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
)
COPY_AGAIN = "Copy or download it again."
SAVE_ALONE = "Save the state dict alone: torch.save(network.state_dict(), path)."


def read_safetensors(data: bytes, name: str) -> tuple[dict[str, Tensor], str | None]:
    """Return the tensors and the recipe's JSON, None if there is none.

    Raises
    ------
    CheckpointError
        If `data`, the content of the file called `name`, is damaged.
    """
    try:
        state = load_tensors(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
    except (safetensors.SafetensorError, *DAMAGED) as error:
        problem = f"{name} is damaged or no safetensors file ({first_line(error)})."
        raise CheckpointError(problem, COPY_AGAIN) from None
    return state, (header.get("__metadata__") or {}).get(METADATA_KEY)


def read_pickle(data: bytes, name: str) -> dict[str, Tensor]:
    """Return a bare state dict.

    Raises
    ------
    CheckpointError
        If `data`, the content of the file called `name`, is damaged, or holds
        anything else; code in it is not executed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except DAMAGED as error:
        raise _explained(error, name) from None
    if not _is_state(found):
        raise CheckpointError(f"{name} is not a bare state dict.", SAVE_ALONE)
    return dict(found)


def _explained(error: BaseException, name: str) -> CheckpointError:
    """Tell code in the file from damage, by what torch says."""
    text = str(error)
    if "TorchScript" in text:
        problem = f"{name} is a TorchScript archive, which holds code; it was not run."
        return CheckpointError(problem, SAVE_ALONE)
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and named:
        what = shortened(named[1])
        problem = f"{name} holds {what} besides weights; it was not loaded."
        return CheckpointError(problem, SAVE_ALONE)
    if isinstance(error, pickle.UnpicklingError):
        text = text.rpartition("WeightsUnpickler error: ")[2]
    problem = f"{name} is damaged or no PyTorch file ({first_line(error, text)})."
    return CheckpointError(problem, COPY_AGAIN)


def _is_state(found: object) -> bool:
    if not isinstance(found, dict) or not found:
        return False
    names = all(isinstance(name, str) for name in found)
    return names and all(isinstance(value, Tensor) for value in found.values())


def first_line(error: BaseException, text: str = "") -> str:
    """Return the first line of what an error says, or its name."""
    text = (text or str(error)).strip() or type(error).__name__
    return shortened(text.splitlines()[0])


def shortened(text: str) -> str:
    """Return `text`, cut to what fits into a message."""
    return text if len(text) <= 160 else f"{text[:157]}..."
