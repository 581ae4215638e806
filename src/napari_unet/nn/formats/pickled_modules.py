"""Whole networks, pickled or scripted: their attributes are read, and nothing is made.

A pickled `torch.nn.Module` keeps its tensors in `_parameters` and `_buffers` and its
parts in `_modules`; a TorchScript module keeps all of them as plain attributes. Strides
and paddings are attributes, too: more than a state dict tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.nn.formats.limits import MOST_NODES
from napari_unet.nn.formats.pickle_values import Inert, Table
from napari_unet.nn.formats.plain import plain, table_of
from napari_unet.nn.formats.tensor_refs import TensorRef

SCRIPTED = "__torch__."
DEEPEST_MODULE = 32


@dataclass(frozen=True)
class PickledModule:
    """A network that was pickled whole.

    Parameters
    ----------
    tensors
        By the names of its state dict, in its order.
    layers
        Class and plain attributes of each module, by name; the first is the network.
    """

    tensors: dict[str, TensorRef]
    layers: dict[str, dict[str, Any]]


def read_module(value: object) -> PickledModule | None:
    """Return the tensors and layers of a pickled network; None if it is something else.

    Parameters
    ----------
    value
        Of a pickle.
    """
    if not isinstance(value, Inert) or not _is_module(value):
        return None
    found = PickledModule({}, {})
    todo: list[tuple[str, Inert]] = [("", value)]
    for _ in range(MOST_NODES):
        if not todo:
            break
        name, module = todo.pop()
        found.layers[name] = {"class": module.path, **_attributes(module)}
        children = []
        for key, item in _parts(module).items():
            full = f"{name}.{key[:200]}" if name else key[:200]
            if isinstance(item, TensorRef):
                found.tensors[full] = item
            elif isinstance(item, Inert) and _is_module(item):
                children.append((full, item))
        if name.count(".") < DEEPEST_MODULE:
            todo.extend(reversed(children))
    return found


def _is_module(value: Inert) -> bool:
    state = value.state
    if not isinstance(state, Table):
        return False
    return "_modules" in state or value.path.startswith(SCRIPTED)


def _parts(module: Inert) -> dict[str, Any]:
    state: Any = module.state
    if "_modules" not in state:
        return {str(key): item for key, item in state.items()}
    found: dict[str, Any] = {}
    for group in ("_parameters", "_buffers", "_modules"):
        table = table_of(state.get(group))
        found.update((str(key), item) for key, item in (table or {}).items())
    return found


def _attributes(module: Inert) -> dict[str, Any]:
    """Return numbers, texts and tuples among a module's attributes."""
    state: Any = module.state
    return {
        str(key)[:200]: plain(item)
        for key, item in state.items()
        if not str(key).startswith("_")
        and isinstance(item, (bool, int, float, str, tuple))
    }
