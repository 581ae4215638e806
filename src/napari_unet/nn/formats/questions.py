"""Questions: what shapes cannot tell, each with named options and first evidence.

The first evidence is the numbering of the layers (a gap is a layer without weights),
the signs of running means, and what is common; losses are small where it is weak.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from statistics import mode

from torch import Tensor

from napari_unet.nn.formats.drafting import ALL_HEADS
from napari_unet.nn.formats.factors import pool_factors, written
from napari_unet.nn.formats.gates import are_alike, skip_named_first
from napari_unet.nn.formats.moves import Wiring
from napari_unet.nn.formats.order_evidence import order_losses
from napari_unet.nn.formats.places import tokens_of
from napari_unet.nn.formats.report import Option
from napari_unet.nn.formats.units import Unit, Units

Questions = dict[str, tuple[Option, ...]]

COMMON = "the more common"
RARE = "seldom seen"
NUMBERS = "the numbering of the layers"
MEANS = "the signs of the running means"
NAMES = "the order and the names"
AFTER = "convolution_norm_activation"
BEFORE = "norm_convolution_activation"
LATE = "convolution_activation_norm"
PRE = "norm_activation_convolution"


def ask(units: Units, wiring: Wiring, tensors: Mapping[str, Tensor]) -> Questions:
    """Return the questions that this file leaves open, with their options."""
    found: Questions = {
        "padding": _padding(),
        "pooling": _pooling(units, wiring),
        "pool_place": (
            Option("before_convolutions", 0.0, COMMON),
            Option("after_convolutions", 0.3, RARE),
        ),
        "activation": _activation(units),
        "decoder_activation": (
            Option("as_encoder", 0.0, COMMON),
            Option("relu", 0.1, "as in pix2pix"),
        ),
        **_norms(units, tensors),
    }
    kinds = {move.kind for move in wiring.moves}
    if any(move.merge == "concatenate" for move in wiring.moves):
        found["concatenation"] = _concatenation(units, wiring, tensors)
    if "grow" in kinds:
        found["upsampling"] = (
            Option("linear", 0.0, COMMON),
            Option("nearest", 0.02, COMMON),
            Option("linear_corners", 0.03, COMMON),
        )
    if kinds & {"up", "widen"}:
        found["up_activation"] = _up_activation(units, wiring)
    if _bare_pooled(units, wiring):
        found["pool_activation"] = (
            Option("no", 0.0, "no norm is there"),
            Option("yes", 0.05, RARE),
        )
    if any(are_alike(gate) for gate in units.gates):
        found["gates"] = _gates(units)
    if units.ndim == 3 and wiring.depth and not kinds & {"up"}:
        found["factors"] = _factors(units, wiring)
    elif any(max(unit.kernel) == 4 for unit in _ups(units, wiring)):
        found["factors"] = _wide_factors(units, wiring)
    heads = heads_of(units, wiring)
    if len(heads) > 1:
        found["head"] = _heads(heads)
    elements = [move.element for move in wiring.moves if move.element is not None]
    if any(element.residual for element in elements):
        found["sum"] = (
            Option("before_activation", 0.0, COMMON),
            Option("after_activation", 0.05, RARE),
        )
    return found


def _bare_pooled(units: Units, wiring: Wiring) -> bool:
    """Whether what follows a pooling lacks a norm that the next convolution has."""
    pairs = list(itertools.pairwise(wiring.moves))
    firsts = [after.element for before, after in pairs if before.kind == "pool"]
    bare = [units.units[e.members[0]].norm is None for e in firsts if e is not None]
    n_normed = sum(unit.norm is not None for unit in units.units)
    return bool(bare) and all(bare) and 2 * n_normed > len(units.units)


def heads_of(units: Units, wiring: Wiring) -> tuple[str, ...]:
    """Return the outputs that read the finest features, the wiring's own first."""
    last = wiring.moves[-1].element
    if last is None or len(last.members) > 1:
        return ()
    own = units.units[last.members[0]]
    spare = [units.units[number] for number in wiring.unused]
    reading = [
        unit.path
        for unit in spare
        if unit.norm is None and unit.kernel in {own.kernel, (1,) * units.ndim}
        if any(way.n_in == last.n_in and not way.transposed for way in unit.ways)
    ]
    return (own.path, *reading)


def _heads(heads: tuple[str, ...]) -> tuple[Option, ...]:
    own, *others = heads
    return (
        Option(own, 0.0, "the likeliest of several outputs"),
        *(Option(path, 0.5, "reads the same features") for path in others),
        Option(ALL_HEADS, 1.0, "one after the other"),
    )


