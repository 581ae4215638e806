"""Factors: how much each pooling shrinks, per axis, as the up-sampling says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.moves import Move, Wiring
from napari_unet.nn.formats.units import Units

Factors = tuple[int, ...]


def pool_factors(
    units: Units, wiring: Wiring, answers: Mapping[str, str]
) -> list[Factors]:
    """Return how much each pooling shrinks, per axis, as the up-sampling says."""
    factors: list[Factors] = []
    levels: list[int] = []
    guess = (2,) * units.ndim
    for position, move in enumerate(wiring.moves):
        if move.kind == "pool":
            levels.append(len(factors))
            factors.append(_flat_axes(units, wiring.moves[position + 1], guess))
        elif move.kind == "up" and move.element is not None:
            kernel = units.units[move.element.members[0]].kernel
            factors[levels.pop()] = tuple(1 if k == 1 else 2 for k in kernel)
        elif move.kind == "grow":
            levels.pop()
    return _told(factors, answers.get("factors", ""), units.ndim)


def _told(factors: list[Factors], told: str, ndim: int) -> list[Factors]:
    """Return the factors that were given, such as ``1x2x2,2x2x2``, if any were."""
    if not told:
        return factors
    try:
        given = [tuple(int(n) for n in level.split("x")) for level in told.split(",")]
    except ValueError:
        given = []
    if len(given) != len(factors) or any(len(level) != ndim for level in given):
        raise CheckpointError(
            f"{told} does not give {len(factors)} poolings of {ndim} axes.",
            "Write them as in 1x2x2,2x2x2, the finest first.",
        )
    return given


def written(factors: Sequence[Factors]) -> str:
    """Return factors as they are told, such as ``1x2x2,2x2x2``."""
    return ",".join("x".join(str(n) for n in level) for level in factors)


def _flat_axes(units: Units, move: Move, guess: Factors) -> Factors:
    """Return a factor of 1 along axes on which the next kernel has one pixel."""
    if move.element is None:
        return guess
    kernel = units.units[move.element.members[0]].kernel
    flat = tuple(1 if k == 1 else 2 for k in kernel)
    return flat if len(set(kernel)) > 1 else guess
