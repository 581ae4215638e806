"""Open questions: what a checkpoint leaves open, as plain data for who can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_unet.nn.formats.report import Report

Source = Literal["guess", "known", "choice"]

# Questions that also take an answer that is not on the list, with an example.
FREE = {
    "norm": "group_12",
    "activation": "leaky_relu_0.3",
    "factors": "2x2,4x4",
    "epsilon": "1e-3",
}
UNSEEN = "it leaves no trace in weights"
# What can be answered although no file lets it be guessed.
RARE = {"pooling": ("max_3",)}


@dataclass(frozen=True)
class Question:
    """What shapes cannot tell, and how it was settled.

    Parameters
    ----------
    name
        As `choices` of `load_model` call it.
    options
        Answers, the likeliest first.
    answer
        The one that was taken.
    source
        ``"guess"``, ``"known"`` (of the family, or of layers that were pickled whole)
        or ``"choice"`` (the user's).
    evidence
        Of a guess, a few words.
    example
        Of an answer that is not on the list; empty: there are no others.
    """

    name: str
    options: tuple[str, ...]
    answer: str
    source: Source
    evidence: str = ""
    example: str = ""


def questions_of(report: Report, choices: Mapping[str, str]) -> tuple[Question, ...]:
    """Return what a reading left open: guesses first, what leaves no trace last.

    Parameters
    ----------
    report
        Of the reading.
    choices
        With which the file was read.
    """
    from napari_unet.nn.formats.reading import EXTRA

    found = [
        Question(
            name=name,
            options=tuple(option.value for option in options) + RARE.get(name, ()),
            answer=report.answers.get(name, options[0].value),
            source=_source(name, report, choices),
            evidence=options[0].evidence,
            example=FREE.get(name, ""),
        )
        for name, options in report.alternatives.items()
        if len(options) > 1
    ]
    order: tuple[Source, ...] = ("guess", "choice", "known")
    found.sort(key=lambda question: order.index(question.source))
    unseen = [
        Question(
            name=name,
            options=options,
            answer=choices.get(name, options[0]),
            source="choice" if name in choices else "guess",
            evidence=UNSEEN,
            example=FREE.get(name, ""),
        )
        for name, options in EXTRA.items()
        if report.family == "unknown" or name in choices
    ]
    return (*found, *unseen)


def _source(name: str, report: Report, choices: Mapping[str, str]) -> Source:
    if name in choices:
        return "choice"
    guessed = any(guess.startswith(f"{name} ") for guess in report.guessed)
    return "guess" if guessed else "known"
