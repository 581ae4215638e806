"""Drafting: a wiring and the answers to what shapes cannot tell become a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Graph,
    Merge,
    Pool,
    Resize,
)
from napari_unet.nn.formats.elements import Element
from napari_unet.nn.formats.factors import Factors, pool_factors
from napari_unet.nn.formats.gates import ordered
from napari_unet.nn.formats.layers import LayerWriter
from napari_unet.nn.formats.moves import Move, Wiring
from napari_unet.nn.formats.units import Gate, Unit, Units
from napari_unet.nn.weight_files import first_line

# The answer to "head" that takes all outputs, one after the other.
ALL_HEADS = "all"


def draft(
    units: Units, wiring: Wiring, answers: Mapping[str, str], family: str = ""
) -> Graph:
    """Return the graph of `wiring` under `answers`.

    Raises
    ------
    CheckpointError
        If an answer does not fit the tensors.
    """
    drafter = _Drafter(units, wiring, answers)
    try:
        steps = tuple(drafter.run())
        return Graph(
            ndim=2 if units.ndim == 2 else 3,
            in_channels=drafter.channels[0],
            steps=steps,
            family=family,
        )
    except (ValueError, SettingsError) as error:
        told = ", ".join(f"{key} {value}" for key, value in answers.items())
        raise CheckpointError(
            f"The tensors cannot be run with {told} ({first_line(error)}).",
            "Choose other assumptions.",
        ) from error


class _Drafter(LayerWriter):
    """Writes down a wiring, move by move."""

    def __init__(
        self, units: Units, wiring: Wiring, answers: Mapping[str, str]
    ) -> None:
        first = wiring.moves[0].element
        super().__init__(answers, channels=[first.n_in if first is not None else 1])
        self.units, self.wiring = units, wiring
        self.skips: list[tuple[int, Factors]] = []
        self.gates = list(units.gates)
        self.pooled = False  # whether the next convolution is the first after a pooling
        self.held: Factors = ()  # a pooling that comes after the level's convolutions

    def run(self) -> Sequence[AnyStep]:
        factors = pool_factors(self.units, self.wiring, self.answers)
        stride: Factors | None = None
        due = -1
        grown: Factors = ()
        depth = 0
        for position, move in enumerate(self.wiring.moves):
            if move.kind != "take":
                self._let_go()
            if move.kind == "pool":
                self.skips.append((self.value, factors[depth]))
                stride, self.pooled = self._pool(factors[depth], position), True
                depth += 1
            elif move.kind == "grow":
                due, grown = self.skips.pop()
                self.grow(grown)
            elif move.kind == "up":
                due, grown = self.skips.pop()
                if move.element is not None:
                    unit = self.units.units[move.element.members[0]]
                    self.up(unit, move.element.n_out, grown)
            elif move.element is not None:
                if move.merge:
                    self._merge(due, move.merge)
                last = position == len(self.wiring.moves) - 1
                self._element(move, stride, last)
                stride, self.pooled = None, False
        self._finish()
        return self.steps

    # -- moves ------------------------------------------------------------------

    def _pool(self, factor: Factors, position: int) -> Factors | None:
        """Pool, or return the stride that the next convolution has."""
        following = self.wiring.moves[position + 1].element
        unit = self.units.units[following.members[0]] if following else None
        even = unit is not None and max(unit.kernel) % 2 == 0
        if even or self.answers["pooling"] == "strided":
            return factor
        self.held = factor
        if self.answers.get("pool_place") != "after_convolutions":
            self._let_go()
        return None

    def _let_go(self) -> None:
        """Write a pooling that is held back."""
        if not self.held:
            return
        pooling, held = self.answers["pooling"], self.held
        kind = "average" if pooling == "average" else "max"
        pool = Pool(inputs=(self.value,), kernel=held, kind=kind)
        if pooling == "max_3":
            wide = tuple(3 if factor > 1 else 1 for factor in held)
            margin = tuple(size // 2 for size in wide)
            pool = pool.replace(kernel=wide, stride=held, padding=margin)
        self.add(pool)
        self.held = ()

    def _merge(self, skip: int, kind: str) -> None:
        if self.answers["padding"] == "valid":
            up = self.value
            skip = self.add(Merge(inputs=(skip, up), kind="crop"))
            self.value = up
        if self.units.gates:
            skip = self._gated(skip)
        first = self.answers.get("concatenation", "skip_first") == "skip_first"
        inputs = (skip, self.value) if first else (self.value, skip)
        concatenates = kind == "concatenate"
        self.add(Merge(inputs=inputs, kind="concatenate" if concatenates else "add"))

    def _gated(self, skip: int) -> int:
        """Write the gate of a skip, and return the skip as it lets it through."""
        up = self.value
        gate, branches = self._next_gate(self.channels[skip], self.channels[up])
        summed = tuple(map(self.pointwise, branches, (up, skip)))
        value = self.add(Merge(inputs=summed, kind="add"))
        value = self.add(Activation(inputs=(value,), kind="relu"))
        value = self.pointwise(gate.psi, value)
        value = self.add(Activation(inputs=(value,), kind="sigmoid"))
        gated = self.add(Merge(inputs=(skip, value), kind="multiply"))
        self.value = up
        return gated

    def _next_gate(self, n_skip: int, n_up: int) -> tuple[Gate, tuple[Unit, Unit]]:
        """Return the first gate that fits, and its branches (of up, of skip)."""
        first = self.answers.get("gates") == "skip_first"
        for gate in self.gates:
            branches = ordered(gate, n_skip, n_up, skip_first=first)
            if branches is not None:
                self.gates.remove(gate)
                return gate, branches
        raise ValueError(f"no attention gate takes {n_skip} and {n_up} channels")

    def _element(self, move: Move, stride: Factors | None, last: bool) -> None:
        element = move.element
        if element is None:
            return
        if last and self.answers.get("head"):
            self._heads(self.answers["head"], element)
            return
        start = self.value
        final = len(element.members) - 1
        after_sum = self.answers.get("sum", "before_activation") == "before_activation"
        for number, (member, way) in enumerate(
            zip(element.members, element.ways, strict=True)
        ):
            ends = number == final
            active = not (ends and (last or (element.residual and after_sum)))
            if self.pooled and number == 0 and self.units.units[member].norm is None:
                active = active and self.answers.get("pool_activation") != "no"
            widens = move.kind == "widen"
            if widens:
                active = self.answers.get("up_activation", "no") != "no"
            at = stride if number == 0 else None
            if element.led and number == 0:
                self.convolve(self.units.units[member], way, at)
                start, stride = self.value, None
                continue
            self.unit(self.units.units[member], way, at, active, widens)
        if element.residual:
            self._shortcut(element, start, stride)
            if after_sum and not last:
                self.activate(self.units.units[element.members[-1]])

    def _heads(self, asked: str, element: Element) -> None:
        """Write one of several outputs that read the same features, or all of them."""
        numbers = (*element.members, *self.wiring.unused)
        heads = [self.units.units[number] for number in sorted(numbers)]
        features, found = self.value, []
        for unit in heads:
            ways = [w for w in unit.ways if w.n_in == element.n_in and not w.transposed]
            if ways and asked in {unit.path, ALL_HEADS}:
                self.value = features
                self.unit(unit, ways[0], None, active=False)
                found.append(self.value)
        if len(found) > 1:
            self.add(Merge(inputs=tuple(found), kind="concatenate"))

    def _shortcut(self, element: Element, start: int, stride: Factors | None) -> None:
        end = self.value
        self.value = start
        pooled = element.shortcut is None or self.answers.get("shortcut") == "pooled"
        if stride and pooled:
            self.add(Pool(inputs=(self.value,), kernel=stride, kind="average"))
            stride = None
        if element.shortcut is not None:
            unit = self.units.units[element.shortcut]
            way = next(w for w in unit.ways if w.n_out == element.n_out)
            self.unit(unit, way, stride, active=False)
        self.add(Merge(inputs=(end, self.value), kind="add"))

    def _finish(self) -> None:
        if self.gates:
            raise ValueError(f"{len(self.gates)} attention gates have no skip")
        output = self.answers.get("output")
        if output == "half":
            factor = (0.5,) * self.units.ndim
            self.add(Resize(inputs=(self.value,), factor=factor, mode="nearest"))
        if output == "plus_input":
            self.add(Merge(inputs=(0, self.value), kind="add"))
