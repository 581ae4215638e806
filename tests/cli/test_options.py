"""Flags are the fields of the settings, with their defaults left to the model."""

from __future__ import annotations

import inspect

import pytest

from napari_unet.cli import app
from napari_unet.cli.options import numbers, parse_flags, split
from napari_unet.cli.place import Place
from napari_unet.errors import SettingsError
from napari_unet.settings import Normalization, Prediction, Separation, Tiling


def test_every_setting_has_a_flag_with_its_help(run):
    shown = run("segment", "--help").out
    words = " ".join(shown.replace("│", " ").split())
    for group in (Place, Separation, Tiling, Prediction, Normalization):
        for name, field in group.model_fields.items():
            assert f"--{name.replace('_', '-')}" in words
            assert field.description.split(".")[0].split()[0] in words


def test_what_is_not_given_is_not_set():
    nothing = dict.fromkeys(Separation.model_fields)
    assert parse_flags(Separation, nothing).model_fields_set == set()
    given = parse_flags(Separation, {**nothing, "min_size": "7", "fill_holes": False})
    assert given.model_fields_set == {"min_size", "fill_holes"}
    assert (given.min_size, given.fill_holes) == (7, False)


@pytest.mark.parametrize(("text", "tile"), [("64", (64,)), ("8, 64,32", (8, 64, 32))])
def test_lists(text, tile):
    assert parse_flags(Tiling, {"tile": text}).tile == tile


def test_numbers_and_names():
    assert split(" a, b ,,c") == ("a", "b", "c")
    assert numbers("2,0.5", "--x") == (2.0, 0.5)
    assert numbers(None, "--x") == ()
    with pytest.raises(SettingsError, match="--x a is no list of numbers"):
        numbers("a", "--x")


def test_the_commands_keep_their_own_parameters():
    parameters = inspect.signature(app.segment).parameters
    assert "images" in parameters
    assert "seed_threshold" in parameters
    assert "separation" not in parameters
