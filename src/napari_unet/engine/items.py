"""Items: the things to do on an image, a step for one block each."""

from __future__ import annotations

from dataclasses import dataclass

NETWORK = "network"
WHOLE = "whole"
SEPARATION_STEPS = (
    "survey",
    "join",
    "flood",
    "number",
    "ground",
    "holes",
    "labels",
)
OVER_ALL = ("join", "number", "holes")
# What a step leaves in the output.
WRITTEN = {
    "survey": ("probabilities",),
    "labels": ("labels",),
    "classes": ("probabilities", "labels"),
    WHOLE: ("probabilities", "labels"),
}


@dataclass(frozen=True, order=True)
class Item:
    """One thing to do: a step, for one block of one sample.

    A step over levels of a pyramid takes the level as its sample, a chunk as its block,
    and whether it is of ``"labels"`` or ``"probabilities"`` as `what`.
    """

    step: str
    sample: int
    block: int = 0
    what: str = ""
