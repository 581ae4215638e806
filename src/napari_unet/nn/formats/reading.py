"""Reading: from anybody's tensors to a network, a recipe and a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.graph_settings import Graph
from napari_unet.nn.building import assume_recipe, build, empty_network
from napari_unet.nn.formats.blueprints import search_blueprints
from napari_unet.nn.formats.copies import check_sizes, distinct
from napari_unet.nn.formats.deciding import Blueprint, Decision, settle
from napari_unet.nn.formats.families import recognise
from napari_unet.nn.formats.family import UNKNOWN, Family, convert_blueprint
from napari_unet.nn.formats.layer_answers import layer_answers
from napari_unet.nn.formats.nnunet_recipe import planned_recipe
from napari_unet.nn.formats.parametrised import plain_weights
from napari_unet.nn.formats.questions import Questions
from napari_unet.nn.formats.report import Option, Report
from napari_unet.nn.unet import infer_architecture
from napari_unet.settings import Recipe

# Answers that may be given although they are not on the list.
FREE = {
    "factors": re.compile(r".+"),
    "norm": re.compile(r"group_\d+"),
    "activation": re.compile(r"leaky_relu_\d*\.?\d+"),
    "pooling": re.compile(r"max_3"),  # windows of 3 pixels, 2 apart
    "epsilon": re.compile(r"\d*\.?\d+(e-\d+)?"),
}
EXTRA = {"output": ("same", "half", "plus_input"), "epsilon": ("1e-5",)}

UNSEEN = (
    "what leaves no trace in tensors: no dilation, epsilon of norms 1e-5, the result "
    "not added to the image (choices epsilon and output=plus_input say otherwise)"
)
# What holds for every family that is known.
USUAL = {"decoder_activation": "as_encoder"}


@dataclass(frozen=True)
class Reading:
    """A network that was read off its tensors.

    Parameters
    ----------
    network
        Strictly loaded, in eval mode, without gradients; gives logits.
    recipe
        Rebuilds it, together with its state dict.
    report
        What the reading rests on.
    """

    network: nn.Module
    recipe: Recipe
    report: Report


def read_network(
    tensors: Mapping[str, Tensor],
    name: str,
    *,
    choices: Mapping[str, str] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Reading:
    """Rebuild the network that `tensors` belong to.

    Parameters
    ----------
    tensors
        A state dict, in the order of its file, without prefixes of wrappers.
    name
        Of the file, for messages and the recipe.
    choices
        Answers to what shapes cannot tell, such as ``{"padding": "valid"}``; the
        report's alternatives list the questions.
    hints
        Plain metadata found beside the tensors.

    Raises
    ------
    CheckpointError
        If they are not those of a U-Net that can be rebuilt.
    """
    if "form" in tensors and "encoder.0.conv1.weight" in tensors:
        return _read_own(tensors, name)
    check_sizes(tensors, name)
    tensors, written_out = plain_weights(tensors)
    choices, hints = choices or {}, hints or {}
    family = recognise(tensors, hints)
    blueprints = _blueprints(family, tensors, name)
    questions = blueprints[0].questions
    _check_choices(choices, questions, name)
    values = {q: [o.value for o in options] for q, options in questions.items()}
    facts = layer_answers(hints, values)
    usual = {} if family is UNKNOWN else USUAL
    given = {**usual, **family.answers(tensors, hints), **facts, **choices}
    decision = settle(blueprints, tensors, given)
    unconfirmed = family.unconfirmed(decision.answers, tensors)
    unseen = (UNSEEN,) if family is UNKNOWN else ()
    guessed = tuple(
        f"{question} {options[0].value}"
        for question, options in decision.blueprint.questions.items()
        if len(options) > 1 and question not in given
    )
    report = Report(
        family=family.name,
        verified=family.verified and not choices and not unconfirmed,
        recognised=(*_recognised(decision), *written_out),
        assumed=(*_assumed(decision, given, choices, facts), *unseen),
        alternatives=decision.blueprint.questions,
        answers=dict(decision.answers),
        guessed=guessed,
        unconfirmed=unconfirmed,
        misfit=decision.misfit,
    )
    return _load(tensors, name, decision.graph, report, hints)


def _blueprints(
    family: Family, tensors: Mapping[str, Tensor], name: str
) -> list[Blueprint]:
    """Return the ways to run the tensors; one where the family is known."""
    if family.convert is not None:
        return [convert_blueprint(family, tensors, name)]
    found = search_blueprints(tensors, name, family.name)
    return found if family is UNKNOWN else found[:1]


def _load(
    tensors: Mapping[str, Tensor],
    name: str,
    graph: Graph,
    report: Report,
    hints: Mapping[str, Any],
) -> Reading:
    state = _state(tensors, graph)
    assumed, notes = assume_recipe(graph, name)
    recipe, planned = planned_recipe(assumed, hints)
    notes = planned or notes
    told = replace(
        report,
        assumed=(*report.assumed, *notes),
        unused=_unused(tensors, state),
    )
    return Reading(build(graph, state, name), recipe, told)


def _read_own(tensors: Mapping[str, Tensor], name: str) -> Reading:
    architecture = infer_architecture(tensors, name)
    recipe, notes = assume_recipe(architecture, name)
    report = Report("napari-unet", verified=True, assumed=notes)
    return Reading(build(architecture, tensors, name), recipe, report)


def _check_choices(choices: Mapping[str, str], questions: Questions, name: str) -> None:
    for question, value in choices.items():
        if question in FREE and FREE[question].fullmatch(value):
            continue
        options = tuple(option.value for option in questions.get(question, ()))
        options = options or EXTRA.get(question, ())
        if not options:
            raise CheckpointError(
                f"{name} leaves no question called {question} open.",
                f"Open are: {', '.join(dict.fromkeys([*questions, *EXTRA]))}.",
            )
        if value not in options:
            raise CheckpointError(
                f"{value} is no answer to {question}.",
                f"Choose one of: {', '.join(options)}.",
            )


def _state(tensors: Mapping[str, Tensor], graph: Graph) -> dict[str, Tensor]:
    """Return the tensors that `graph` takes; a missing count of batches is zero."""
    wanted = empty_network(graph).state_dict()
    state = {key: tensors[key] for key in wanted if key in tensors}
    for key in wanted.keys() - state.keys():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
    return state


def _recognised(decision: Decision) -> tuple[str, ...]:
    shape, *others = decision.blueprint.recognised or ("",)
    sides = _sides(decision.graph)
    return (f"{sides}, {shape}" if shape else sides, *others)


def _sides(graph: Graph) -> str:
    return f"{graph.ndim}-D, {graph.in_channels} channels in, {graph.out_channels} out"


def _assumed(
    decision: Decision,
    given: Mapping[str, str],
    choices: Mapping[str, str],
    facts: Mapping[str, str],
) -> tuple[str, ...]:
    lines = []
    for question, options in decision.blueprint.questions.items():
        if question in choices:
            lines.append(f"{question}: {choices[question]} (your choice)")
        elif question in facts:
            lines.append(f"{question}: {given[question]} (as its layers say)")
        elif question in given:
            lines.append(f"{question}: {given[question]} (as the family does)")
        elif len(options) > 1:
            lines.append(_line(question, options))
    return tuple(lines)


def _line(question: str, options: tuple[Option, ...]) -> str:
    best, second = options[:2]
    margin = second.loss - best.loss
    return (
        f"{question}: {best.value} ({best.evidence}); next {second.value} "
        f"({second.evidence}; margin {margin:.3f})"
    )


def _unused(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> tuple[str, ...]:
    single = distinct(tensors)
    left = [key for key in single if key not in state]
    copies = len(tensors) - len(single)
    return (
        *(f"{key} {tuple(single[key].shape)}" for key in left),
        *([f"{copies} tensors that are there under another name"] if copies else []),
    )
