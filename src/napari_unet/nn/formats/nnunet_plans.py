"""What nnU-Net's plans.json and dataset.json say of the network in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Hints = Mapping[str, Any]
CONFIGURATIONS = ("3d_fullres", "2d", "3d_lowres", "3d_cascade_fullres")


def plan_of(hints: Hints) -> dict[str, Any]:
    """Return strides and spacing of the checkpoint's configuration, if they are told.

    Both ways to write them are known: `arch_kwargs` of version 2.3 and later, and
    `pool_op_kernel_sizes` before.
    """
    plans = _inner(hints, "plans")
    beside = _inner(hints, "init_args")
    plans = plans or _inner(beside, "plans")
    configurations = _inner(plans, "configurations")
    asked = beside.get("configuration")
    known = [name for name in (asked, *CONFIGURATIONS) if name in configurations]
    if not known or (asked not in known and len(configurations) > 1):
        return {}
    told = _inherited(configurations, str(known[0]))
    network = _inner(_inner(told, "architecture"), "arch_kwargs")
    strides = network.get("strides") or told.get("pool_op_kernel_sizes")
    return {"strides": strides, "spacing": told.get("spacing")}


def channels_of(hints: Hints) -> tuple[str, ...]:
    """Return the names of the output channels, background first, from dataset.json."""
    labels = _inner(_inner(hints, "dataset"), "labels")
    numbered = {
        value: str(key)
        for key, value in labels.items()
        if isinstance(value, int) and str(key) != "ignore"
    }
    names = [numbered[n] for n in sorted(numbered)]
    return tuple(names) if sorted(numbered) == list(range(len(names))) else ()


def _inherited(configurations: Hints, name: str) -> Hints:
    """Return a configuration with what it takes over from another."""
    own = _inner(configurations, name)
    parent = own.get("inherits_from")
    if isinstance(parent, str) and parent in configurations and parent != name:
        return {**_inner(configurations, parent), **own}
    return own


def _inner(values: Hints, key: str) -> Hints:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
