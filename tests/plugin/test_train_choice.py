"""What a user did not choose is left to the model that training goes on from."""

from __future__ import annotations

import threading

import pytest
import torch

from napari_unet.engine.client import Compute, Engine
from napari_unet.engine.training_tasks import load_start
from napari_unet.nn.checkpoint import BUNDLED, load_model
from napari_unet.nn.fine_tuning import adopt_settings
from napari_unet.nn.training_state import fingerprint
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.remembered_answers import Answers, remember_answers
from napari_unet.plugin.shared_engine import borrow_engine, return_engine
from napari_unet.plugin.train_choice import TrainChoice, start_of
from napari_unet.settings import Architecture, Normalization, Recipe
from napari_unet.training_settings import Loss, Training

NORMALIZATION = Normalization(low=3.0, high=97.0, invert=True)
CHANNELS = ("background", "interior", "boundary", "distance")


def recipe(channels=CHANNELS, task="instances"):
    architecture = Architecture(out_channels=len(channels))
    return Recipe(
        architecture=architecture,
        channels=channels,
        task=task,
        normalization=NORMALIZATION,
    )


@pytest.mark.parametrize(
    ("channels", "task", "target"),
    [
        (CHANNELS, "instances", "distance"),
        (CHANNELS[:2], "instances", "two_class"),
        (("background", "root", "soil"), "semantic", "semantic"),
    ],
)
def test_a_model_keeps_its_target_and_normalisation(channels, task, target):
    choice = TrainChoice(start="mine", network=Training(batch=7), w0=20.0)
    adopted = adopt_settings(choice.training(), recipe(channels, task))
    assert adopted.loss == Loss(target=target, w0=20.0)
    assert adopted.normalization == NORMALIZATION
    assert adopted.batch == 7


def test_a_model_keeps_them_from_a_form_that_names_every_field():
    network = Training.parse({**Training().model_dump(), "batch": 7})
    adopted = adopt_settings(TrainChoice(network=network).training(), recipe())
    assert adopted.loss == Loss(target="distance")
    assert adopted.normalization == NORMALIZATION
    assert adopted.batch == 7


def test_what_was_chosen_holds_against_the_model():
    network = Training(normalization=Normalization(high=90.0))
    choice = TrainChoice(loss="falk2019", network=network)
    adopted = adopt_settings(choice.training(), recipe())
    assert (adopted.loss.target, adopted.loss.formula) == ("two_class", "falk2019")
    assert adopted.normalization == NORMALIZATION.replace(high=90.0)


def pooling_of(choice: TrainChoice) -> list[str]:
    """How the model to go on from pools, as a worker reads it."""
    steps = load_start(start_of(choice)).recipe.architecture.steps
    return [step.kind for step in steps if step.op == "pool"]


def test_the_start_is_read_with_the_answers_given_in_segment(tmp_path):
    torch.manual_seed(0)
    conv, up = torch.nn.Conv2d, torch.nn.ConvTranspose2d
    parts = {
        "enc": torch.nn.Sequential(conv(1, 4, 3), torch.nn.ReLU(), conv(4, 4, 3)),
        "deep": torch.nn.Sequential(conv(4, 8, 3), torch.nn.ReLU(), conv(8, 8, 3)),
        "up": up(8, 4, 2, stride=2),
        "dec": torch.nn.Sequential(conv(8, 4, 3), torch.nn.ReLU(), conv(4, 4, 3)),
        "out": conv(4, 3, 1),
    }
    path = tmp_path / "theirs.pth"
    torch.save(torch.nn.ModuleDict(parts).state_dict(), path)
    choice, average = TrainChoice(start=str(path)), {"pooling": "average"}
    assert pooling_of(choice) == ["max"], "guessed"

    remember_answers(str(path), Answers(average, load_model(path).sha256))
    assert pooling_of(choice) == ["average"]
    assert pooling_of(choice.replace(choices={"pooling": "max"})) == ["max"], "a script"

    remember_answers(str(path), Answers(average, "of a file that was here before"))
    assert pooling_of(choice) == ["max"]
    assert start_of(TrainChoice()) is None

    first, second = (
        load_start(start_of(choice.replace(choices={"pooling": kind})))
        for kind in ("max", "average")
    )
    # The weights are the same; what is resumed is not.
    assert fingerprint(Training(), [], first) != fingerprint(Training(), [], second)
    assert fingerprint(Training(), [], first) == fingerprint(Training(), [], first)


def test_answers_to_a_file_before_do_not_fit_one_that_asks_nothing(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes((BUNDLED / "nuclei.safetensors").read_bytes())
    remember_answers(str(path), Answers({"pooling": "average"}, "of another file"))
    found = load_start(start_of(TrainChoice(start=str(path))))
    assert found.sha256 == load_model(path).sha256


def test_a_job_keeps_the_engine_that_its_owner_gives_back(qtbot, monkeypatch):
    closed = []
    monkeypatch.setattr(Engine, "close", lambda engine: closed.append(engine))
    user, job, go_on = object(), EngineJob(), threading.Event()
    first = borrow_engine(user, Compute("tls://here:8786"))
    job.start_on(first, once(lambda: go_on.wait(60)))
    assert job.engine is first
    second = borrow_engine(user, Compute("tls://elsewhere:8786"))
    assert second is not first
    assert closed == []
    with qtbot.waitSignal(job.stopped):
        go_on.set()
    assert job.engine is None
    qtbot.waitUntil(lambda: closed == [first])

    go_on.clear()
    job.start_on(second, once(lambda: go_on.wait(60)))
    job.start_on(second, once(lambda: 1))  # the last one counts, and holds it
    return_engine(user)
    assert job.engine is second
    with qtbot.waitSignal(job.stopped):
        go_on.set()
    qtbot.waitUntil(lambda: closed == [first, second])

    third = borrow_engine(user, Compute("tls://here:8786"))
    go_on.clear()
    job.start_on(third, once(lambda: go_on.wait(60)))
    return_engine(user)
    with qtbot.waitSignal(job.stopped):
        job.cancel()  # who waits for nothing holds nothing
        qtbot.waitUntil(lambda: closed == [first, second, third])
        go_on.set()
