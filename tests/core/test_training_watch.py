from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.training_doctor import History, watch
from napari_unet.core.training_watch import WATCH_RULES

FALLING = np.geomspace(1, 0.1, 200).tolist()
RISING_SCORES = np.linspace(0.1, 0.9, 10).tolist()
USUAL: dict[str, Any] = {
    "losses": FALLING,
    "scores": RISING_SCORES,
    "foreground": [0.0, 0.1, 0.2, 0.2, 0.2],
    "true_foreground": 0.2,
}


def rules(**changes: Any) -> dict[str, str]:
    found = watch(History(**{**USUAL, **changes}))
    assert all(f.found.endswith(".") and f.remedy.endswith(".") for f in found)
    return {finding.rule: finding.severity for finding in found}


def test_nothing_is_said_about_a_good_training() -> None:
    assert rules() == {}
    assert watch(History()) == []


@pytest.mark.parametrize("length", [1, 5, 19, 40])
def test_nothing_is_said_too_early(length: int) -> None:
    assert rules(losses=FALLING[:length], scores=[0.1], foreground=[0.0] * 2) == {}


def test_every_rule_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [rule for rule in WATCH_RULES if f'"{rule}"' not in text] == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(value: float) -> None:
    losses = [*FALLING[:7], value, *FALLING[7:]]
    assert rules(losses=losses) == {"loss_not_finite": "error"}
    (finding,) = watch(History(losses=losses))
    assert "at step 8" in finding.found


def test_a_rising_loss() -> None:
    assert rules(losses=FALLING[::-1]) == {"loss_rises": "warning"}
    assert rules(losses=[*FALLING, *[0.11] * 50]) == {}


@pytest.mark.parametrize("truth", [0.2, None])
def test_collapse_to_background(truth: float | None) -> None:
    black = {"foreground": [0.2, 0.0, 0.0, 0.0004], "true_foreground": truth}
    assert rules(**black) == {"predicts_background": "error"}
    assert rules(**black | {"scores": [0.0] * 9}) == {"predicts_background": "error"}
    assert rules(foreground=[0.0, 0.0, 0.15], true_foreground=truth) == {}


def test_black_is_right_where_there_is_nothing() -> None:
    assert rules(foreground=[0.0] * 5, true_foreground=0.0) == {}
    assert rules(foreground=[0.0005] * 5, true_foreground=0.001) == {}


def test_collapse_to_foreground() -> None:
    white = {"foreground": [0.5, 0.99, 1.0, 1.0]}
    assert rules(**white) == {"predicts_foreground": "error"}
    assert rules(**white, true_foreground=0.95) == {}
    assert rules(foreground=[1.0, 1.0, 0.5]) == {}


def test_overfitting_by_score_or_by_loss() -> None:
    scores = [0.3, 0.6, 0.8, 0.8, 0.7, 0.7, 0.6]
    assert rules(scores=scores) == {"overfits": "warning"}
    valley = [0.9, 0.5, 0.4, 0.5, 0.55, 0.6]
    assert rules(validation_losses=valley) == {"overfits": "warning"}
    assert rules(validation_losses=[0.9, 0.5, 0.4, 0.4, 0.41, 0.4]) == {}
    flat = [*FALLING[:20], *[0.5] * 200]
    assert "overfits" not in rules(scores=scores, losses=flat)


def test_plateau() -> None:
    scores = [0.2, 0.5, 0.8, *[0.8, 0.79, 0.8, 0.803, 0.8]]
    assert rules(scores=scores) == {"plateau": "info"}
    assert rules(scores=scores[:-1]) == {}
    assert rules(scores=[*scores, 0.82]) == {}
