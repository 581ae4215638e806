"""Report: what was recognised in a file, what was assumed, and what was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """One answer to what shapes cannot tell.

    Parameters
    ----------
    value
        Its name; ``choices`` takes it.
    loss
        How badly it fits the file; the smallest is taken. Only differences count.
    evidence
        Where the loss comes from, a few words.
    """

    value: str
    loss: float
    evidence: str = ""


@dataclass(frozen=True)
class Report:
    """What a reading rests on.

    Parameters
    ----------
    family
        The trainer's or package's name, or ``"unknown"``.
    verified
        Whether this family's outputs were compared with the original's and are equal.
    recognised
        What the tensors say, one line each.
    assumed
        What they do not say, with the runner-up and the margin, one line each.
    unused
        Tensors that the network does not need, one line each.
    alternatives
        Question -> its options, the best first.
    """

    family: str
    verified: bool
    recognised: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    alternatives: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)

    def lines(self) -> tuple[str, ...]:
        """Return the report as text, one sentence a line."""
        kind = "verified" if self.verified else "unverified"
        return (
            f"Family: {self.family} ({kind}).",
            *(f"Recognised: {line}" for line in self.recognised),
            *(f"Assumed: {line}" for line in self.assumed),
            *(f"Unused: {line}" for line in self.unused),
        )
