"""Elements: what the search places as one piece: a convolution, or a residual block."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_unet.nn.formats.units import Unit, Way

MOST_IN_BLOCK = 6


@dataclass(frozen=True)
class Element:
    """A chain of convolutions, with or without a shortcut around it.

    Parameters
    ----------
    members
        Indices of the units in the chain, in order.
    ways
        How each member's weight is read.
    shortcut
        Index of the unit that projects the input; None: there is none.
    residual
        Whether the (projected) input is added to the chain's result.
    led
        Whether the first of the chain projects the input for the others and for the
        sum; it has neither norm nor activation.
    doubt
        What taking it for one piece costs.
    """

    members: tuple[int, ...]
    ways: tuple[Way, ...]
    shortcut: int | None = None
    residual: bool = False
    led: bool = False
    doubt: float = 0.0

    @property
    def n_in(self) -> int:
        """Channels read."""
        return self.ways[0].n_in

    @property
    def n_out(self) -> int:
        """Channels given."""
        return self.ways[-1].n_out

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return self.ways[0].transposed

    @property
    def all_members(self) -> tuple[int, ...]:
        """With the shortcut."""
        extra = () if self.shortcut is None else (self.shortcut,)
        return (*self.members, *extra)

    @property
    def mask(self) -> int:
        """One bit for each member."""
        return sum(1 << member for member in self.all_members)


def find_elements(units: Sequence[Unit]) -> tuple[Element, ...]:
    """Return every single convolution, and every residual block."""
    singles = [
        Element((index,), (way,))
        for index, unit in enumerate(units)
        for way in unit.ways
    ]
    projected = list(_projected(units))
    return (*singles, *projected, *_identities(units, projected))


def _projected(units: Sequence[Unit]) -> Iterator[Element]:
    """Yield the blocks with a convolution that runs beside the others."""
    taken: set[int] = set()
    for members in _nodes(units).values():
        if taken & set(members):
            continue
        found = _split(units, members) or _led(units, members)
        if found:
            taken |= set(members)
            yield from found


def _split(units: Sequence[Unit], members: tuple[int, ...]) -> list[Element]:
    found = []
    in_line = bool(_chains(units, members))
    for shortcut in members:
        chain = tuple(m for m in members if m != shortcut)
        if in_line and not _says_shortcut(units[shortcut].path):
            continue
        if not units[shortcut].pointwise and not _says_shortcut(units[shortcut].path):
            continue
        if all(units[m].pointwise for m in chain):
            continue
        for ways in _chains(units, chain):
            sides = ways[0].n_in, ways[-1].n_out
            if any((w.n_in, w.n_out) == sides for w in units[shortcut].ways):
                doubt = _doubt(units, shortcut, chain)
                found.append(Element(chain, ways, shortcut, True, doubt=doubt))
    return found


def _doubt(units: Sequence[Unit], shortcut: int, chain: tuple[int, ...]) -> float:
    """A shortcut says so, or comes last; a first one may be an up-sampling's."""
    if _says_shortcut(units[shortcut].path):
        return 0.0
    return 0.2 if shortcut > max(chain) else 1.2


def _led(units: Sequence[Unit], members: tuple[int, ...]) -> list[Element]:
    """A projection without a norm before others that have one."""
    first, *others = members
    normed = all(units[m].norm is not None for m in others)
    if len(members) < 3 or units[first].norm is not None or not normed:
        return []
    if not units[first].pointwise or any(units[m].pointwise for m in others):
        return []
    return [
        Element(members, ways, residual=True, led=True)
        for ways in _chains(units, members)
        if len({way.n_out for way in ways}) == 1
    ]


def _identities(
    units: Sequence[Unit], projected: Sequence[Element]
) -> Iterator[Element]:
    """Yield blocks without a shortcut that look like those which have one."""
    nodes = _nodes(units)
    owner = {members: path for path, members in nodes.items()}
    looks = set()
    for element in projected:
        path = owner[tuple(sorted(element.all_members))]
        looks.add(_inside(units, path, element.members[int(element.led) :]))
    done = {member for e in projected for member in e.all_members}
    for path, members in nodes.items():
        if _inside(units, path, members) not in looks or done & set(members):
            continue
        for ways in _chains(units, members):
            if ways[0].n_in == ways[-1].n_out:
                yield Element(members, ways, residual=True)


def _nodes(units: Sequence[Unit]) -> dict[str, tuple[int, ...]]:
    """Return the places in the tree of names that hold a few units; the deepest first.

    Of two places that hold the same units, the upper one is left out.
    """
    nodes: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        parts = unit.path.split(".")
        for length in range(1, len(parts)):
            nodes[".".join(parts[:length])].append(index)
    deepest: dict[tuple[int, ...], str] = {}
    for path in sorted(nodes, key=lambda p: p.count(".")):
        if 2 <= len(nodes[path]) <= MOST_IN_BLOCK:
            deepest[tuple(nodes[path])] = path
    ordered = sorted(deepest.items(), key=lambda item: len(item[0]))
    return {path: members for members, path in ordered}


def _chains(units: Sequence[Unit], members: Sequence[int]) -> list[tuple[Way, ...]]:
    """Return the ways to read `members` such that each fits the one before."""
    straight = [[w for w in units[m].ways if not w.transposed] for m in members]
    return [
        ways
        for ways in itertools.product(*straight)
        if all(a.n_out == b.n_in for a, b in itertools.pairwise(ways))
    ]


def _inside(
    units: Sequence[Unit], path: str, members: Sequence[int]
) -> tuple[str, ...]:
    """Return the names of `members` below `path`."""
    return tuple(units[m].path.removeprefix(path) for m in members)


def _says_shortcut(path: str) -> bool:
    words = "skip|short|proj|resid|downsample|identity|match|adapt|conv1x1|res_?conv"
    return re.search(words, path.lower()) is not None
