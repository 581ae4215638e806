"""Values of a pickle: plain data, tensors' places, and inert stand-ins for the rest.

A pickle is a program that names functions and classes and calls them. Here nothing
that it names is imported or called. The few names that describe data (an ordered
dictionary, a tensor's place, a path) are understood by the rules below; every other
becomes an `Inert` that remembers what was asked for, and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from napari_unet.nn.formats.tensor_refs import DTYPES, STORAGES, StorageRef, refer


class Table(dict[Any, Any]):
    """A dictionary, with the attributes that an `OrderedDict` may carry in `state`."""

    __slots__ = ("state",)

    def __init__(self, items: Iterable[tuple[Any, Any]] = ()) -> None:
        super().__init__(items)
        self.state: object = None


class Key:
    """Something that is no plain key of a dictionary, compared by identity.

    Nested tuples that share their parts would take for ever to hash.
    """

    def __init__(self, value: object) -> None:
        self.value = value


@dataclass(frozen=True, eq=False)
class Global:
    """A function or class that is named, and not imported."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """Dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Inert:
    """An object that was asked for, and not made.

    Parameters
    ----------
    function
        What was to be called: a `Global`, mostly.
    arguments
        With these.
    state
        Attributes it was to get afterwards.
    items, pairs
        What was to be appended to it, or set in it.
    """

    function: object
    arguments: object
    state: object = None
    items: list[object] = field(default_factory=list)
    pairs: Table = field(default_factory=Table)

    @property
    def path(self) -> str:
        """Dotted name of what was to be called; empty if that is inert itself."""
        return self.function.path if isinstance(self.function, Global) else ""


PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


def as_key(value: object) -> object:
    """Return `value` if it may be a key, else a stand-in."""
    return value if type(value) in PLAIN_KEYS else Key(value)


def make(function: object, arguments: object) -> object:
    """Return what `function(*arguments)` describes; nothing is called.

    Raises
    ------
    CheckpointError
        If it describes a tensor that reaches beyond its storage.
    """
    if isinstance(function, Global) and isinstance(arguments, tuple):
        rule = RULES.get(function.path)
        if rule is not None:
            try:
                return rule(*arguments)
            except (TypeError, ValueError, LookupError):
                pass  # not the arguments it is known with
    return Inert(function, arguments)


def make_storage(pid: object) -> object:
    """Return the storage that a persistent id stands for, or something inert."""
    if not isinstance(pid, tuple) or len(pid) < 2:
        return Inert(None, pid)
    kind, named, *rest = pid
    if kind == "module" and isinstance(named, Global):
        return named
    if kind != "storage" or len(rest) not in (3, 4) or not isinstance(named, Global):
        return Inert(None, pid)
    key, _, n_values = rest[:3]
    dtype = STORAGES.get(named.name)
    if dtype is None or not isinstance(key, (str, int)) or type(n_values) is not int:
        return Inert(named, pid)
    start, length = _part(rest[3] if len(rest) == 4 else None, n_values)
    return StorageRef(str(key), dtype, length, start)


def _part(view: object, n_values: int) -> tuple[int, int]:
    """Return where a view of a storage begins, and its length."""
    if view is None:
        return 0, n_values
    _, start, length = view  # type: ignore[misc]
    if type(start) is not int or type(length) is not int:  # type: ignore[has-type]
        raise ValueError("a view of a storage is damaged")
    if not 0 <= start <= start + length <= n_values:  # type: ignore[has-type]
        raise ValueError("a view reaches beyond its storage")
    return start, length  # type: ignore[has-type]


# -- rules: each takes the arguments that the pickle gives, and returns data -----------


def _table(items: object = (), *_: object) -> Table:
    pairs = items.items() if isinstance(items, dict) else items
    if not isinstance(items, (dict, list, tuple)):
        raise TypeError("no pairs")
    return Table((as_key(key), value) for key, value in pairs)  # type: ignore[attr-defined]


def _default_table(*_: object) -> Table:
    return Table()


def _list(items: object = ()) -> list[object]:
    if not isinstance(items, (list, tuple)):
        raise TypeError("no items")
    return list(items)


def _tuple(items: object = ()) -> tuple[object, ...]:
    return tuple(_list(items))


def _bytes(text: object = "", encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("no text")
    return text.encode("latin1")


def _device(*parts: object) -> str:
    return ":".join(str(part) for part in parts if isinstance(part, (str, int)))


def _path(*parts: object) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise TypeError("no path")
    return "/".join(str(part) for part in parts).replace("//", "/")


def _reconstructed(kind: object, *arguments: object) -> Inert:
    return Inert(kind, arguments)


def _tensor(*arguments: object) -> object:
    storage, offset, shape, stride = arguments[:4]
    return refer(storage, offset, shape, stride)


def _typed_tensor(*arguments: object) -> object:
    storage, offset, shape, stride, _, _, named = arguments[:7]
    dtype = DTYPES[named.name] if isinstance(named, Global) else None
    if not isinstance(dtype, torch.dtype):
        raise TypeError("no dtype")
    return refer(storage, offset, shape, stride, dtype)


def _first(value: object, *_: object) -> object:
    return value


def _subclass(function: object, _: object, arguments: object, *__: object) -> object:
    return make(function, arguments)


RULES: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _table,
    "collections.Counter": _table,
    "collections.defaultdict": _default_table,
    "builtins.dict": _table,
    "__builtin__.dict": _table,
    "builtins.list": _list,
    "builtins.set": _list,
    "__builtin__.set": _list,
    "builtins.frozenset": _tuple,
    "builtins.tuple": _tuple,
    "_codecs.encode": _bytes,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "torch.Size": _tuple,
    "torch.device": _device,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type": _subclass,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.tensor._rebuild_from_type_v2": _subclass,
    **{
        f"{module}.{kind}Path": _path
        for module in ("pathlib", "pathlib._local")
        for kind in ("", "Pure", "Posix", "PurePosix", "Windows", "PureWindows")
    },
}
