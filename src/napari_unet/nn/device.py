"""Devices: which one, in which arithmetic, and what a full memory looks like."""

from __future__ import annotations

import torch

from napari_unet.errors import DeviceError

ACCELERATORS = ("cuda", "mps", "xpu")

# How torch says that memory is full where it does not raise its own class of error.
FULL_MEMORY = (
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


def is_available(kind: str) -> bool:
    """Return whether this torch can use a device of this kind here."""
    return n_devices(kind) > 0


def n_devices(kind: str) -> int:
    """Return how many devices of this kind this torch can use here."""
    if kind == "cpu":
        return 1
    if kind not in ACCELERATORS:
        return 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    backend = getattr(torch, kind, None)
    return backend.device_count() if backend and backend.is_available() else 0


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; ``"auto"``: cuda, mps, xpu or cpu.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    if name == "auto":
        found = [kind for kind in ACCELERATORS if is_available(kind)]
        return torch.device(found[0] if found else "cpu")
    kind, _, number = str(name).partition(":")
    known = number.isdecimal() or kind == str(name)
    if not known or int(number or 0) >= n_devices(kind):
        raise DeviceError(
            f"There is no device {name!r} here.",
            "Use auto or cpu; `napari-unet doctor` tells why a GPU is not seen.",
        )
    return torch.device(str(name))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the memory of the device, or host, is full."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(w in text for w in FULL_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give cached memory back to the driver."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
