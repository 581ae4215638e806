"""State dicts: the network's tensors, found in whatever a trainer has saved.

They may lie under any name, beside an optimiser, twice (a moving average), or as the
attributes of a whole pickled network. What is chosen and what is left out is said.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.contents import TensorInfo
from napari_unet.nn.formats.limits import DEEPEST_NODE, MOST_NODES, MOST_TENSORS
from napari_unet.nn.formats.pickle_values import Inert, Table
from napari_unet.nn.formats.pickled_modules import read_module
from napari_unet.nn.formats.plain import plain, table_of
from napari_unet.nn.formats.prefixes import clean_names
from napari_unet.nn.formats.tensor_refs import TensorRef
from napari_unet.nn.weight_files import SAVE_ALONE, shortened

# Parts of a file that hold tensors, but not the network's.
ELSEWHERE = re.compile(
    r"optim|sched|scaler|loss|criterion|discriminator|critic|metric|callback", re.I
)
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|average|averaged|shadow)([._]|$)", re.I)
# The least rank of a convolution's weights.
KERNEL = 3
Tensors = dict[str, TensorRef]


@dataclass(frozen=True)
class State:
    """The network's tensors in a file.

    Parameters
    ----------
    tensors
        By name, in the file's order.
    hints
        What lies beside them, as plain data.
    notes
        What was chosen or left out, one sentence each.
    """

    tensors: Tensors
    hints: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A set of tensors that could be the network's."""

    path: tuple[str, ...]
    tensors: Tensors
    others: tuple[str, ...]
    modules: tuple[str, ...]
    layers: dict[str, Any]

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """The network is no optimiser; it is large; its average is better."""
        n_values = sum(tensor.n_values for tensor in self.tensors.values())
        is_network = not any(ELSEWHERE.search(part) for part in self.path)
        return is_network, n_values, bool(AVERAGED.search(self.name))


def listed(tensors: Mapping[str, TensorRef]) -> tuple[TensorInfo, ...]:
    """Return the tensors as they are shown."""
    return tuple(
        TensorInfo(name, t.shape, str(t.dtype).removeprefix("torch."), t.n_bytes)
        for name, t in tensors.items()
    )


def find_state(value: object, file: str, *, weights: str | None = None) -> State:
    """Find the network's tensors among the values of a pickle.

    Parameters
    ----------
    value
        As unpickled.
    file
        Its name, for messages.
    weights
        Dotted path of the set of weights to take; None: chosen.

    Raises
    ------
    CheckpointError
        If there are none, or none of this path.
    """
    candidates = sorted(_candidates(value), key=lambda c: c.rank, reverse=True)
    usable = [c for c in candidates if c.rank[0]]
    if not usable:
        raise CheckpointError(
            f"{file} holds no weights of a convolutional network.",
            SAVE_ALONE,
        )
    chosen, notes = _choose(usable, file, weights)
    tensors, renamed = clean_names(chosen.tensors, file, weights=weights)
    hints: dict[str, Any] = {"ordered": True, **_hints(value, chosen)}
    if chosen.modules:
        hints["modules"] = chosen.modules
    if chosen.layers:
        hints["layers"] = chosen.layers
    if chosen.others:
        names = shortened(", ".join(chosen.others))
        renamed = (*renamed, f"No tensors, and left out: {names}.")
    return State(tensors, hints, (*notes, *renamed))


def _choose(
    usable: list[_Candidate], file: str, weights: str | None
) -> tuple[_Candidate, tuple[str, ...]]:
    """Return the candidate to take, and what to say about it."""
    names = [candidate.name for candidate in usable]
    if weights in names:
        return usable[names.index(weights)], ()
    if len(usable) == 1:
        return usable[0], ()
    others = shortened(", ".join(name or "the file itself" for name in names[1:]))
    note = (
        f"{file} holds {len(usable)} sets of weights; {names[0] or 'the file itself'} "
        f"was taken, not {others} (weights=... chooses)."
    )
    return usable[0], (note,)


def _candidates(root: object) -> Iterator[_Candidate]:
    """Walk through the values, each once, and yield every set of tensors."""
    todo: deque[tuple[tuple[str, ...], object]] = deque([((), root)])
    seen: set[int] = set()
    for _ in range(MOST_NODES):
        if not todo:
            return
        path, value = todo.popleft()
        if id(value) in seen or len(path) > DEEPEST_NODE:
            continue
        seen.add(id(value))
        found = _as_module(path, value) or _as_table(path, value)
        if found is not None:
            yield found
        if found is None or found.others:
            todo.extend(_children(path, value))


def _children(
    path: tuple[str, ...], value: object
) -> Iterator[tuple[tuple[str, ...], object]]:
    table = table_of(value)
    items: Any = enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, child in table.items() if table is not None else items:
        if isinstance(child, (Table, Inert, list, tuple)) and len(str(key)) <= 200:
            yield (*path, str(key)), child


def _as_table(path: tuple[str, ...], value: object) -> _Candidate | None:
    """Return the tensors of a dictionary, if a convolution's weights are among them."""
    table = table_of(value)
    if table is None:
        return None
    tensors = {
        key: item
        for key, item in table.items()
        if isinstance(key, str) and isinstance(item, TensorRef)
    }
    if not _is_network(tensors):
        return None
    others = tuple(str(key)[:80] for key in table if key not in tensors)
    state = table.state if isinstance(table.state, dict) else {}
    metadata = state.get("_metadata")
    names = tuple(metadata) if isinstance(metadata, dict) else ()
    modules = tuple(name for name in names if isinstance(name, str) and name)
    return _Candidate(path, tensors, others, modules[:MOST_TENSORS], {})


def _is_network(tensors: Tensors) -> bool:
    kernels = any(len(tensor.shape) >= KERNEL for tensor in tensors.values())
    return kernels and len(tensors) <= MOST_TENSORS


def _as_module(path: tuple[str, ...], value: object) -> _Candidate | None:
    """Return the tensors of a pickled network, by the names of its modules."""
    found = read_module(value)
    if found is None or not _is_network(found.tensors):
        return None
    modules = tuple(name for name in found.layers if name)
    return _Candidate(path, found.tensors, (), modules, found.layers)


def _hints(root: object, chosen: _Candidate) -> dict[str, Any]:
    """Return what lies beside the weights at the top of the file, as plain data."""
    table = table_of(root)
    if table is None or isinstance(root, Inert):
        return {}
    beside = {
        str(key)[:200]: value
        for key, value in table.items()
        if str(key) not in chosen.path[:1]
        and not isinstance(value, TensorRef)
        and not ELSEWHERE.search(str(key))
    }
    found: dict[str, Any] = plain(beside)
    return found
