"""What a user did not choose is left to the model that training goes on from."""

from __future__ import annotations

import pytest

from napari_unet.engine.client import Compute
from napari_unet.nn.fine_tuning import adopt_settings
from napari_unet.plugin.shared_engine import borrow_engine, return_engine
from napari_unet.plugin.train_choice import TrainChoice
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


def test_who_is_busy_keeps_the_engine():
    user, elsewhere = object(), Compute("tls://elsewhere:8786")
    try:
        first = borrow_engine(user, Compute("tls://here:8786"))
        assert borrow_engine(user, elsewhere, busy=True) is first
        assert borrow_engine(user, elsewhere).compute == elsewhere
    finally:
        return_engine(user)
