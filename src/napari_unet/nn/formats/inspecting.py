"""Inspection: what is in a checkpoint, told without running any of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.errors import UNetError
from napari_unet.nn.checkpoint import PLACES, find_model, model_of
from napari_unet.nn.formats.containers import open_checkpoint
from napari_unet.nn.formats.contents import Code, Contents, TensorInfo
from napari_unet.nn.formats.report import Report
from napari_unet.settings import Recipe

# Hints that repeat what is listed, or are long.
APART = ("layers", "modules", "ordered")


@dataclass(frozen=True)
class Inspection:
    """What is in a checkpoint, for a table, a card or JSON.

    Parameters
    ----------
    path, format, n_bytes, sha256
        Of the file of the weights.
    tensors
        The network's, in the file's order.
    metadata
        What lies beside them, as plain data.
    recipe
        Of this package's own files; of others, what would be assumed.
    code
        What could be executed; nothing was.
    notes
        What was chosen or left out while the weights were found.
    report
        What the reader recognised and assumed; None: own file, or not recognised.
    status
        ``"runs"``, ``"needs trust"`` (its own code would have to run), ``"refused"``.
    reason
        Why it does not run; empty if it does.
    """

    path: str
    format: str
    n_bytes: int
    sha256: str
    tensors: tuple[TensorInfo, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    code: tuple[Code, ...] = ()
    notes: tuple[str, ...] = ()
    report: Report | None = None
    status: str = "refused"
    reason: str = ""

    @property
    def n_parameters(self) -> int:
        """Numbers in all tensors together."""
        return sum(_product(tensor.shape) for tensor in self.tensors)

    def to_json(self) -> str:
        """Return everything as JSON, sources of code included."""
        found = dataclasses.asdict(dataclasses.replace(self, recipe=None, report=None))
        found["n_parameters"] = self.n_parameters
        found["recipe"] = self.recipe.model_dump(mode="json") if self.recipe else None
        found["report"] = dataclasses.asdict(self.report) if self.report else None
        return json.dumps(found, indent=1, default=str)


def inspect_model(
    source: str | Path, *, choices: Mapping[str, str] | None = None
) -> Inspection:
    """Tell what is in a checkpoint, and whether it would run; nothing in it is run.

    Parameters
    ----------
    source
        A bundled name or a path, as `load_model` takes them.
    choices
        Answers to what the file does not say, as `load_model` takes them.

    Raises
    ------
    CheckpointError
        If it cannot be read, is damaged, made to do harm, or holds no weights.
    """
    given = dict(choices or {})
    weights, fold = (given.pop(name, None) for name in PLACES)
    contents = open_checkpoint(find_model(source), weights=weights, fold=fold)
    found = Inspection(
        path=str(contents.path),
        format=contents.format,
        n_bytes=contents.n_bytes,
        sha256=contents.sha256,
        tensors=contents.listed,
        metadata={k: v for k, v in contents.hints.items() if k not in APART},
        code=contents.code,
        notes=contents.notes,
    )
    try:
        return _tried(found, contents, given)
    except UNetError as error:
        trusted = f"It would run its own code: {contents.needs_trust}."
        status = "needs trust" if contents.needs_trust else "refused"
        reason = f"{error.problem} {trusted}" if contents.needs_trust else str(error)
        return dataclasses.replace(found, status=status, reason=reason)


def _tried(
    found: Inspection, contents: Contents, choices: Mapping[str, str]
) -> Inspection:
    """Add what loading would find; the network of the file itself is left alone."""
    if contents.network is not None and contents.recipe is None:
        return dataclasses.replace(found, status="runs")
    model = model_of(contents, choices)
    assumed = model.report.assumed if model.report else ()
    notes = tuple(note for note in model.notes if note not in assumed)
    return dataclasses.replace(
        found, recipe=model.recipe, report=model.report, notes=notes, status="runs"
    )


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
