"""Optimisation: optimiser, learning rate, averaged weights, and the arithmetic."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.nn.kernels import PRECISIONS
from napari_unet.training_settings import Training

# Peak learning rates; from a trained model, a third: it has less far to go.
LEARNING_RATES = {"adamw": 1e-3, "sgd": 1e-2}
FINE_TUNING = 1 / 3
MOMENTUM = 0.99
CPU = torch.device("cpu")
# The average of t steps reaches back over about t / 9 of them, until `ema` is reached.
YOUNG = 9


def make_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return AdamW, or SGD as in the paper; only kernels decay, no norms or biases."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # One pass over all weights, where torch has such a kernel.
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    how: dict[str, Any] = {"lr": 0.0, "weight_decay": training.weight_decay}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, **how, fused=fused)
    return torch.optim.SGD(groups, **how, momentum=MOMENTUM, nesterov=True, fused=fused)


def peak_rate(training: Training, *, fine_tuning: bool) -> float:
    """Return the largest learning rate."""
    if training.learning_rate is not None:
        return training.learning_rate
    return LEARNING_RATES[training.optimizer] * (FINE_TUNING if fine_tuning else 1)


def rate_factor(progress: float, warmup: float) -> float:
    """Return the part of the peak rate: a line up, then half a cosine down to 0.

    Parameters
    ----------
    progress
        Part of the budget used, 0..1.
    warmup
        Part of the budget in which the rate rises.
    """
    if progress < warmup:
        return max(progress / warmup, 0.01)
    rest = (progress - warmup) / max(1 - warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


@torch.no_grad()
def update_average(
    average: nn.Module, network: nn.Module, *, decay: float, step: int
) -> None:
    """Move the averaged weights towards those of `network`.

    ``m += (w - m) max(1 - decay, 9 / (8 + t))`` at step t = 1, 2, ...: the weights of
    the first step are taken as they are, so nothing is biased towards the start, and
    while there are few steps, the average reaches back over about a ninth of them.
    The running statistics of batch norm are averaged in the same way, since they
    belong to the weights; whole numbers are copied.
    """
    share = max(1 - decay, YOUNG / (YOUNG - 1 + step))
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    numbers = [(mean, x) for mean, x in pairs if mean.is_floating_point()]
    means, current = map(list, zip(*numbers, strict=True))
    torch._foreach_lerp_(means, current, share)  # all of them in one call
    for mean, x in pairs:
        if not mean.is_floating_point():
            mean.copy_(x)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(network.parameters(), network.buffers())


def choose_precision(asked: str, device: torch.device) -> str:
    """Return float32, bfloat16 or float16; ``"auto"``: bfloat16 where it is fast."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and _cpu_has_bfloat16()
    return "bfloat16" if fast else "float32"


def _cpu_has_bfloat16() -> bool:
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return probe is not None and bool(probe())


def autocast(
    device: torch.device, precision: str
) -> contextlib.AbstractContextManager[object]:
    """Return a context in which networks compute in `precision`."""
    dtype = PRECISIONS.get(precision)
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Make torch's random numbers a function of `seed`; the caller's go on after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
