"""Attention gates (Oktay et al. 2018): three pointwise convolutions that weigh a skip.

    skip * sigmoid(psi(relu(gating(up) + reading(skip))))

They are taken out before the others are wired, and put back where skips are joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_unet.nn.formats.units import Gate, Unit, Units

READS_SKIP = re.compile(r"(^|[._]|w)(x|l|skip|theta|enc(oder)?)([._\d]|$)")
READS_UP = re.compile(r"(^|[._]|w)(g|gate|gating|phi|up|dec(oder)?)([._\d]|$)")


def are_alike(gate: Gate) -> bool:
    """Return whether shapes do not tell which of the branches reads the skip."""
    first, second = gate.branches
    return _n_in(first) == _n_in(second)


def skip_named_first(gate: Gate) -> bool:
    """Return whether names say that the first branch reads the skip."""
    first, second = (branch.path.lower() for branch in gate.branches)
    said = READS_SKIP.search(first) or READS_UP.search(second)
    return bool(said) and not (READS_UP.search(first) or READS_SKIP.search(second))


def ordered(
    gate: Gate, n_skip: int, n_up: int, *, skip_first: bool
) -> tuple[Unit, Unit] | None:
    """Return the branches (of up, of skip); None if they do not fit.

    Parameters
    ----------
    gate
        An attention gate.
    n_skip, n_up
        Channels of the skip and of the up-sampled value.
    skip_first
        Whether the first branch reads the skip, if both could.
    """
    pairs = [gate.branches, gate.branches[::-1]]
    for up, skip in pairs[::-1] if skip_first else pairs:
        if (_n_in(up), _n_in(skip)) == (n_up, n_skip):
            return up, skip
    return None


def take_gates(units: Units) -> Units:
    """Return the units without those of attention gates, and these beside them."""
    gates = tuple(_find(units.units))
    taken = {unit.path for gate in gates for unit in (*gate.branches, gate.psi)}
    left = tuple(unit for unit in units.units if unit.path not in taken)
    return replace(units, units=left, gates=gates)


def is_psi(unit: Unit) -> bool:
    """Return whether a convolution gives one value a pixel of several channels."""
    return unit.pointwise and all(way.n_out == 1 < way.n_in for way in unit.ways[:1])


def _find(units: Sequence[Unit]) -> Iterator[Gate]:
    for psi in filter(is_psi, units):
        parts = psi.path.split(".")
        for end in range(len(parts) - 1, 0, -1):
            start = ".".join(parts[:end]) + "."
            inside = [unit for unit in units if unit.path.startswith(start)]
            others = [unit for unit in inside if unit is not psi]
            if len(others) > 2:
                break
            if len(others) == 2 and all(_is_branch(unit, psi) for unit in others):
                yield Gate((others[0], others[1]), psi)
                break


def _is_branch(unit: Unit, psi: Unit) -> bool:
    return unit.pointwise and unit.ways[0].n_out == psi.ways[0].n_in


def _n_in(unit: Unit) -> int:
    return unit.ways[0].n_in
