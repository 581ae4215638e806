"""Deciding: every open question is answered by the option that fits the file best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.evidence import HOPELESS, Witness
from napari_unet.nn.formats.questions import Questions
from napari_unet.nn.formats.report import WELL, Option

ROUNDS = 2
# Blueprints as plausible as the best, up to this, are put to the test.
NEAR = 3.0
MOST_RIVALS = 5
WEIGHT_OF_COST = 0.01
STATISTICS = "running statistics"


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A way to run the tensors of a file, up to what shapes cannot tell.

    Parameters
    ----------
    questions
        What shapes cannot tell.
    draft
        Answers -> graph; raises `CheckpointError` if they do not fit.
    cost
        How implausible it is, compared with others of the same file.
    complete
        Whether it uses all convolutions.
    recognised
        What the tensors say, one line each.
    """

    questions: Questions
    draft: Callable[[Mapping[str, str]], Graph]
    cost: float = 0.0
    complete: bool = True
    recognised: tuple[str, ...] = ()

    def answers(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the first option of each question, or what is given."""
        best = {key: options[0].value for key, options in self.questions.items()}
        return {**best, **given}


@dataclass(frozen=True, eq=False)
class Decision:
    """What was decided.

    Parameters
    ----------
    blueprint
        The one that fits best, its questions ranked by the evidence.
    graph
        Drafted from the answers.
    answers
        To all questions.
    misfit
        How far the running statistics are from what the graph makes of plausible
        images; None if the file has none.
    """

    blueprint: Blueprint
    graph: Graph
    answers: Mapping[str, str]
    misfit: float | None


def settle(
    blueprints: Sequence[Blueprint],
    tensors: Mapping[str, Tensor],
    given: Mapping[str, str],
) -> Decision:
    """Return the blueprint that fits best, and the best answers to its questions.

    Blueprints of nearly equal plausibility are told apart by the running statistics.
    Statistics that fit nothing (of a training that hardly began, or made up) tell
    nothing: then what is usual is taken.
    """
    witness = Witness(tensors)
    found = _settled(blueprints, witness, given)
    if found.misfit is None or found.misfit <= WELL:
        return found
    usual = _settled(blueprints, Witness({}), given)
    return replace(usual, misfit=witness.loss(usual.graph))


def _settled(
    blueprints: Sequence[Blueprint], witness: Witness, given: Mapping[str, str]
) -> Decision:
    best = decide(blueprints[0], witness, given)
    rivals = [b for b in blueprints[1:] if b.cost - best.cost < NEAR and b.complete]
    if not witness.silent and best.complete and rivals:
        settled = best.answers(given)

        def loss(rival: Blueprint) -> float:
            fits = _loss(witness, rival, rival.answers(settled))
            return fits + WEIGHT_OF_COST * rival.cost

        found = min([best, *rivals[:MOST_RIVALS]], key=loss)
        best = best if found is best else decide(found, witness, given)
    answers = best.answers(given)
    graph = best.draft(answers)
    misfit = None if witness.silent else witness.loss(graph)
    return Decision(best, graph, answers, misfit)


def decide(
    blueprint: Blueprint, witness: Witness, given: Mapping[str, str]
) -> Blueprint:
    """Return the blueprint with the options of its questions ranked, the best first.

    One question at a time, the others at their best, twice over; `given` answers are
    not put to the test.
    """
    asked = {
        question: tuple(sorted(options, key=lambda option: option.loss))
        for question, options in blueprint.questions.items()
    }
    blueprint = replace(blueprint, questions=asked)
    before: dict[str, str] = {}
    for _ in range(ROUNDS):
        answers = blueprint.answers(given)
        if witness.silent or answers == before:
            break
        before = answers
        for question, options in asked.items():
            if question in given or len(options) == 1:
                continue
            answers = blueprint.answers(given)
            tried = [
                _tried(option, blueprint, {**answers, question: option.value}, witness)
                for option in options
            ]
            ranked = tuple(sorted(tried, key=lambda option: option.loss))
            blueprint = replace(
                blueprint, questions={**blueprint.questions, question: ranked}
            )
    return blueprint


def _tried(
    option: Option, blueprint: Blueprint, answers: Mapping[str, str], witness: Witness
) -> Option:
    """Add what the running statistics say."""
    loss = _loss(witness, blueprint, answers)
    return replace(
        option,
        loss=loss + 0.1 * option.loss,
        evidence=f"{STATISTICS} off by {loss:.3f}",
        misfit=loss,
    )


def _loss(witness: Witness, blueprint: Blueprint, answers: Mapping[str, str]) -> float:
    try:
        return witness.loss(blueprint.draft(answers))
    except CheckpointError:
        return HOPELESS
