"""Deciding: every open question is answered by the option that fits the file best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.drafting import draft
from napari_unet.nn.formats.evidence import HOPELESS, Witness
from napari_unet.nn.formats.moves import Wiring
from napari_unet.nn.formats.questions import Questions, ask
from napari_unet.nn.formats.report import Option
from napari_unet.nn.formats.units import Units

ROUNDS = 2
# Wirings as plausible as the best, up to this, are put to the test.
NEAR = 3.0
MOST_RIVALS = 5
COST_OF_WIRING = 0.01
STATISTICS = "running statistics"


def settle(
    units: Units,
    wirings: Sequence[Wiring],
    tensors: Mapping[str, Tensor],
    given: Mapping[str, str],
) -> tuple[Wiring, Questions]:
    """Return the wiring that fits best, and its questions with ranked options.

    Wirings of nearly equal plausibility are told apart by the running statistics.
    """
    witness = Witness(tensors)
    best = wirings[0]
    ranked = decide(units, best, ask(units, best, tensors), witness, given)
    rivals = [w for w in wirings[1:] if w.cost - best.cost < NEAR and not w.unused]
    if witness.silent or best.unused or not rivals:
        return best, ranked
    answers = {**{q: options[0].value for q, options in ranked.items()}, **given}

    def loss(wiring: Wiring) -> float:
        asked = ask(units, wiring, tensors)
        more = {question: options[0].value for question, options in asked.items()}
        fits = _loss(witness, units, wiring, {**more, **answers})
        return fits + COST_OF_WIRING * wiring.cost

    found = min([best, *rivals[:MOST_RIVALS]], key=loss)
    if found is not best:
        ranked = decide(units, found, ask(units, found, tensors), witness, given)
    return found, ranked


def decide(
    units: Units,
    wiring: Wiring,
    questions: Questions,
    witness: Witness,
    given: Mapping[str, str],
) -> Questions:
    """Return the questions with their options ranked, the best first.

    One question at a time, the others at their best, twice over; `given` answers are
    not put to the test.
    """
    answers = {key: options[0].value for key, options in questions.items()}
    answers.update(given)
    ranked = dict(questions)
    before: dict[str, str] = {}
    for _ in range(ROUNDS):
        if answers == before:
            break
        before = dict(answers)
        for question, options in questions.items():
            if question in given or len(options) == 1:
                continue
            tried = [
                _tried(
                    option, units, wiring, {**answers, question: option.value}, witness
                )
                for option in options
            ]
            ranked[question] = tuple(sorted(tried, key=lambda option: option.loss))
            answers[question] = ranked[question][0].value
    return ranked


def _tried(
    option: Option,
    units: Units,
    wiring: Wiring,
    answers: Mapping[str, str],
    witness: Witness,
) -> Option:
    """Add what the running statistics say."""
    if witness.silent:
        return option
    loss = _loss(witness, units, wiring, answers)
    return replace(
        option,
        loss=loss + 0.1 * option.loss,
        evidence=f"{STATISTICS} off by {loss:.3f}",
    )


def _loss(
    witness: Witness, units: Units, wiring: Wiring, answers: Mapping[str, str]
) -> float:
    try:
        return witness.loss(draft(units, wiring, answers))
    except CheckpointError:
        return HOPELESS
