"""Places: what names say about order: which convolution is likely to follow another.

Never which names, only how they are built: common beginnings and running numbers.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from napari_unet.nn.formats.units import Unit

Tokens = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a unit stands in the tree of names.

    Parameters
    ----------
    tokens
        The path, cut at dots and around numbers.
    block
        Units of one block follow one another.
    series
        The block's name with its last number left out.
    number
        That number; -1 without one.
    """

    tokens: Tokens
    block: str
    series: str
    number: int


class Places:
    """The places of all units of a file."""

    def __init__(self, units: Sequence[Unit]) -> None:
        two_digits = _count_in_digits(units)
        self.places = [_place(unit, units, two_digits) for unit in units]
        self.members: dict[str, list[int]] = defaultdict(list)
        for index, place in enumerate(self.places):
            self.members[place.block].append(index)
        self.blocks = list(self.members)
        self.order = {block: number for number, block in enumerate(self.blocks)}
        pairs = list(itertools.pairwise(range(len(units))))
        near = [self._nearness(a, b) for a, b in pairs] or [0.0]
        self.least, self.span = min(near), max(near) - min(near)

    def closeness(self, a: int, b: int) -> float:
        """Return how much of its name `b` shares with `a`: 0 least, 1 most."""
        if self.span < 0.05:
            return 0.5
        return min(1.0, max(0.0, (self._nearness(a, b) - self.least) / self.span))

    def _nearness(self, a: int, b: int) -> float:
        left, right = self.places[a].tokens, self.places[b].tokens
        same = 0
        for x, y in zip(left, right, strict=False):
            if x != y:
                break
            same += 1
        return same / max(1, len(right) - 1)

    def starts_late(self, index: int) -> bool:
        """Whether a numbered list begins before this unit with a layer without weights.

        Such as ``down.1.conv`` where no ``down.0`` has any.
        """
        tokens = self.places[index].tokens
        for end in range(2, len(tokens)):
            number, dot = tokens[end], tokens[end - 1]
            counted = dot == "." and number.isdigit() and int(number) > 0
            if counted and self._least(tokens[:end]) == int(number):
                return True
        return False

    def _least(self, start: Tokens) -> int:
        """Return the smallest number that follows `start`."""
        end = len(start)
        following = [p.tokens[end] for p in self.places if p.tokens[:end] == start]
        return min(int(number) for number in following if number.isdigit())

    def gap(self, a: int, b: int) -> int:
        """Return how many layers without weights a numbered list has in between."""
        left, right = self.places[a].tokens, self.places[b].tokens
        for end, (x, y) in enumerate(zip(left, right, strict=False)):
            if x != y:
                counted = x.isdigit() and y.isdigit() and end > 0
                if counted and left[end - 1] == ".":
                    return max(0, int(y) - int(x) - 1)
                return 0
        return 0


def tokens_of(path: str) -> Tokens:
    """Cut a path at dots and around numbers."""
    return tuple(re.findall(r"\d+|\.|[^\d.]+", path))


def _count_in_digits(units: Sequence[Unit]) -> bool:
    """Whether names such as ``e11, e12, e21`` count in two digits."""
    tokens = [tokens_of(unit.path) for unit in units]
    flat = [t for t in tokens if "." not in t and len(t) == 2 and t[1].isdigit()]
    two = [t for t in flat if len(t[1]) == 2 and t[1][0] != "0"]
    starts = {int(t[1]) for t in two}
    return len(two) >= 4 and 11 in starts and 12 in starts and 13 not in starts


def _place(unit: Unit, units: Sequence[Unit], two_digits: bool) -> Place:
    tokens = tokens_of(unit.path)
    if two_digits and len(tokens) == 2 and len(tokens[1]) == 2:
        tokens = (tokens[0], *tokens[1])
    block = _block(unit, tokens, units)
    found = re.fullmatch(r"(.*?)(\d+)(\D*)", block, re.DOTALL)
    if not found:
        return Place(tokens, block, block, -1)
    return Place(tokens, block, f"{found[1]}#{found[3]}", int(found[2]))


def _block(unit: Unit, tokens: Tokens, units: Sequence[Unit]) -> str:
    parent = unit.module.parent
    siblings = [u for u in units if u.module.parent == parent]
    within = [u for u in units if u.path.startswith(f"{parent}.") or not parent]
    even = all(k % 2 == 0 or k == 1 for k in unit.kernel) and not unit.pointwise
    alone = len(within) > len(siblings) and unit.module.leaf.isdigit()
    if even or alone or all(w.transposed for w in unit.ways):
        return unit.path
    if unit.module.leaf.isdigit() and not _in_line(siblings):
        return unit.path
    if parent and len(siblings) <= max(6, len(units) // 3):
        return parent
    numbers = [n for n, token in enumerate(tokens) if token.isdigit()]
    return "".join(tokens[: numbers[-1]]) if len(numbers) > 1 else unit.path


def _in_line(siblings: Sequence[Unit]) -> bool:
    """Whether units can follow one another; narrow ones of several levels do not."""
    if len(siblings) > 1 and all(unit.pointwise for unit in siblings):
        return False
    return all(
        any(a.n_out == b.n_in for a in first.ways for b in second.ways)
        for first, second in itertools.pairwise(siblings)
    )
