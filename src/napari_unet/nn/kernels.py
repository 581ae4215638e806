"""Kernels: torch's switches for fast and for repeatable arithmetic, set for a while.

The switches belong to the process, while tiles and training steps in several threads
come and go in any order. So it is counted who is inside, the strictest decides, and the
last one to leave puts back what the first one found.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}

EXACT, REPEATABLE, FAST = "exact", "repeatable", "fast"
# The strictest first.
MODES = (EXACT, REPEATABLE, FAST)

# What sets a switch, the value for exact arithmetic, and the value that was found.
Switch = tuple[Callable[[Any], None], object, object]


@contextlib.contextmanager
def exact_arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Run in inference mode, in `precision`, without TF32 and autotuned kernels."""
    dtype = PRECISIONS.get(precision)
    cast = (
        torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()
    )
    with _switchboard.mode(EXACT), torch.inference_mode(), cast:
        yield


@contextlib.contextmanager
def training_kernels(*, repeatable: bool) -> Iterator[None]:
    """Choose the convolutions of CUDA: the same ones every time, or the fastest.

    While a tile of another thread is computed, they are those of `exact_arithmetic`.
    """
    with _switchboard.mode(REPEATABLE if repeatable else FAST):
        yield


class _Switchboard:
    """Knows who is inside, and sets the switches that the strictest of them needs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside: Counter[str] = Counter()
        self.found: list[Switch] = []

    @contextlib.contextmanager
    def mode(self, mode: str) -> Iterator[None]:
        """Be inside; `mode` is one of `MODES`."""
        self._count(mode, 1)
        try:
            yield
        finally:
            self._count(mode, -1)

    def _count(self, mode: str, change: int) -> None:
        with self.lock:
            if not self.inside.total():
                self.found = [*_switches(), *_old_switches()]
            before = self._strictest()
            self.inside[mode] += change
            if self._strictest() != before:
                self._set(self._strictest())

    def _strictest(self) -> str:
        return next((mode for mode in MODES if self.inside[mode]), "")

    def _set(self, mode: str) -> None:
        # Old switches first: they set new ones as well.
        for put, exact, found in reversed(self.found):
            put(exact if mode == EXACT else found)
        if mode in (REPEATABLE, FAST):
            cudnn = torch.backends.cudnn
            cudnn.benchmark = mode == FAST
            cudnn.deterministic = mode == REPEATABLE


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


_switchboard = _Switchboard()
