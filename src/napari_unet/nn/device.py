"""Devices: which one, in which arithmetic, and what a full memory looks like."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from napari_unet.errors import DeviceError

ACCELERATORS = ("cuda", "mps", "xpu")
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}

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


@contextlib.contextmanager
def exact_arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Run in inference mode, in `precision`, without TF32 and autotuned kernels."""
    dtype = PRECISIONS.get(precision)
    cast = (
        torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()
    )
    with _exact_kernels, torch.inference_mode(), cast:
        yield


class _ExactKernels:
    """torch's switches for inexact kernels, off while anyone is inside.

    The switches belong to the process: tiles in several threads enter and leave in
    any order, and only the last one may put back what the first one found.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_inside = 0
        self.before = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if self.n_inside == 0:
                self._switch_off()
            self.n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.n_inside -= 1
            if self.n_inside == 0:
                self.before.close()

    def _switch_off(self) -> None:
        switches = [*_switches(), *_old_switches()]
        for put, _, before in switches:
            self.before.callback(put, before)
        for put, value, _ in reversed(switches):
            put(value)


Switch = tuple[Callable[[Any], None], object, object]


def _switches() -> list[Switch]:
    """Return how each switch is set, to which value, and what it is now."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    wanted: list[tuple[Any, str, object]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    if hasattr(cudnn, "conv"):  # since torch 2.9, one for each kind of kernel
        onednn: Any = torch.backends.mkldnn
        kinds = (cuda.matmul, cudnn.conv, cudnn.rnn, onednn.matmul, onednn.conv)
        wanted += [(kind, "fp32_precision", "ieee") for kind in kinds]
    return [
        (functools.partial(setattr, owner, name), value, getattr(owner, name))
        for owner, name, value in wanted
    ]


def _old_switches() -> list[Switch]:
    """Return the switches of older torch; a newer one refuses mixed use of both."""
    found: list[Switch] = []
    cudnn = torch.backends.cudnn
    with contextlib.suppress(RuntimeError):
        put = functools.partial(setattr, cudnn, "allow_tf32")
        found.append((put, False, cudnn.allow_tf32))
    with contextlib.suppress(RuntimeError):
        precision = torch.get_float32_matmul_precision()
        found.append((torch.set_float32_matmul_precision, "highest", precision))
    return found


_exact_kernels = _ExactKernels()


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
