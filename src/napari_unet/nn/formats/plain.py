"""Plain data: what lies beside the weights, as JSON could hold it, bounded.

Values of a pickle may share and nest their parts without end; the copy made here is
cut off at so many nodes. Tensors and inert objects become words.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from napari_unet.nn.formats.limits import DEEPEST_NODE, LONGEST_STRING, MOST_NODES
from napari_unet.nn.formats.pickle_values import Global, Inert, Key, Table
from napari_unet.nn.formats.tensor_refs import TensorRef

CUT = "..."
UNREAD = "a number, not read"
_SCALARS = {
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
}
_NUMBER = re.compile(r"[<>=|]?[biuf][1248]")


def plain(value: object) -> Any:
    """Return `value` as dict, list, str, int, float, bool and None.

    Parameters
    ----------
    value
        Of a pickle. Beyond the limits of size and depth it is cut off by ``"..."``.
    """
    return _Copy().of(value, 0)


class _Copy:
    """A copy that ends after so many nodes."""

    def __init__(self) -> None:
        self.left = MOST_NODES

    def of(self, value: object, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > DEEPEST_NODE:
            return CUT
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (list, tuple)):
            return self._list(value, depth)
        if isinstance(value, dict):
            return self._dict(value, depth)
        return self._inert(value, depth) if isinstance(value, Inert) else _word(value)

    def _list(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        found = []
        for item in value:
            if self.left < 0:
                break
            found.append(self.of(item, depth + 1))
        return found

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        found = {}
        for key, item in value.items():
            if self.left < 0:
                break
            name = "?" if isinstance(key, Key) else str(key)[:1000]
            found[name] = self.of(item, depth + 1)
        return found

    def _inert(self, value: Inert, depth: int) -> Any:
        if value.path in _SCALARS:
            return _number(value)
        content = contents_of(value)
        if content is not None:
            return self.of(content, depth)
        # An enumeration's member, or something else made from one plain value.
        arguments = value.arguments
        single = isinstance(arguments, tuple) and len(arguments) == 1
        if single and isinstance(arguments[0], (str, int, float)):  # type: ignore[index]
            return arguments[0]  # type: ignore[index]
        return f"{value.path or 'something'}, not made"


def _word(value: object) -> str:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_STRING else value[:1000] + CUT
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if isinstance(value, TensorRef):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"tensor of {' x '.join(map(str, value.shape)) or 'one'} {dtype}"
    return value.path if isinstance(value, Global) else type(value).__name__


def contents_of(value: Inert) -> object:
    """Return what an inert object holds: its entries, or its attributes; or None."""
    if value.pairs:
        return value.pairs
    if value.items:
        return value.items
    state = value.state
    if isinstance(state, tuple) and state and isinstance(state[0], dict):
        state = state[0]
    if not isinstance(state, dict):
        return None
    for name in (
        "_content",
        "_val",
        "_store",
    ):  # configurations of OmegaConf and others
        if name in state:
            return state[name]
    return state


def _number(scalar: Inert) -> Any:
    """Return the number that NumPy pickled as a scalar."""
    dtype, data = (*scalar.arguments, None, None)[:2]  # type: ignore[misc]
    if isinstance(data, str):
        data = data.encode("latin1", "replace")
    if not isinstance(dtype, Inert) or not isinstance(data, bytes):
        return UNREAD
    arguments: Any = dtype.arguments or ("",)
    code = arguments[0]
    if not isinstance(code, str) or not _NUMBER.fullmatch(code):
        return UNREAD
    order = dtype.state[1] if isinstance(dtype.state, tuple) else "<"
    kind = np.dtype(code).newbyteorder(">" if order == ">" else "<")
    whole = len(data) == kind.itemsize
    return np.frombuffer(data, kind)[0].item() if whole else UNREAD


def table_of(value: object) -> Table | None:
    """Return a dictionary's entries, also those of an inert dictionary-like object."""
    if isinstance(value, Inert):
        content = contents_of(value)
        return content if isinstance(content, Table) else None
    return value if isinstance(value, Table) else None
