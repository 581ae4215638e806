"""Promoted hints: what the reader asks for, found wherever a trainer has put it.

Trainers keep their configuration at any depth and under any name. nnU-Net keeps the
plans of all its configurations, and says elsewhere which of them was trained.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

# Names of settings that say what shapes do not (pytorch-3dunet's configuration).
WANTED: dict[str, type] = {"layer_order": str, "num_groups": int}
MOST_LOOKED_AT = 2000


def promoted(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints with the wanted ones at the top.

    Parameters
    ----------
    hints
        Plain data, as found; the outermost value of a name counts.
    """
    plain = {key: value for key, value in hints.items() if key != "layers"}
    kept = {k: v for k, v in hints.items() if k not in ("strides", *WANTED)}
    return {**_search(plain), **_nnunet(hints), **kept}


def _search(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first value of each wanted name, the outermost first."""
    found: dict[str, Any] = {}
    todo: deque[Any] = deque([hints])
    for _ in range(MOST_LOOKED_AT):
        if not todo:
            break
        item = todo.popleft()
        if isinstance(item, Mapping):
            for name, kind in WANTED.items():
                if type(item.get(name)) is kind:
                    found.setdefault(name, item[name])
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item[:20])
    return found


def _nnunet(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strides of the configuration of nnU-Net that was trained."""
    arguments = _table(hints.get("init_args"))
    plans = _table(hints.get("plans")) or _table(arguments.get("plans"))
    configurations = _table(plans.get("configurations"))
    chosen = str(arguments.get("configuration", ""))
    if chosen not in configurations and len(configurations) == 1:
        chosen = next(iter(configurations))
    merged: dict[str, Any] = {}
    for _ in range(len(configurations)):  # each may inherit from another
        own = _table(configurations.get(chosen))
        merged = {**own, **merged}
        chosen = str(own.get("inherits_from", ""))
    arch = _table(_table(merged.get("architecture")).get("arch_kwargs"))
    strides = arch.get("strides", merged.get("pool_op_kernel_sizes"))
    return {"strides": strides} if _are_strides(strides) else {}


def _are_strides(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(stage, list) and all(type(step) is int for step in stage)
        for stage in value
    )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
