"""`napari-unet inspect`: what is in a checkpoint, on one page, without running it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from napari_unet.cli.console import out
from napari_unet.cli.options import parse_choices
from napari_unet.nn.formats.inspecting import Inspection, inspect_model

LONGEST_VALUE = 200
MOST_CODE = 12
MOST_TENSORS = 40


def inspect_file(
    model: str, *, assume: Sequence[str], as_json: bool, every: bool
) -> None:
    """Print what is in a checkpoint.

    Parameters
    ----------
    model
        Bundled name or path.
    assume
        Answers to what the file does not say, each ``key=value``.
    as_json
        Everything, for programs.
    every
        Whether all tensors are listed, however many.
    """
    found = inspect_model(model, choices=parse_choices(assume))
    if as_json:
        out.print(found.to_json(), markup=False, soft_wrap=True)
        return
    for name, text in _facts(found):
        out.print(f"[bold]{name:<12}[/] {_shown(text)}")
    out.print(_tensors(found, every=every))


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    runs = {"runs": "yes", "needs trust": "with --trust only", "refused": "no"}
    yield "file", found.path
    yield "format", f"{found.format}, {_size(found.n_bytes)}"
    yield "sha256", found.sha256
    tensors = f"{len(found.tensors)} tensors, {found.n_parameters:,} numbers"
    yield "weights", tensors
    yield "runs", f"{runs[found.status]}{found.reason and ': '}{found.reason}"
    if found.recipe is not None:
        recipe = found.recipe
        arch, channels = recipe.architecture, ", ".join(recipe.channels)
        takes = f"{arch.ndim}-D, {arch.in_channels} channel(s) in"
        yield "network", f"{takes}, {channels} out ({recipe.activation})"
    for line in found.report.lines() if found.report else ():
        name, _, text = line.partition(": ")
        yield name.lower(), text
    yield from _alternatives(found)
    for note in found.notes:
        yield "note", note
    yield from _code(found)
    for key, value in found.metadata.items():
        if value not in ({}, [], None, ""):
            yield "beside", f"{key}: {_short(value)}"


def _alternatives(found: Inspection) -> Iterator[tuple[str, str]]:
    alternatives = found.report.alternatives if found.report else {}
    for question, options in alternatives.items():
        if len(options) > 1:
            values = ", ".join(option.value for option in options)
            yield "choose", f"--assume {question}=... ({values})"


def _code(found: Inspection) -> Iterator[tuple[str, str]]:
    if not found.code:
        yield "code", "none"
    for code in found.code[:MOST_CODE]:
        size = f", {_size(code.n_bytes)}" if code.n_bytes else ""
        yield "code", f"{code.name} ({code.kind}{size}), not run"
    if len(found.code) > MOST_CODE:
        yield "code", f"and {len(found.code) - MOST_CODE} more (--json lists them)"


def _tensors(found: Inspection, *, every: bool) -> Table:
    table = Table("tensor", "shape", "type", box=None, header_style="bold")
    shown = found.tensors if every else found.tensors[:MOST_TENSORS]
    for tensor in shown:
        shape = " x ".join(map(str, tensor.shape)) or "one number"
        table.add_row(_shown(tensor.name), shape, tensor.dtype)
    if len(shown) < len(found.tensors):
        table.add_row(f"and {len(found.tensors) - len(shown)} more (--all)", "", "")
    return table


def _shown(text: str) -> str:
    """Return text of a file without what would steer the terminal."""
    return escape("".join(c if c.isprintable() else "?" for c in text))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    kilo = n_bytes / 1000
    return f"{kilo:.1f} kB" if kilo < 1000 else f"{kilo / 1000:.1f} MB"
