"""How the networks of the zoo learn a little, and are saved as trainers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo_parts import BATCH


def images(network: nn.Module, n: int, seed: int) -> Tensor:
    """Return images (N, C, ...) of blobs at a few scales, in the network's channels."""
    generator = torch.Generator().manual_seed(seed)
    first = next(p for p in network.parameters() if p.ndim >= 4)
    n_in = getattr(getattr(network, "plan", None), "n_in", first.shape[1])
    ndim = first.ndim - 2
    side = (64, 64) if ndim == 2 else (16, 32, 32)
    total = torch.zeros((n, n_in, *side))
    for scale in (2, 4, 8):
        coarse = torch.rand((n, n_in, *(s // scale for s in side)), generator=generator)
        mode = "bilinear" if ndim == 2 else "trilinear"
        total += functional.interpolate(coarse, side, mode=mode)
    return total / 3


def train(network: nn.Module, steps: int) -> nn.Module:
    """Let it learn to find what is bright, so that its tensors hold evidence."""
    for module in network.modules():
        if isinstance(module, tuple(BATCH.values())):
            module.momentum = 0.3
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for step in range(steps):
        x = images(network, 3, step)
        y = network(x)
        cut = [(a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
        window = tuple(slice(c, c + n) for c, n in zip(cut, y.shape[2:], strict=True))
        target = (x[(slice(None), slice(0, 1), *window)] > 0.5).float()
        loss = functional.binary_cross_entropy_with_logits(y, target.expand_as(y))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():  # as at the end of a training, where weights hardly change
        for step in range(steps, steps + 8):
            network(images(network, 3, step))
    return network.eval().requires_grad_(False)


def save(network: nn.Module, kind: str, path: Path) -> None:
    """Store a network as trainers do."""
    state = network.state_dict()
    if kind == "nested":
        optimizer = torch.optim.Adam(network.parameters())
        value: Any = {"epoch": 3, "model_state_dict": state}
        value["optimizer_state_dict"] = optimizer.state_dict()
    elif kind == "parallel":
        value = {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    elif kind == "lightning":
        value = {"state_dict": {f"model.{k}": v for k, v in state.items()}}
        value |= {
            "pytorch-lightning_version": "2.5.0",
            "hyper_parameters": {"lr": 1e-3},
        }
    elif kind == "old":
        old = {"original0": "weight_g", "original1": "weight_v"}
        value = {}
        for key, tensor in state.items():
            start, _, part = key.rpartition("parametrizations.weight.")
            value[start + old.get(part, part)] = tensor
    else:
        value = state
    torch.save(value, path)
