"""Order of concatenation: which half of a weight belongs to the skip.

A channel that its convolution makes strong is one that the next convolution uses:
trained together, the two norms rise and fall together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_unet.nn.formats.moves import Wiring
from napari_unet.nn.formats.units import Unit, Units

LEAST_CHANNELS = 4
# Ranks without any relation agree by as much once in fifty files.
CLEAR = 3.0
HARDLY = 0.05


def order_losses(
    units: Units, wiring: Wiring, tensors: Mapping[str, Tensor]
) -> dict[str, float] | None:
    """Return minus the mean rank correlation for each order; None if nothing tells.

    It counts little where chance alone could make the difference.
    """
    found: dict[str, list[tuple[float, int]]] = {"skip_first": [], "up_first": []}
    skips: list[Tensor] = []
    last = skip = torch.empty(0)
    for move in wiring.moves:
        if move.kind == "pool":
            skips.append(last)
        elif move.kind in {"up", "grow"}:
            skip = skips.pop()
        if move.element is None:
            continue
        if move.merge == "concatenate":
            unit = units.units[move.element.members[0]]
            used = tensors[f"{unit.path}.weight"].float()
            used = used.flatten(2).norm(dim=(0, 2))
            for order, (a, b) in {
                "skip_first": (skip, last),
                "up_first": (last, skip),
            }.items():
                if min(len(a), len(b)) >= LEAST_CHANNELS:
                    parts = used[: len(a)], used[len(a) :]
                    found[order] += [
                        (_agree(a, parts[0]), len(a)),
                        (_agree(b, parts[1]), len(b)),
                    ]
        way = move.element.ways[-1]
        unit = units.units[move.element.members[-1]]
        last = _strength(unit, way.transposed, tensors)
    if not found["up_first"]:
        return None
    scores = [_score(pairs) for pairs in found.values()]
    weight = 1.0 if abs(scores[0] - scores[1]) > CLEAR else HARDLY
    return {
        order: -weight * sum(r for r, _ in pairs) / len(pairs)
        for order, pairs in found.items()
    }


def _score(pairs: list[tuple[float, int]]) -> float:
    """Return the sum of correlations of so many ranks, in standard deviations."""
    total: float = sum(r * (n - 1) ** 0.5 for r, n in pairs) / len(pairs) ** 0.5
    return total


def _strength(unit: Unit, transposed: bool, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return how strong each output channel of a unit is."""
    if unit.norm is not None and "weight" in unit.norm.shapes:
        gain = tensors[f"{unit.norm.path}.weight"].float().abs()
        if len(gain) == tensors[f"{unit.path}.weight"].shape[int(transposed)]:
            return gain
    weight = tensors[f"{unit.path}.weight"].float()
    weight = weight.transpose(0, 1) if transposed else weight
    strength: Tensor = weight.flatten(1).norm(dim=1)
    return strength


def _agree(a: Tensor, b: Tensor) -> float:
    """Return the rank correlation; 0 if one of them does not vary."""
    if len(a) != len(b) or a.std() < 1e-6 * a.mean() or b.std() < 1e-6 * b.mean():
        return 0.0
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).float()
    return float(torch.corrcoef(ranks)[0, 1])
