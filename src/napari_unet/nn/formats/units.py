"""Units: the convolutions in a state dict, each with its norm and its activation.

Only shapes, names and the order of keys are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.copies import distinct

NOT_OURS = (
    "Only U-Nets of convolutions and norms are rebuilt; export this one from its own "
    "code as ONNX or TorchScript, which run as they are."
)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
IMPOSSIBLE = 1e6
MOST_TENSORS = 20_000


@dataclass(frozen=True)
class Module:
    """The tensors of one module: their last name -> shape."""

    path: str
    shapes: Mapping[str, tuple[int, ...]]
    rank: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers in the path, in order."""
        return tuple(int(n) for n in re.findall(r"\d+", self.path))

    @property
    def parent(self) -> str:
        """The path without its last name."""
        return self.path.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The last name of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Way:
    """One way to read a convolution's weight."""

    n_in: int
    n_out: int
    transposed: bool = False
    groups: int = 1


@dataclass(frozen=True)
class Unit:
    """A convolution, with the norm and the activation that belong to it."""

    module: Module
    kernel: tuple[int, ...]
    ways: tuple[Way, ...]
    bias: bool
    norm: Module | None = None
    activation: Module | None = None

    @property
    def path(self) -> str:
        """Of the convolution."""
        return self.module.path

    @property
    def pointwise(self) -> bool:
        """Whether the kernel is one pixel."""
        return set(self.kernel) == {1}


@dataclass(frozen=True)
class Gate:
    """An attention gate: what its `branches` read (in the file's order) makes `psi`."""

    branches: tuple[Unit, Unit]
    psi: Unit


@dataclass(frozen=True)
class Units:
    """All units of a file; `norm_first`: each norm comes before its convolution."""

    ndim: int
    units: tuple[Unit, ...]
    norm_first: bool
    gates: tuple[Gate, ...] = ()


def natural(key: str) -> tuple[object, ...]:
    """Sort key by which ``layer10`` comes after ``layer9``."""
    parts = re.split(r"(\d+)", key)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts)


def collect_units(tensors: Mapping[str, Tensor], name: str) -> Units:
    """Find the convolutions, and what belongs to each.

    Raises
    ------
    CheckpointError
        If something is neither convolution, norm nor activation.
    """
    modules = _modules(distinct(tensors), name)
    convolutions = [m for m in modules if _is_convolution(m)]
    norms = [m for m in modules if _is_norm(m)]
    activations = [m for m in modules if _is_prelu(m)]
    _refuse_others(modules, [*convolutions, *norms, *activations], name)
    dims = {len(m.shapes["weight"]) - 2 for m in convolutions}
    if len(dims) != 1:
        what = "no convolutions" if not dims else "convolutions of 2-D and 3-D images"
        raise CheckpointError(f"{name} holds {what}.", NOT_OURS)
    units = [_unit(module) for module in convolutions]
    norm_first, owners = _assign(units, norms, name)
    units = [replace(u, norm=owners.get(n)) for n, u in enumerate(units)]
    _, owners = _assign(units, activations, name)
    units = [
        replace(u, activation=owners.get(n) or _shared(u, activations))
        for n, u in enumerate(units)
    ]
    settled = tuple(_settle(unit, norm_first) for unit in units)
    return Units(dims.pop(), settled, norm_first)


def _modules(tensors: Mapping[str, Tensor], name: str) -> list[Module]:
    """Group the tensors by module, in the order of the file.

    A file whose keys are sorted as text has lost the order: numbers restore some.
    """
    if len(tensors) > MOST_TENSORS:
        raise CheckpointError(f"{name} holds {len(tensors)} tensors.", NOT_OURS)
    keys = list(tensors)
    if keys == sorted(keys):
        keys = sorted(keys, key=natural)
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for key in keys:
        path, _, last = key.rpartition(".")
        shapes.setdefault(path, {})[last] = tuple(tensors[key].shape)
    return [
        Module(path, found, rank) for rank, (path, found) in enumerate(shapes.items())
    ]


def _is_convolution(module: Module) -> bool:
    weight = module.shapes.get("weight", ())
    extra = module.shapes.keys() - {"weight", "bias"}
    return len(weight) in {4, 5} and not extra and 0 not in weight


def _is_norm(module: Module) -> bool:
    sizes = {s for key, s in module.shapes.items() if key != "num_batches_tracked"}
    known = module.shapes.keys() <= {"weight", "bias", *STATISTICS}
    complete = "bias" in module.shapes or "running_mean" in module.shapes
    return known and complete and len(sizes) == 1 and len(next(iter(sizes))) == 1


