"""Sections of docs/accuracy.md on trainings, from rows and from readings.toml.

What a section says about a score is text with placeholders, {ROW:SCORE}, which are
filled in from the rows: a figure cannot be older than the row it comes from.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evidence import RESULTS
from evidence_rows import ROWS

READINGS = Path(__file__).with_name("readings.toml")
PLACEHOLDER = re.compile(r"\{([^{}:]+):([^{}]+)\}")
HEADINGS = {
    "ap@0.5": "AP@0.5",
    "ap@0.75": "AP@0.75",
    "mean_ap_50_90": "mean AP",
    "seg": "SEG",
    "rand_error": "Rand error",
    "v_rand": "V_Rand",
    "v_info": "V_Info",
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
    "dice of tumour, by image": "Dice of the tumour, mean of the images",
}
Rows = Mapping[str, Mapping[str, Any]]


def measured(results: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return the rows that are measured, by name."""
    paths = {name: results / f"{name}.json" for name in ROWS}
    return {
        name: json.loads(path.read_text())
        for name, path in paths.items()
        if path.exists()
    }


def sections(path: Path = READINGS) -> list[dict[str, Any]]:
    """Return what readings.toml says."""
    return tomllib.loads(path.read_text())["section"]


def filled(text: str, rows: Rows) -> str:
    """Fill in the scores; nothing if a row is not measured.

    Raises
    ------
    KeyError
        If a row has no such score.
    """
    if any(row not in rows for row, _ in PLACEHOLDER.findall(text)):
        return ""
    return PLACEHOLDER.sub(lambda m: f"{rows[m[1]][m[2]]:.3f}", " ".join(text.split()))


def page(rows: Rows) -> list[str]:
    """Return all sections.

    Parameters
    ----------
    rows
        By name, those of few_images.py among them.
    """
    return [line for section in sections() for line in _section(section, rows)]


def _section(section: dict[str, Any], rows: Rows) -> list[str]:
    names = section["rows"]
    done = [name for name in names if name in rows]
    lines = [f"### {section['title']}", "", " ".join(section["about"].split()), ""]
    lines += [f"`python benchmarks/evidence.py DATA --only {','.join(names)}`", ""]
    lines += _budget([rows[name] for name in done])
    lines += _table(names, section["columns"], rows)
    lines += _by_class([rows[name] for name in done])
    lines += [f"- {_reached(aim, rows)}" for aim in section["reach"]]
    if section["published"]:
        lines.append(f"- Published, for orientation: {section['published']}")
    for name in names:
        text = filled(section["readings"][name], rows) if name in rows else ""
        lines += [f"- *{ROWS[name].method}*: {text}"] if text else []
    lines += [f"- {_curve(rows[name])}" for name in done if rows[name]["curve"]]
    return lines if not lines[-1] else [*lines, ""]


def _budget(done: list[Mapping[str, Any]]) -> list[str]:
    trained = [row for row in done if row["steps"]]
    where = {where_of(row) for row in trained}
    return [f"Trained on {' and '.join(sorted(where))}.", ""] if where else []


def where_of(row: Mapping[str, Any]) -> str:
    """Return what a row was trained on, in words."""
    if "accelerator" in row:
        return f"one {row['accelerator']}"
    return f"{threads_of(row)} of {row['processor']}"


def threads_of(row: Mapping[str, Any]) -> str:
    """Return how many threads a row was measured with, in words."""
    return "one thread" if row["threads"] == 1 else f"{row['threads']} threads"


def _table(names: list[str], columns: list[str], rows: Rows) -> list[str]:
    head = ["method", "images", "minutes", "steps"]
    head += [HEADINGS.get(column, column) for column in columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        row = rows.get(name)
        training = ROWS[name].training
        budget = f"{training.minutes if training else 0:g}"
        cells = ["not measured yet", budget, *[""] * (len(head) - 3)]
        if row is not None:
            cells = [f"{row['images']}", f"{row['minutes']:g}", f"{row['steps']:,}"]
            cells += [f"{row[column]:.3f}" for column in columns]
        lines.append("| " + " | ".join([ROWS[name].method, *cells]) + " |")
    return [*lines, ""]


def _by_class(done: list[Mapping[str, Any]]) -> list[str]:
    """Return IoU and Dice of each class, if the rows have them."""
    keys = [key for row in done for key in row if key.startswith("iou of ")]
    names = [key.removeprefix("iou of ") for key in dict.fromkeys(keys)]
    return _class_table(names, done) if names else []


def _class_table(names: list[str], done: list[Mapping[str, Any]]) -> list[str]:
    head = ["class"]
    for row in done:
        head += [f"IoU, {row['method']}", "Dice"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        keys = [f"{score} of {name}" for score in ("iou", "dice")]
        cells = [f"{row[k]:.3f}" if k in row else "-" for row in done for k in keys]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return [*lines, ""]


def _reached(aim: dict[str, Any], rows: Rows) -> str:
    """Say what was to be reached, and whether it was."""
    word = "above" if "above" in aim else "below"
    score = HEADINGS.get(aim["score"], aim["score"])
    said = f"To reach, *{ROWS[aim['row']].method}*: {score} {word} {aim[word]:g} ({aim['source']})"
    if aim["row"] not in rows:
        return f"{said}: not measured yet."
    value = rows[aim["row"]][aim["score"]]
    good = value > aim["above"] if word == "above" else value <= aim["below"]
    return f"{said}: {'reached' if good else '**missed**'}, {value:.3f}."


def _curve(row: Mapping[str, Any]) -> str:
    name = HEADINGS.get(row["validated_by"], row["validated_by"])
    values = ", ".join(f"{value:.2f}" for value in row["curve"])
    return f"{name} of *{row['method']}* on validation images meanwhile: {values}."
