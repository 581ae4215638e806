"""Devices: which one, in which arithmetic, and what a full memory looks like."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from napari_unet.errors import DeviceError

ACCELERATORS = ("cuda", "mps", "xpu")
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def is_available(kind: str) -> bool:
    """Return whether this torch can use a device of this kind here."""
    if kind == "cpu":
        return True
    if kind == "mps":
        return torch.backends.mps.is_available()
    backend = getattr(torch, kind, None)
    return backend is not None and bool(backend.is_available())


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
    try:
        device = torch.device(name)
        known = is_available(device.type)
    except RuntimeError:
        known = False
    if not known:
        raise DeviceError(
            f"There is no device {name!r} here.",
            "Use auto or cpu; `napari-unet doctor` tells why a GPU is not seen.",
        )
    return device


@contextlib.contextmanager
def exact_arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Run in inference mode, in `precision`, without TF32 and autotuned kernels."""
    cuda_matmul = torch.backends.cuda.matmul
    before = cuda_matmul.allow_tf32
    cuda_matmul.allow_tf32 = False
    cudnn = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    dtype = PRECISIONS.get(precision)
    cast = (
        torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()
    )
    try:
        with torch.inference_mode(), cudnn, cast:
            yield
    finally:
        cuda_matmul.allow_tf32 = before


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error)
        for words in ("MPS backend out of memory", "can't allocate memory")
    )


def release_memory(device: torch.device) -> None:
    """Give cached memory back to the driver."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