def _is_prelu(module: Module) -> bool:
    return module.shapes.keys() == {"weight"} and len(module.shapes["weight"]) == 1


def _refuse_others(modules: list[Module], known: list[Module], name: str) -> None:
    paths = {module.path for module in known}
    for module in modules:
        if module.path in paths:
            continue
        last, shape = next(iter(module.shapes.items()))
        flat = len(module.shapes.get("weight", ())) == 2
        why = "fully connected: a gate, a transformer or a classifier" if flat else ""
        key = f"{module.path}.{last}".lstrip(".")
        raise CheckpointError(
            f"{name} holds {key} {shape}, which no U-Net of convolutions has"
            f"{f' ({why})' if why else ''}.",
            NOT_OURS,
        )


def _unit(module: Module) -> Unit:
    first, second, *kernel = module.shapes["weight"]
    bias = module.shapes.get("bias")
    ways = []
    if bias in {None, (first,)}:
        ways.append(Way(second, first))
        if second == 1 < first and set(kernel) != {1}:
            ways.append(Way(first, first, groups=first))
    if bias in {None, (second,)}:
        ways.append(Way(first, second, transposed=True))
    return Unit(module, tuple(kernel), tuple(ways), bias is not None)


def _settle(unit: Unit, norm_first: bool) -> Unit:
    """Drop the ways that contradict the norm."""
    if unit.norm is None:
        return unit
    size = norm_size(unit.norm)
    ways = [w for w in unit.ways if size == (w.n_in if norm_first else w.n_out)]
    return replace(unit, ways=tuple(ways) or unit.ways)


def norm_size(norm: Module) -> int:
    """Return the channels that a norm or activation has values for."""
    return next(s[0] for s in norm.shapes.values() if s)


def _shared(unit: Unit, activations: list[Module]) -> Module | None:
    """Return the activation of the nearest module around `unit` that has one."""
    sizes = {1, *(way.n_out for way in unit.ways)}
    around = [
        other
        for other in activations
        if not other.parent or unit.path.startswith(f"{other.parent}.")
        if norm_size(other) in sizes
    ]
    return max(around, key=lambda other: len(other.parent), default=None)


def _assign(
    units: list[Unit], others: list[Module], name: str
) -> tuple[bool, dict[int, Module]]:
    """Give each norm (or activation) to a convolution; say whether it comes first."""
    if not others:
        return False, {}
    found = {first: _match(units, others, first) for first in (False, True)}
    first = found[True][0] < found[False][0]
    cost, owners = found[first]
    if cost >= IMPOSSIBLE:
        left = {m.path for m in others} - {m.path for m in owners.values()}
        raise CheckpointError(
            f"{name} holds the norm {min(left)}, which fits no convolution.", NOT_OURS
        )
    return first, owners


def _match(
    units: list[Unit], others: list[Module], first: bool
) -> tuple[float, dict[int, Module]]:
    costs = np.array([[_distance(u, o, first) for u in units] for o in others])
    rows, columns = linear_sum_assignment(costs)
    chosen = costs[rows, columns]
    owners = {
        int(column): others[row]
        for row, column, cost in zip(rows, columns, chosen, strict=True)
        if cost < IMPOSSIBLE
    }
    missing = IMPOSSIBLE * (len(others) - len(owners))
    return float(chosen[chosen < IMPOSSIBLE].sum()) + missing, owners


def _distance(unit: Unit, other: Module, first: bool) -> float:
    size = norm_size(other)
    shared = _is_prelu(other) and size == 1
    sides = {w.n_in if first else w.n_out for w in unit.ways}
    if not shared and size not in sides:
        return IMPOSSIBLE
    own, its = unit.path.split("."), other.path.split(".")
    same = sum(1 for _ in _common(own[:-1], its[:-1]))
    apart = len(own) + len(its) - 2 - 2 * same
    ahead = unit.module.rank - other.rank if first else other.rank - unit.module.rank
    cost = 1.0 * apart + (0.1 * ahead if ahead > 0 else 2.0 - 0.1 * ahead)
    ours, theirs = _numbered(own[-1]), _numbered(its[-1])
    if ours and theirs and same == len(own) - 1 == len(its) - 1:
        cost += 0.0 if ours == theirs else 5.0
        cost -= 2.0 if ours == theirs and ahead <= 0 else 0.0
    return cost


def _common(a: Iterable[str], b: Iterable[str]) -> Iterable[str]:
    for left, right in zip(a, b, strict=False):
        if left != right:
            return
        yield left


def _numbered(leaf: str) -> str:
    """Return the digits at the end of a name such as ``conv1``; else nothing."""
    found = re.fullmatch(r"\D+(\d+)", leaf)
    return found[1] if found else ""