def _gates(units: Units) -> tuple[Option, ...]:
    named = any(skip_named_first(gate) for gate in units.gates)
    options = Option("gating_first", 0.0, NAMES), Option("skip_first", 0.05, NAMES)
    if not named:
        return options
    first, second = options
    return replace(second, loss=0.0), replace(first, loss=0.05)


def _factors(units: Units, wiring: Wiring) -> tuple[Option, ...]:
    """Z may keep its size in the finest levels; kernels of one pixel say so."""
    read = pool_factors(units, wiring, {})
    flat = [((1, 2, 2),) * n + ((2, 2, 2),) * (len(read) - n) for n in range(1, 4)]
    told = dict.fromkeys(written(f) for f in (read, *flat) if len(f) == len(read))
    return tuple(
        Option(value, 0.0 if n == 0 else 0.1, COMMON if n == 0 else RARE)
        for n, value in enumerate(told)
    )


def _wide_factors(units: Units, wiring: Wiring) -> tuple[Option, ...]:
    """Kernels of 4 pixels enlarge twice, overlapping, or four times."""
    read = pool_factors(units, wiring, {})
    kernels = [unit.kernel for unit in _ups(units, wiring)][::-1]
    wide = (
        [
            tuple(4 if size == 4 else factor for size, factor in zip(k, f, strict=True))
            for k, f in zip(kernels, read, strict=True)
        ]
        if len(kernels) == len(read)
        else read
    )
    told = dict.fromkeys((written(read), written(wide)))
    return tuple(
        Option(value, 0.2 * n, RARE if n else COMMON) for n, value in enumerate(told)
    )


def _ups(units: Units, wiring: Wiring) -> list[Unit]:
    """Return the transposed convolutions, the coarsest first."""
    return [
        units.units[move.element.members[0]]
        for move in wiring.moves
        if move.kind == "up" and move.element is not None
    ]


def _concatenation(
    units: Units, wiring: Wiring, tensors: Mapping[str, Tensor]
) -> tuple[Option, ...]:
    prior = {"skip_first": 0.0, "up_first": 0.02}
    losses = order_losses(units, wiring, tensors)
    if losses is None:
        return tuple(Option(value, loss, COMMON) for value, loss in prior.items())
    options = [
        Option(value, losses[value] + loss, f"weights agree by {-losses[value]:.2f}")
        for value, loss in prior.items()
    ]
    return tuple(sorted(options, key=lambda option: option.loss))


def _padding() -> tuple[Option, ...]:
    return (
        Option("same", 0.0, COMMON),
        Option("valid", 0.1, "as in 2015"),
        Option("reflect", 0.2, RARE),
    )


def _pooling(units: Units, wiring: Wiring) -> tuple[Option, ...]:
    """A gap in the numbers between two stages is where a pooling was."""
    strided = 0.1
    evidence = RARE
    firsts = [
        wiring.moves[n + 1].element
        for n, move in enumerate(wiring.moves)
        if move.kind == "pool"
    ]
    kernels = [units.units[e.members[0]].kernel for e in firsts if e is not None]
    if kernels and all(max(k) % 2 == 0 for k in kernels):
        return (Option("strided", 0.0, "even kernels"),)
    if _bare_pooled(units, wiring):
        return (
            Option("strided", 0.0, "convolutions of their own, without a norm"),
            Option("max", 0.1, RARE),
            Option("average", 0.2, RARE),
        )
    return (
        Option("max", 0.0, COMMON),
        Option("average", 0.08, RARE),
        Option("strided", strided, evidence),
    )


def _activation(units: Units) -> tuple[Option, ...]:
    if any(unit.activation for unit in units.units):
        return (Option("relu", 0.0, "slopes are in the file"),)
    return (
        Option("relu", 0.0, COMMON),
        Option("leaky_relu_0.01", 0.05, RARE),
        Option("leaky_relu_0.1", 0.1, RARE),
        Option("leaky_relu_0.2", 0.08, RARE),
        Option("elu", 0.1, RARE),
        Option("silu", 0.12, RARE),
        Option("gelu", 0.12, RARE),
        Option("mish", 0.13, RARE),
        Option("selu", 0.14, RARE),
        Option("hardswish", 0.14, RARE),
    )


