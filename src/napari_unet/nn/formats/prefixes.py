"""Names of tensors without what trainers put around the network.

DataParallel, compilation, averaging and Lightning leave prefixes; losses and profilers
leave tensors of their own; an averaged copy may lie beside the network's own.
"""

from __future__ import annotations

import re
from typing import Protocol, TypeVar

from napari_unet.nn.weight_files import shortened

# Never a part of the network itself, wherever they stand.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Mostly a trainer's name for the network.
HOLDERS = ("model", "net", "network", "unet", "nn", "_model", "state_dict", "generator")
AVERAGED = (
    "average_model",
    "averaged_model",
    "ema",
    "ema_model",
    "ema_net",
    "ema_network",
    "model_ema",
    "net_ema",
    "swa_model",
)
# Tensors of averaging and of a profiler (thop) that no network reads.
COUNTERS = re.compile(r"(^|\.)(n_averaged|total_ops|total_params)$")


class Shaped(Protocol):
    """A tensor, or a reference to one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""


T = TypeVar("T", bound=Shaped)


def clean_names(
    tensors: dict[str, T], file: str, *, weights: str | None = None
) -> tuple[dict[str, T], tuple[str, ...]]:
    """Return the network's tensors under the network's own names.

    Parameters
    ----------
    tensors
        As stored.
    file
        Name of the file, for messages.
    weights
        First part of the names to take, where several networks share one state dict;
        None: chosen.

    Returns
    -------
    dict
        By their new names, in the same order.
    tuple of str
        What was left out, one sentence each.
    """
    notes: list[str] = []
    found = _unwrapped(_without_counters(tensors, notes))
    found = _one_network(found, file, weights, notes)
    return _unheld(found), tuple(notes)


def _without_counters(tensors: dict[str, T], notes: list[str]) -> dict[str, T]:
    kept = {n: t for n, t in tensors.items() if not COUNTERS.search(n)}
    if len(kept) < len(tensors):
        n_lost = len(tensors) - len(kept)
        notes.append(f"{n_lost} counters that no network reads were left out.")
    return kept


def _unwrapped(tensors: dict[str, T]) -> dict[str, T]:
    """Drop wrappers from all names, unless two tensors would get one name."""
    renamed = {
        ".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
        for name, tensor in tensors.items()
    }
    return renamed if len(renamed) == len(tensors) and "" not in renamed else tensors


def _one_network(
    tensors: dict[str, T], file: str, weights: str | None, notes: list[str]
) -> dict[str, T]:
    """Keep one of several networks that lie side by side under names of their own."""
    groups: dict[str, dict[str, T]] = {}
    for name, tensor in tensors.items():
        head, _, tail = name.partition(".")
        groups.setdefault(head, {})[tail] = tensor
    held = [h for h in groups if h in (*HOLDERS, *AVERAGED) and _has_kernels(groups[h])]
    others = [h for h in groups if h not in held and _has_kernels(groups[h])]
    if len(groups) == 1 or not held or others:
        return tensors  # the parts of one network, whatever they are called
    chosen = weights if weights in held else _preferred(groups, held)
    dropped = shortened(", ".join(head for head in groups if head != chosen))
    notes.append(
        f"{file}: the tensors of {chosen} were taken, and those of {dropped} left out."
    )
    return {f"{chosen}.{tail}": tensor for tail, tensor in groups[chosen].items()}


def _preferred(groups: dict[str, dict[str, T]], held: list[str]) -> str:
    """Return the network's own name, or that of its averaged copy if it is complete."""
    own = next((head for head in held if head in HOLDERS), held[0])
    shapes = {name: tensor.shape for name, tensor in groups[own].items()}
    for head in held:
        copy = {name: tensor.shape for name, tensor in groups[head].items()}
        if head in AVERAGED and copy == shapes:
            return head
    return own


def _unheld(tensors: dict[str, T]) -> dict[str, T]:
    """Drop the trainer's name for the network, if all tensors have it.

    `model.0.` stays: there the network itself is a numbered sequence of this name.
    """
    while True:
        heads = {name.partition(".")[0] for name in tensors}
        head = next(iter(heads), "")
        if len(heads) != 1 or head not in (*HOLDERS, *AVERAGED):
            return tensors
        tails = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
        if any(not tail or tail[0].isdigit() for tail in tails):
            return tensors
        tensors = tails


def _has_kernels(tensors: dict[str, T]) -> bool:
    return any(len(tensor.shape) >= 3 for tensor in tensors.values())
