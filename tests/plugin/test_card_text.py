"""A model's card says what for, trained on what, and how well it did."""

from __future__ import annotations

import dataclasses

import pytest

import napari_unet as nu
from napari_unet.pipeline.model_card import card_of
from napari_unet.plugin.card_text import card_text


@pytest.fixture(scope="module")
def card():
    return card_of(nu.load_model("nuclei-fast"), "nuclei-fast")


def with_recipe(card, **changes):
    return dataclasses.replace(card, recipe=card.recipe.replace(**changes))


def test_a_bundled_model_tells_its_data_limits_and_scores(card):
    lines = card_text(card).splitlines()
    recipe = card.recipe
    assert recipe.training["limits"] in lines[0]
    assert f"objects of {recipe.diameter:.3g} px" in lines[1]
    assert lines[2] == f"Trained on: {recipe.training['data']}"
    found = recipe.scores["validation"]
    assert lines[3] == (
        f"Scores: AP@0.5 {found['ap@0.5']:.3f} (validation), "
        f"mean AP {found['mean_ap_50_90']:.3f} (validation)"
    )
    assert lines[4] == f"Licence: {recipe.licence}"


def test_scores_of_others_are_shown_as_they_are_called(card):
    text = card_text(with_recipe(card, scores={"jaccard": 0.5, "note": "good"}))
    assert "Scores: jaccard 0.500\n" in text


def test_what_is_not_known_takes_no_line(card):
    bare = with_recipe(card, description="", training={}, scores={}, licence="")
    (line,) = card_text(bare).splitlines()
    assert line.startswith("2-D, 1 channel · ")
