"""What nnU-Net's plans.json and dataset.json say of the network in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Hints = Mapping[str, Any]
CONFIGURATIONS = ("3d_fullres", "2d", "3d_lowres", "3d_cascade_fullres")


def plan_of(hints: Hints) -> dict[str, Any]:
    """Return what is told of the checkpoint's configuration; empty if nothing is.

    Both ways to write strides are known: `arch_kwargs` of version 2.3 and later, and
    `pool_op_kernel_sizes` before.

    Returns
    -------
    dict
        ``strides``, ``spacing``, ``schemes`` (names of the normalisation, one for each
        channel), ``masked`` (whether they look at a mask alone), ``intensities``
        (properties of each channel), ``transpose``, ``original`` (spacing).
    """
    beside = _inner(hints, "init_args")
    plans = _inner(hints, "plans") or _inner(beside, "plans")
    configurations = _inner(plans, "configurations")
    asked = beside.get("configuration")
    known = [name for name in (asked, *CONFIGURATIONS) if name in configurations]
    if not known or (asked not in known and len(configurations) > 1):
        return {}
    told = _inherited(configurations, str(known[0]))
    network = _inner(_inner(told, "architecture"), "arch_kwargs")
    strides = network.get("strides") or told.get("pool_op_kernel_sizes")
    return {
        "strides": strides,
        "spacing": told.get("spacing"),
        "schemes": told.get("normalization_schemes"),
        "masked": told.get("use_mask_for_norm"),
        "intensities": _inner(plans, "foreground_intensity_properties_per_channel"),
        "transpose": plans.get("transpose_forward"),
        "original": plans.get("original_median_spacing_after_transp"),
    }


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
