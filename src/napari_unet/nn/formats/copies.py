"""Copies: tensors that a file holds twice because a module has two names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from napari_unet.errors import CheckpointError


def check_sizes(tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse tensors with more elements than the file has numbers for them.

    Raises
    ------
    CheckpointError
        If one repeats a few numbers (its strides are zero), as no trainer writes.
    """
    for key, tensor in tensors.items():
        held = tensor.untyped_storage().nbytes() // tensor.element_size()
        if tensor.numel() > held:
            raise CheckpointError(
                f"{name}: tensor {key} claims {tuple(tensor.shape)}, but {held} "
                "numbers are there.",
                "The file is damaged or made to do harm; get it again.",
            )


def distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out modules that are there a second time, under another name.

    A convolution whose weights equal an earlier one's to the bit is a copy; so is a
    norm that equals another and stands among copies only.
    """
    modules: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        path, _, last = key.rpartition(".")
        modules[path][last] = tensor
    weights = [(path, m["weight"]) for path, m in modules.items() if _is_heavy(m)]
    copied = _equal_to_earlier(weights)
    dropped = {p for p in modules if p in copied or _stands_among(p, weights, copied)}
    return {k: t for k, t in tensors.items() if k.rpartition(".")[0] not in dropped}


def _stands_among(
    path: str, weights: list[tuple[str, Tensor]], copied: set[str]
) -> bool:
    """Whether all convolutions beside and below `path` are copies."""
    beside = path.rpartition(".")[0] + "."
    below = [other in copied for other, _ in weights if other.startswith(beside)]
    return bool(below) and all(below)


def _is_heavy(module: Mapping[str, Tensor]) -> bool:
    return "weight" in module and module["weight"].ndim >= 4


def _equal_to_earlier(weights: list[tuple[str, Tensor]]) -> set[str]:
    seen: dict[tuple[object, ...], list[Tensor]] = defaultdict(list)
    copied = set()
    for path, weight in weights:
        flat = weight.flatten()
        ends = (float(flat[0]), float(flat[-1])) if len(flat) else ()
        known = seen[(weight.shape, *ends)]
        plain = len(flat) > 1 and bool((flat != flat[0]).any())
        if plain and any(torch.equal(weight, other) for other in known):
            copied.add(path)
        known.append(weight)
    return copied
