"""Wiring: in which order the convolutions run, where it shrinks, grows and skips.

A beam search over channel counts. Every move must fit the channels; its cost says how
well it fits the names, the numbering and a regular U-Net.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_unet.nn.formats.elements import Element, find_elements
from napari_unet.nn.formats.moves import (
    Move,
    State,
    Wiring,
    best_states,
    keep_state,
)
from napari_unet.nn.formats.places import Places
from napari_unet.nn.formats.units import Unit

UNUSED = 8.0
UNUSED_HEAD = 0.6
MOST_HEAD_CHANNELS = 64


def find_wirings(units: Sequence[Unit]) -> list[Wiring]:
    """Return the wirings that fit, the most plausible first; at most ten."""
    return _Search(units).run()


class _Search:
    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.places = Places(units)
        self.elements = find_elements(units)
        self.taking: dict[int, list[Element]] = defaultdict(list)
        for element in self.elements:
            self.taking[element.n_in].append(element)
        self.found: dict[tuple[object, ...], Wiring] = {}
        bare = {n for n, unit in enumerate(units) if unit.norm is None}
        # Where most convolutions have a norm, one without may stand for a pooling.
        self.bare = bare if 2 * len(bare) < len(units) else set()

    def run(self) -> list[Wiring]:
        layers: dict[int, dict[tuple[object, ...], State]] = {}
        for state in self._starts():
            keep_state(layers, state)
        for n_used in range(1, len(self.units) + 1):
            for state in best_states(layers.pop(n_used, {}).values()):
                self._finish(state)
                for following in self._follow(state):
                    keep_state(layers, following)
        return sorted(self.found.values(), key=lambda w: w.cost)[:10]

    # -- moves ------------------------------------------------------------------

    def _starts(self) -> Iterator[State]:
        for element in self.elements:
            if element.transposed:
                continue
            first = min(element.members)
            cost = 0.02 * first + 0.7 * math.log2(element.n_in)
            cost += 1.0 if element.n_in > element.n_out else 0.0
            empty = State(channels=element.n_in)
            yield self._with(empty, element, (Move("take", element),), cost)

    def _follow(self, state: State) -> Iterator[State]:
        skip = state.due or (state.skips[-1] if state.skips else 0)
        sizes = {state.channels, state.channels + skip}
        for element in (e for size in sorted(sizes) for e in self.taking[size]):
            if element.mask & state.mask:
                continue
            jump = self._jump(state, element)
            if element.transposed:
                yield from self._up(state, element, jump)
            elif state.due:
                yield from self._after_up(state, element, jump)
            else:
                yield from self._straight(state, element, jump)

    def _straight(self, state: State, element: Element, jump: float) -> Iterator[State]:
        fits = element.n_in == state.channels
        if fits:
            cost = jump + self._stay_cost(state, element)
            yield self._with(state, element, (Move("take", element),), cost)
        if fits and not state.growing:
            yield self._pooled(state, element, jump)
        if not state.skips or (state.in_stage == 0 and not state.growing):
            return
        skip = state.skips[-1]
        near = self.places.closeness(state.last, element.members[0])
        regular = self._stage_cost(state) + 1.0 * near
        grown = replace(
            state,
            skips=state.skips[:-1],
            growing=True,
            in_stage=0,
            stage_before=state.in_stage,
        )
        if element.n_in == state.channels + skip:
            moves = Move("grow"), Move("take", element, "concatenate")
            cost = jump + regular + self._merge_cost(element)
            bare = skip == state.channels and state.up_kind == "widen"
            kind = "widen" if bare else "grow"  # nothing to narrow
            cost += 0.3 * bare
            yield self._with(self._grown(grown, kind), element, moves, cost)
        if fits and element.n_out <= state.channels:
            moves = Move("grow"), Move("widen", element)
            cost = jump + regular + 0.3 + 0.4 * (not self._small(element))
            widened = replace(self._grown(grown, "widen"), due=skip)
            yield self._with(widened, element, moves, cost)
        if fits and skip == state.channels:
            moves = Move("grow"), Move("take", element, "add")
            cost = jump + regular + 2.0 + self._merge_cost(element)
            yield self._with(self._grown(grown, "grow"), element, moves, cost)

    def _grown(self, state: State, kind: str) -> State:
        """Say how it grew; a U-Net grows in one way at all levels."""
        other = state.up_kind not in {"", kind}
        return replace(state, up_kind=kind, cost=state.cost + 1.5 * other)

    def _merge_cost(self, element: Element) -> float:
        """A single pointwise convolution is no stage."""
        unit = self.units[element.members[0]]
        single = unit.pointwise and len(element.members) == 1
        return 1.5 * single + 2.0 * (max(unit.kernel) % 2 == 0)

    def _after_up(self, state: State, element: Element, jump: float) -> Iterator[State]:
        merged = replace(state, due=0)
        if element.n_in == state.channels + state.due:
            move = Move("take", element, "concatenate")
            cost = jump + self._merge_cost(element)
            yield self._with(merged, element, (move,), cost)
        if element.n_in == state.channels == state.due:
            move = Move("take", element, "add")
            cost = jump + 1.0 + self._merge_cost(element)
            yield self._with(merged, element, (move,), cost)
        if element.n_in == state.channels:
            cost = jump + 1.5 + 0.5 * (element.n_out != state.channels)
            yield self._with(state, element, (Move("widen", element),), cost)

    def _up(self, state: State, element: Element, jump: float) -> Iterator[State]:
        unit = self.units[element.members[0]]
        ready = state.skips and not state.due and state.in_stage
        if not ready or element.n_in != state.channels or max(unit.kernel) == 1:
            return
        even = max(unit.kernel) % 2 == 0
        certain = all(way.transposed for way in unit.ways)
        named = re.search("up|trans|deconv|dec|tu", unit.path.lower()) is not None
        cost = jump + self._stage_cost(state)
        cost += 0.0 if even or certain else (0.7 if named else 3.0)
        grown = replace(
            state,
            skips=state.skips[:-1],
            due=state.skips[-1],
            growing=True,
            in_stage=0,
            stage_before=state.in_stage,
        )
        grown = self._grown(grown, "up")
        yield self._with(grown, element, (Move("up", element),), cost)

    def _pooled(self, state: State, element: Element, jump: float) -> State:
        first, last = element.members[0], state.last
        near = self.places.closeness(last, first)
        cost = jump + 1.5 * near + 0.1 + self._stage_cost(state)
        if self.places.gap(last, first) or self.places.starts_late(first):
            cost -= 0.3
        if first in self.bare and element.n_out == element.n_in:
            cost -= 0.3
        elif element.n_out <= element.n_in:
            cost += 0.3 if element.n_out == element.n_in else 1.2
        pooled = replace(
            state,
            skips=(*state.skips, state.channels),
            in_stage=0,
            stage_before=state.in_stage,
        )
        moves = Move("pool"), Move("take", element)
        return self._with(pooled, element, moves, cost)

    def _with(
        self,
        state: State,
        element: Element,
        moves: tuple[Move, ...],
        cost: float,
    ) -> State:
        last = max(element.all_members)
        widens = moves[-1].kind in {"widen", "up"}
        return replace(
            state,
            moves=(*state.moves, *moves),
            mask=state.mask | element.mask,
            last=last,
            channels=element.n_out,
            entry=state.entry if state.entry >= 0 or not state.growing else last,
            in_stage=state.in_stage + (0 if widens else len(element.members)),
            series=self._series(state, element),
            cost=state.cost + max(0.0, cost) + element.doubt,
        )

    # -- costs ------------------------------------------------------------------

    def _stay_cost(self, state: State, element: Element) -> float:
        """Cost of running on at one resolution."""
        first = element.members[0]
        if element.n_out > element.n_in and self._stands_for_pooling(state):
            return 0.0  # a level begins here
        cost = 0.8 * (1 - self.places.closeness(state.last, first))
        bare = 0.8 * (first in self.bare and element.n_out == element.n_in)
        if state.growing:
            even = self.units[first].kernel[-1] % 2 == 0
            return 0.6 * cost + 1.0 * even + bare
        if self.units[first].kernel[-1] % 2 == 0:
            cost += 2.0
        if self.places.starts_late(first):
            cost += 0.3
        return cost + bare + (0.8 if element.n_out > element.n_in else 0.0)

    def _stands_for_pooling(self, state: State) -> bool:
        """Whether the last convolution did nothing but shrink."""
        element = state.moves[-1].element
        if state.in_stage != 1 or element is None or state.moves[-2:-1] == ():
            return False
        pooled = state.moves[-2].kind == "pool"
        return pooled and state.last in self.bare and element.n_in == element.n_out

    def _stage_cost(self, state: State) -> float:
        """Cost of closing a stage that is longer or shorter than the one before."""
        if not state.stage_before:
            return 0.0
        return 0.3 * (state.in_stage != state.stage_before)

    def _small(self, element: Element) -> bool:
        return element.n_out < element.n_in

    def _jump(self, state: State, element: Element) -> float:
        """Cost of going from one name to another."""
        first = min(element.members)
        place, before = self.places.places[first], self.places.places[state.last]
        inside = self.places.members[place.block]
        late = any(
            not state.mask >> m & 1 and m not in element.all_members
            for m in inside
            if m < first
        )
        cost = 1.5 * late
        if place.block == before.block:
            return cost
        left = self.places.members[before.block]
        cost += 1.0 * any(not state.mask >> m & 1 for m in left if m > state.last)
        if self._is_next_block(state, place.block, before.block):
            return cost
        for name, number, way in state.series:
            if name == place.series and place.number >= 0:
                step = place.number - number
                steady = step in {-1, 1} and way in {0, step}
                return cost + (0.4 if steady else 2.5)
        return cost + (0.6 if self._is_end(place.series, place.number) else 2.5)

    def _is_next_block(self, state: State, block: str, before: str) -> bool:
        blocks = self.places.blocks
        for other in blocks[self.places.order[before] + 1 :]:
            if any(not state.mask >> m & 1 for m in self.places.members[other]):
                return other == block
        return False

    def _is_end(self, series: str, number: int) -> bool:
        numbers = [p.number for p in self.places.places if p.series == series]
        return number in {min(numbers), max(numbers)}

    def _series(
        self, state: State, element: Element
    ) -> tuple[tuple[str, int, int], ...]:
        place = self.places.places[min(element.members)]
        known = {name: (number, way) for name, number, way in state.series}
        number, way = known.get(place.series, (place.number, 0))
        step = place.number - number
        known[place.series] = place.number, step if step in {-1, 1} else way
        return tuple((name, *value) for name, value in known.items())

    # -- ends -------------------------------------------------------------------

    def _finish(self, state: State) -> None:
        if state.skips or state.due or not state.growing:
            return
        unused = [n for n in range(len(self.units)) if not state.mask >> n & 1]
        cost = state.cost + sum(self._unused_cost(n, state) for n in unused)
        last = self.units[state.last]
        cost += 0.0 if last.pointwise else 0.4
        cost += 1.0 if last.norm is not None else 0.0
        cost += 0.5 if state.channels > MOST_HEAD_CHANNELS else 0.0
        wiring = Wiring(state.moves, tuple(unused), cost)
        best = self.found.get(state.moves)
        if best is None or cost < best.cost:
            self.found[state.moves] = wiring

    def _unused_cost(self, index: int, state: State) -> float:
        """An output at a coarser level, or a second one at the finest, may be left."""
        if not self._is_head(index, state):
            return UNUSED
        ends = self.units[state.last].pointwise
        same = any(way.n_in == state.channels for way in self.units[index].ways)
        # What could be run at the end, where there is no output yet, is not left.
        return UNUSED_HEAD if ends or not same else 0.5 * UNUSED

    def _is_head(self, index: int, state: State) -> bool:
        unit, last = self.units[index], state.moves[-1].element
        if unit.norm is not None or not unit.pointwise:
            return False
        straight = [way for way in unit.ways if not way.transposed]
        read = last.n_in if last is not None else 0
        return any(
            way.n_out == state.channels or way.n_out < way.n_in == read
            for way in straight
        )
