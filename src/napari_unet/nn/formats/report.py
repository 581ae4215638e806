"""Report: what was recognised in a file, what was assumed, and what was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Misfit up to which running statistics confirm a reading.
WELL = 0.3
# Margin from which on they tell two options apart.
CLEAR = 0.005
# Nearly the same function.
ALIKE = {"relu", "leaky_relu_0.01"}
HARDLY = "The running statistics hardly tell apart:"
NO_WITNESS = (
    "The file has no running statistics that could confirm what was assumed; look at "
    "a result before you rely on it."
)
MISFIT = (
    "The running statistics do not fit what the network makes of an image, so what is "
    "usual was assumed; look at a result before you rely on it."
)


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
    misfit
        The part of the loss that the running statistics give; None: they were not
        asked.
    """

    value: str
    loss: float
    evidence: str = ""
    misfit: float | None = None


@dataclass(frozen=True)
class Report:
    """What a reading rests on.

    Parameters
    ----------
    family
        The trainer's or package's name, or ``"unknown"``.
    verified
        Whether outputs of this family, with these options, were compared with the
        original's and are equal.
    recognised
        What the tensors say, one line each.
    assumed
        What they do not say, with the runner-up and the margin, one line each.
    unused
        Tensors that the network does not need, one line each.
    alternatives
        Question -> its options, the best first.
    answers
        Question -> the answer that was taken, from wherever it came.
    guessed
        What neither the file, its family nor the user tells, such as ``"norm batch"``.
    unconfirmed
        Options of a verified family with which no output was compared.
    misfit
        How far the running statistics are from what the network makes of plausible
        images, in standard deviations; None if the file has none.
    """

    family: str
    verified: bool
    recognised: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    alternatives: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    misfit: float | None = None

    @property
    def doubt(self) -> str:
        """What speaks against the reading, one sentence; empty if nothing does."""
        if self.verified and not self.guessed:
            return ""
        if self.misfit is None:
            return NO_WITNESS if self.guessed else ""
        if self.misfit > WELL:
            return MISFIT
        close = [
            f"{question} {' or '.join(values)}"
            for question, options in self.alternatives.items()
            if len(values := _close(options)) > 1
        ]
        return f"{HARDLY} {', '.join(close)}." if close else ""

    def lines(self) -> tuple[str, ...]:
        """Return the report as text, one sentence a line."""
        kind = "verified" if self.verified else "unverified"
        if self.verified and self.guessed:
            kind += f", if {', '.join(self.guessed)}"
        if self.unconfirmed:
            kind += f": never compared with {', '.join(self.unconfirmed)}"
        return (
            f"Family: {self.family} ({kind}).",
            *((f"Doubt: {self.doubt}",) if self.doubt else ()),
            *(f"Recognised: {line}" for line in self.recognised),
            *(f"Assumed: {line}" for line in self.assumed),
            *(f"Unused: {line}" for line in self.unused),
        )


def _close(options: tuple[Option, ...]) -> list[str]:
    """Return the best option, and those that the running statistics hardly tell off.

    An equal misfit, to the last bit, is that of the same function.
    """
    best = options[0].misfit
    if best is None:
        return []
    return [
        option.value
        for option in options
        if option.misfit is not None and option.misfit < best + CLEAR
        if option is options[0] or option.misfit != best
        if {option.value, options[0].value} != ALIKE
    ]
