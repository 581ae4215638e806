"""Family: files of one origin, what is known of them, and how they are recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.deciding import Blueprint
from napari_unet.nn.formats.report import Option
from napari_unet.nn.formats.units import NOT_OURS
from napari_unet.nn.weight_files import first_line

Tensors = Mapping[str, Tensor]
Hints = Mapping[str, Any]


def _no_more(tensors: Tensors, hints: Hints) -> dict[str, str]:
    del tensors, hints
    return {}


@dataclass(frozen=True)
class Family:
    """Files of one origin.

    Parameters
    ----------
    name
        As users know it.
    pattern
        Regular expressions that each match some key of such files.
    known
        What is known of them, whatever the file.
    verified
        Whether outputs were found equal to the original's.
    confirmed
        Of a verified family, question -> the answers with which; others that the
        file's own settings give were never compared.
    untracked
        The kind of norms that have no running statistics; empty: it is open.
    more
        What is known of a particular file.
    convert
        Tensors and answers -> graph, for a network that the general reader cannot
        wire; None: it can.
    open
        What `convert` leaves open: question -> options, the likeliest first.
    """

    name: str
    pattern: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    verified: bool = False
    confirmed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    untracked: str = ""
    more: Callable[[Tensors, Hints], dict[str, str]] = _no_more
    convert: Callable[[Tensors, Mapping[str, str]], Graph] | None = None
    open: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, tensors: Tensors) -> bool:
        """Whether some key matches each of the patterns."""
        return bool(self.pattern) and all(
            any(re.search(pattern, key) for key in tensors) for pattern in self.pattern
        )

    def unconfirmed(
        self, answers: Mapping[str, str], tensors: Tensors
    ) -> tuple[str, ...]:
        """Return the answers and sizes with which no output was ever compared."""
        if not self.verified:
            return ()
        told = {**answers, "dimensions": str(_dimensions(tensors))}
        return tuple(
            f"{question} {told[question]}"
            for question, values in self.confirmed.items()
            if question in told and told[question] not in values
        )

    def answers(self, tensors: Tensors, hints: Hints) -> dict[str, str]:
        """Return what is known of a file."""
        tracked = any(key.endswith("running_mean") for key in tensors)
        norm = {"norm": self.untracked} if self.untracked and not tracked else {}
        return {**self.known, **norm, **self.more(tensors, hints)}


def _dimensions(tensors: Tensors) -> int:
    return max((tensor.ndim for tensor in tensors.values()), default=2) - 2


def convert_blueprint(family: Family, tensors: Tensors, name: str) -> Blueprint:
    """Return the one blueprint of a family that has its own way to be wired."""

    def draft(answers: Mapping[str, str]) -> Graph:
        try:
            return family.convert(tensors, answers)  # type: ignore[misc]
        except (LookupError, ValueError, SettingsError) as error:
            raise CheckpointError(
                f"{name} looks like {family.name}, but does not fit it "
                f"({first_line(error)}).",
                NOT_OURS,
            ) from error

    questions = {
        question: tuple(
            Option(value, 0.3 * n, "the usual" if n == 0 else "seldom seen")
            for n, value in enumerate(values)
        )
        for question, values in family.open.items()
    }
    return Blueprint(questions, draft)


UNKNOWN = Family("unknown")
