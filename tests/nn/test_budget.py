"""When training validates and ends, for budgets of steps and of minutes."""

from __future__ import annotations

import pytest

from napari_unet.nn.budget import Budget
from napari_unet.nn.training_state import Progress
from napari_unet.training_settings import Training


def budget(
    progress: Progress, score_the_start: bool = False, **settings: object
) -> Budget:
    return Budget(Training.parse(settings), progress, score_the_start)


def validations(settings: dict[str, object], n: int, **more: bool) -> list[int]:
    """Steps at which a loop of `n` steps would validate, without keeping time."""
    progress = Progress()
    plan = budget(progress, **settings, **more)  # type: ignore[arg-type]
    found = []
    while True:
        if plan.is_validation_due():
            found.append(progress.step)
            progress.validated, progress.due = progress.step, plan.n_due()
        if plan.why_over():
            return found
        progress.step += 1


def test_steps_are_counted() -> None:
    assert validations({"steps": 10, "validate_every": 0.3}, 10) == [3, 6, 9, 10]
    assert validations({"steps": 10, "validate_every": 0.1}, 10) == list(range(1, 11))
    assert validations({"steps": 3, "validate_every": 1.0}, 3) == [3]
    assert validations({"steps": 2, "validate_every": 0.1}, 2) == [1, 2]


def test_a_model_that_is_trained_further_is_scored_first() -> None:
    settings = {"steps": 4, "validate_every": 0.5}
    assert validations(settings, 4, score_the_start=True) == [0, 2, 4]


def test_minutes_are_those_of_training() -> None:
    progress = Progress(seconds=90.0)
    plan = budget(progress, minutes=2)
    assert plan.fraction() == pytest.approx(0.75)
    assert plan.why_over() == ""
    progress.seconds = 121.0
    assert plan.fraction() == 1
    assert plan.why_over() == "The budget was used up."


def test_resumed_minutes_are_what_is_left() -> None:
    saved = Progress(seconds=60.0, step=100)
    plan = budget(Progress(**vars(saved)), minutes=3)
    assert plan.fraction() == pytest.approx(1 / 3)


def test_validations_take_at_most_a_fifth_of_the_time() -> None:
    progress = Progress(seconds=100.0, validated=5, step=9)
    plan = budget(progress, minutes=10, validate_every=0.01)
    plan.validation_seconds, plan.validated_at = 20.0, 30.0
    assert not plan.is_validation_due()  # 70 s since one that took 20 s
    progress.seconds = 111.0
    assert plan.is_validation_due()


def test_the_last_validation_is_never_left_out() -> None:
    progress = Progress(seconds=61.0, validated=5, step=9)
    plan = budget(progress, minutes=1)
    plan.validation_seconds, plan.validated_at = 50.0, 60.0
    assert plan.is_validation_due()
    progress.validated = 9
    assert not plan.is_validation_due()


def test_a_stop_and_patience() -> None:
    assert budget(Progress(stopped="asked"), steps=5).why_over() == "asked"
    assert budget(Progress(since_best=9), steps=5).why_over() == ""
    assert budget(Progress(since_best=1), steps=5, patience=2).why_over() == ""
    tired = budget(Progress(since_best=2), steps=5, patience=2)
    assert tired.why_over() == "The score did not rise any more."
