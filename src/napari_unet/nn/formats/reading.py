"""Reading: from anybody's tensors to a network, a recipe and a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.graph_settings import Graph
from napari_unet.nn.building import assume_recipe, build, empty_network
from napari_unet.nn.formats.copies import check_sizes, distinct
from napari_unet.nn.formats.deciding import settle
from napari_unet.nn.formats.drafting import draft
from napari_unet.nn.formats.families import UNKNOWN, Family, recognise
from napari_unet.nn.formats.layer_answers import layer_answers
from napari_unet.nn.formats.moves import Wiring
from napari_unet.nn.formats.nnunet_plans import channels_of
from napari_unet.nn.formats.questions import Questions, ask
from napari_unet.nn.formats.report import Option, Report
from napari_unet.nn.formats.units import NOT_OURS, Unit, Units, collect_units
from napari_unet.nn.formats.wiring import find_wirings
from napari_unet.nn.unet import infer_architecture
from napari_unet.settings import Recipe

CERTAIN = 0.5


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
    family = recognise(tensors, hints or {})
    if family.convert is not None:
        return _read_converted(tensors, name, family, choices or {})
    units = collect_units(tensors, name)
    wirings = _wire(units, name)
    questions = ask(units, wirings[0], tensors)
    _check_choices(choices or {}, questions, name)
    values = {q: [o.value for o in options] for q, options in questions.items()}
    facts = layer_answers(hints or {}, values)
    given = {**family.answers(tensors, hints or {}), **facts, **(choices or {})}
    tried = wirings if family is UNKNOWN else wirings[:1]
    wiring, ranked = settle(units, tried, tensors, given)
    answers = {**{q: options[0].value for q, options in ranked.items()}, **given}
    graph = draft(units, wiring, answers, family.name)
    report = Report(
        family=family.name,
        verified=family.verified and not choices,
        recognised=_recognised(units, wiring, graph),
        assumed=_assumed(ranked, given, choices or {}, facts),
        alternatives=ranked,
    )
    return _load(tensors, name, graph, report, hints)


def _read_converted(
    tensors: Mapping[str, Tensor], name: str, family: Family, choices: Mapping[str, str]
) -> Reading:
    """Read a file of a family that has its own way to be wired."""
    questions = {
        question: tuple(Option(value, float(n)) for n, value in enumerate(values))
        for question, values in family.open.items()
    }
    _check_choices(choices, questions, name)
    convert = family.convert
    try:
        graph = convert(tensors, choices) if convert else Graph.parse({})
    except (LookupError, ValueError, SettingsError) as error:
        raise CheckpointError(
            f"{name} looks like {family.name}, but does not fit it.", NOT_OURS
        ) from error
    report = Report(
        family=family.name,
        verified=family.verified and not choices,
        recognised=(_sides(graph),),
        assumed=_assumed(questions, family.known, choices),
        alternatives=questions,
    )
    return _load(tensors, name, graph, report)


def _load(
    tensors: Mapping[str, Tensor],
    name: str,
    graph: Graph,
    report: Report,
    hints: Mapping[str, Any] | None = None,
) -> Reading:
    state = _state(tensors, graph)
    recipe, notes = assume_recipe(graph, name)
    named = channels_of(hints or {})
    if len(named) == graph.out_channels:
        recipe = recipe.replace(channels=named, task="semantic")
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


def _wire(units: Units, name: str) -> list[Wiring]:
    found = find_wirings(units.units)
    gates = [unit.path for unit in units.units if _is_gate(unit)]
    if gates and (not found or found[0].unused):
        raise CheckpointError(
            f"{name} has attention gates ({gates[0]}), which cannot be rebuilt.",
            NOT_OURS,
        )
    if not found:
        raise CheckpointError(
            f"The convolutions in {name} cannot be joined to a U-Net: no order of "
            "them fits their channels.",
            NOT_OURS,
        )
    spare = [units.units[n] for n in found[0].unused]
    if any(unit.norm is not None or not unit.pointwise for unit in spare):
        raise CheckpointError(
            f"{name} holds {spare[0].path}, which has no place in a U-Net of the "
            "others.",
            NOT_OURS,
        )
    return found


def _is_gate(unit: Unit) -> bool:
    """One value a pixel, normalised: the weight that an attention gate gives."""
    one = all(way.n_out == 1 < way.n_in for way in unit.ways)
    named = re.search(r"psi|attention|(^|[._])gate", unit.path.lower())
    return (one and unit.pointwise and unit.norm is not None) or named is not None


def _check_choices(choices: Mapping[str, str], questions: Questions, name: str) -> None:
    extra = {"output": ("same", "half"), "factors": ("such as 1x2x2,2x2x2",)}
    for question, value in choices.items():
        if question == "factors":
            continue
        options = tuple(option.value for option in questions.get(question, ()))
        options = options or extra.get(question, ())
        if not options:
            raise CheckpointError(
                f"{name} leaves no question called {question} open.",
                f"Open are: {', '.join([*questions, *extra])}.",
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


def _recognised(units: Units, wiring: Wiring, graph: Graph) -> tuple[str, ...]:
    elements = [move.element for move in wiring.moves if move.element is not None]
    widths = [graph.in_channels]
    kinds = {"up": "transposed convolutions", "grow": "interpolation"}
    ups = {kinds[move.kind] for move in wiring.moves if move.kind in kinds}
    merges = {move.merge for move in wiring.moves if move.merge}
    for move in wiring.moves:
        if move.kind in {"pool", "grow", "up"}:
            continue
        if move.element is not None and move.element.n_out != widths[-1]:
            widths.append(move.element.n_out)
    blocks = sum(element.residual for element in elements)
    normed = sum(unit.norm is not None for unit in units.units)
    up, merge = " and ".join(sorted(ups)), " and ".join(sorted(merges))
    layers = f"{len(units.units)} convolutions, {normed} norms"
    return (
        f"{_sides(graph)}, depth {wiring.depth}",
        f"channels {', '.join(str(width) for width in widths)}",
        f"{layers}, up-sampling by {up}, skips: {merge}",
        *([f"{blocks} residual blocks"] if blocks else []),
    )


def _sides(graph: Graph) -> str:
    return f"{graph.ndim}-D, {graph.in_channels} channels in, {graph.out_channels} out"


def _assumed(
    ranked: Questions,
    given: Mapping[str, str],
    choices: Mapping[str, str],
    facts: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    lines = []
    for question, options in ranked.items():
        if question in choices:
            lines.append(f"{question}: {choices[question]} (your choice)")
        elif question in (facts or {}):
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