def _norms(units: Units, tensors: Mapping[str, Tensor]) -> Questions:
    normed = [unit for unit in units.units if unit.norm is not None]
    if not normed:
        return _hidden(units)
    tracked = [u for u in normed if u.norm and "running_mean" in u.norm.shapes]
    found: Questions = {"order": _order(units, tracked, tensors)}
    if not tracked:
        found["norm"] = (
            Option("instance", 0.0, COMMON),
            Option("group_8", 0.02, COMMON),
            Option("group_16", 0.05, RARE),
            Option("group_32", 0.05, RARE),
            Option("group_4", 0.06, RARE),
            Option("group_1", 0.06, RARE),
        )
    elif all(u.norm and "weight" not in u.norm.shapes for u in tracked):
        found["norm"] = (Option("batch", 0.0, COMMON), Option("instance", 0.05, RARE))
    else:
        found["norm"] = (Option("batch", 0.0, "running statistics"),)
    return found


def _order(
    units: Units, tracked: list[Unit], tensors: Mapping[str, Tensor]
) -> tuple[Option, ...]:
    if units.norm_first:
        return (Option(BEFORE, 0.0, COMMON), Option(PRE, 0.05, COMMON))
    if _all_positive(tracked, tensors):
        return (Option(LATE, 0.0, MEANS), Option(AFTER, 1.0, MEANS))
    gaps = [_own_gap(unit) for unit in units.units if unit.norm is not None]
    known = [gap for gap in gaps if gap >= 0]
    if known and mode(known) == 1:
        return (Option(LATE, 0.0, NUMBERS), Option(AFTER, 0.3, NUMBERS))
    if tracked:
        # Rectified values have no negative mean.
        return (Option(AFTER, 0.0, MEANS), Option(LATE, 1.0, MEANS))
    return (Option(AFTER, 0.0, COMMON), Option(LATE, 0.2, RARE))


def _all_positive(tracked: list[Unit], tensors: Mapping[str, Tensor]) -> bool:
    means = [tensors[f"{unit.norm.path}.running_mean"] for unit in tracked if unit.norm]
    return bool(means) and all(bool((m >= 0).all()) for m in means if m.numel() > 1)


def _own_gap(unit: Unit) -> int:
    """Return the layers between a convolution and its norm; -1 if not numbered."""
    if unit.norm is None or unit.norm.parent != unit.module.parent:
        return -1
    own, its = unit.module.leaf, unit.norm.leaf
    return int(its) - int(own) - 1 if own.isdigit() and its.isdigit() else -1


def _hidden(units: Units) -> Questions:
    """Return the questions of a file without norms: they may have no weights."""
    lists: dict[str, list[int]] = {}
    for unit in units.units:
        *_, last = tokens_of(unit.path) or ("",)
        if last.isdigit() and unit.module.leaf.isdigit() and not unit.pointwise:
            lists.setdefault(unit.module.parent, []).append(int(last))
    lists = {key: numbers for key, numbers in lists.items() if len(numbers) > 1}
    gaps = [b - a - 1 for n in lists.values() for a, b in itertools.pairwise(n)]
    starts = [numbers[0] for numbers in lists.values()]
    none = Option("none", 0.0, COMMON)
    hidden = Option("instance_hidden", 0.3, RARE)
    usual = (Option(AFTER, 0.0, COMMON), Option(BEFORE, 0.1, RARE))
    ranked: tuple[Option, ...] = usual
    wide = [unit for unit in units.units if not unit.pointwise]
    if not any(unit.bias for unit in wide):
        # Who leaves out the bias has a norm that would take it away.
        none = Option("none", 0.3, "no bias")
        hidden = Option("instance_hidden", 0.0, "no bias")
    elif gaps and mode(gaps) == 2:
        first = mode(starts) == 1
        none = Option("none", 0.3 if first else 0.1, NUMBERS)
        hidden = Option("instance_hidden", 0.0 if first else 0.05, NUMBERS)
        order = (Option(BEFORE, 0.0, NUMBERS), Option(AFTER, 0.3, NUMBERS))
        options = order if first else order[::-1]
        losses = (0.0, 0.3)
        ranked = tuple(
            Option(o.value, loss, o.evidence)
            for o, loss in zip(options, losses, strict=True)
        )
    norms = tuple(sorted((none, hidden), key=lambda option: option.loss))
    return {"norm": norms, "order": ranked}


def _up_activation(units: Units, wiring: Wiring) -> tuple[Option, ...]:
    """A norm after the up-sampling is mostly followed by an activation."""
    ups = [
        units.units[move.element.members[0]]
        for move in wiring.moves
        if move.kind in {"up", "widen"} and move.element is not None
    ]
    normed = any(unit.norm is not None for unit in ups)
    yes = Option("yes", 0.0 if normed else 0.08, "a norm is there" if normed else RARE)
    no = Option(
        "no", 0.08 if normed else 0.0, "no norm is there" if not normed else RARE
    )
    # A rectifier of its own, where the blocks have another activation.
    return yes, no, Option("relu", 0.1, RARE)
