"""Moves: the steps of a wiring, and how far a search for one has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from napari_unet.nn.formats.elements import Element

# States kept among those with as many convolutions placed, poolings and skips.
BEAM = 12
MOST_STATES = 160


@dataclass(frozen=True)
class Move:
    """One step of the wiring.

    Parameters
    ----------
    kind
        ``"pool"``, ``"grow"`` (interpolate), ``"up"`` (a transposed convolution),
        ``"widen"`` (the convolution of an interpolation, before its skip), or
        ``"take"``.
    element
        What is run.
    merge
        With the skip that is due, before it is run: ``"concatenate"``, ``"add"`` or
        nothing.
    """

    kind: str
    element: Element | None = None
    merge: str = ""


@dataclass(frozen=True)
class Wiring:
    """A way to run the units of a file as a U-Net."""

    moves: tuple[Move, ...]
    unused: tuple[int, ...]
    cost: float

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return sum(move.kind == "pool" for move in self.moves)


@dataclass(frozen=True)
class State:
    """How far a wiring has come."""

    moves: tuple[Move, ...] = ()
    mask: int = 0
    last: int = -1
    channels: int = 0
    skips: tuple[int, ...] = ()
    due: int = 0
    in_stage: int = 0
    stage_before: int = 0
    growing: bool = False
    up_kind: str = ""
    entry: int = -1
    series: tuple[tuple[str, int, int], ...] = ()
    cost: float = 0.0

    @property
    def key(self) -> tuple[object, ...]:
        """What decides the future."""
        return (
            self.mask,
            self.last,
            self.channels,
            self.skips,
            self.due,
            self.growing,
            self.up_kind,
            self.entry,
            self.in_stage,
        )


def best_states(states: Iterable[State]) -> list[State]:
    """Return the cheapest, but some of each kind: a late bargain must not be lost."""
    kept: list[State] = []
    kinds: dict[tuple[int, bool, int], int] = defaultdict(int)
    for state in sorted(states, key=lambda s: s.cost):
        kind = len(state.skips), state.growing, bool(state.due)
        kinds[kind] += 1
        if kinds[kind] <= BEAM and len(kept) < MOST_STATES:
            kept.append(state)
    return kept


def keep_state(
    layers: dict[int, dict[tuple[object, ...], State]], state: State
) -> None:
    """Keep `state` in its layer, unless a cheaper one has the same future."""
    layer = layers.setdefault(state.mask.bit_count(), {})
    best = layer.get(state.key)
    if best is None or state.cost < best.cost:
        layer[state.key] = state
