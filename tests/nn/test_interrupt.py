"""Ctrl-C: once ends training in order, twice at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from napari_unet.core.events import Note
from napari_unet.core.training_events import Report
from napari_unet.nn.interrupt import STOPPING, run_to_end
from napari_unet.settings import Architecture, Recipe

RECIPE = Recipe(architecture=Architecture(), channels=("a", "b", "c"))


def job(log: list[str], presses: tuple[int, ...]) -> Generator[Any, Any, Report]:
    """Five steps; Ctrl-C is pressed before some of them."""
    try:
        for step in range(5):
            if step in presses:
                signal.raise_signal(signal.SIGINT)
            if (yield Note(f"step {step}")) == "stop":
                log.append(f"asked at {step}")
                return Report(Path("m"), RECIPE, step, 0.0, "asked")
    finally:
        log.append("closed")
    return Report(Path("m"), RECIPE, 5, 0.0, "done")


@pytest.fixture(autouse=True)
def handler() -> Generator[None, None, None]:
    """The handler of Ctrl-C is put back, whatever happens."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before


def test_without_ctrl_c_it_runs_to_its_end() -> None:
    log: list[str] = []
    shown: list[Any] = []
    assert run_to_end(job(log, ()), shown.append).stopped == "done"
    assert shown == [Note(f"step {i}") for i in range(5)]
    assert log == ["closed"]


def test_the_first_ctrl_c_asks_and_says_so() -> None:
    log: list[str] = []
    shown: list[Any] = []
    report = run_to_end(job(log, (2,)), shown.append)
    assert (report.stopped, report.steps) == ("asked", 2)
    assert shown == [Note("step 0"), Note("step 1"), Note("step 2"), STOPPING]
    assert log == ["asked at 2", "closed"]


def test_the_second_ctrl_c_ends_at_once() -> None:
    def deaf() -> Generator[Any, Any, Report]:
        try:
            while True:
                signal.raise_signal(signal.SIGINT)
                yield Note("step")
        finally:
            log.append("closed")

    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_to_end(deaf())
    assert log == ["closed"]


def test_other_threads_run_without_it() -> None:
    found: list[Report] = []

    def work(run: Callable[..., Report]) -> None:
        found.append(run(job([], ())))

    thread = threading.Thread(target=work, args=(run_to_end,))
    thread.start()
    thread.join()
    assert found[0].stopped == "done"
