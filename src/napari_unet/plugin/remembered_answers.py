"""Remembered answers: what a user said of a checkpoint, for the next time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from napari_unet.plugin.preferences import models_page

# Files whose answers are kept, the last one first.
N_KEPT = 32

_LINES = TypeAdapter(dict[str, tuple[str, dict[str, str]]])


@dataclass(frozen=True)
class Answers:
    """What a user said of a checkpoint.

    Parameters
    ----------
    choices
        As in `load_model`.
    sha256
        Of the file that was meant; empty: whatever file it is.
    """

    choices: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""


def answers_to(checkpoint: str) -> Answers | None:
    """Return what was said of a checkpoint; None: it was never asked for."""
    sha256, choices = _read().get(checkpoint, ("", None))
    return None if choices is None else Answers(choices, sha256)


def remember_answers(checkpoint: str, answers: Answers) -> None:
    """Keep what was said of a checkpoint."""
    others = {path: said for path, said in _read().items() if path != checkpoint}
    said = {checkpoint: (answers.sha256, dict(answers.choices)), **others}
    models_page().answers = json.dumps(dict(list(said.items())[:N_KEPT]))


def _read() -> dict[str, tuple[str, dict[str, str]]]:
    """Return what is kept; nothing, if someone has edited it in a wrong way."""
    with contextlib.suppress(ValidationError):
        return _LINES.validate_json(models_page().answers or "{}")
    return {}
