"""Settings: what goes in comes out, and what does not fit is said in one line."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from pydantic import ValidationError

from napari_unet import settings
from napari_unet.errors import SettingsError
from napari_unet.graph_settings import Graph
from napari_unet.processing_settings import Clip, ScaleLinear, ScaleRange
from napari_unet.settings import (
    Architecture,
    Normalization,
    Opaque,
    Prediction,
    Recipe,
    Separation,
    Settings,
    Tiling,
)

KINDS = [
    kind
    for _, kind in inspect.getmembers(settings, inspect.isclass)
    if issubclass(kind, Settings) and kind is not Settings
]
# One instance of each with every field away from its default.
FULL = {
    Normalization: Normalization(
        low=2.5,
        high=98.125,
        joint_channels=True,
        joint_frames=True,
        clip=True,
        invert=True,
    ),
    Tiling: Tiling(tile=(64, 512, 256), memory_budget=2**28, border="mirror"),
    Prediction: Prediction(
        precision="bfloat16", test_time_averaging="flips", stored="uint8"
    ),
    Separation: Separation(
        seed_threshold=-0.1,
        min_seed_size=3,
        mask_threshold=0.25,
        min_size=0,
        fill_holes=False,
        keep_unseeded=True,
        connectivity=2,
        link="TZ",
        link_overlap=0.1,
    ),
    Architecture: Architecture(
        ndim=3,
        in_channels=2,
        out_channels=5,
        depth=2,
        base_channels=7,
        padded=False,
        norm="instance",
        upsampling="nearest",
        pooling=((1, 2, 2), (2, 2, 3)),
        dropout=0.125,
    ),
}
FULL[Recipe] = Recipe(
    format_version=1,
    name="cells",
    description="µm-sized",
    architecture=FULL[Architecture],
    channels=("background", "interior"),
    input_channels=("DAPI",),
    task="semantic",
    activation="sigmoid",
    pixel_size=(1.0, 0.25, 0.25),
    diameter=12.5,
    scale=0.5,
    size_volume=0.25,
    normalization=FULL[Normalization],
    preprocessing=(ScaleRange(max_percentile=99.0), Clip(min=0.0, max=1.0)),
    postprocessing=(ScaleLinear(gain=(2.0, 3.0)),),
    separation=FULL[Separation],
    training={"steps": 10, "random_seed": None},
    scores={"AP": [0.5, 0.25]},
    authors=("Ada Lovelace",),
    licence="CC0-1.0",
    cite=("10.1007/978-3-319-24574-4_28",),
    versions={"torch": "2"},
    refusal="It takes two images at once.",
)
MINIMAL = {
    Recipe: {"architecture": {}, "channels": ["interior"]},
    Graph: {"steps": [{"op": "activation", "inputs": [0]}]},
    Opaque: {"ndim": 2, "in_channels": 1, "out_channels": 2, "format": "ONNX"},
}


def plain(kind):
    return kind.parse(MINIMAL.get(kind, {}))


@pytest.mark.parametrize("kind", KINDS)
def test_json_there_and_back(kind):
    for value in [plain(kind), FULL.get(kind, plain(kind))]:
        text = value.model_dump_json()
        assert kind.parse(json.loads(text)) == value
        assert kind.parse(value.model_dump()) == value
        assert kind.parse(value.model_dump(exclude_unset=True)) == value


@pytest.mark.parametrize("kind", FULL)
def test_the_full_examples_are_full(kind):
    """So that the round trip above misses no field."""
    default = plain(kind)
    same = {name for name in kind.model_fields if name != "format_version"}
    same = {n for n in same if getattr(default, n) == getattr(FULL[kind], n)}
    assert not same


@pytest.mark.parametrize(
    "kind", [Architecture, Normalization, Prediction, Separation, Tiling]
)
def test_every_field_is_described(kind):
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_cannot_be_changed(kind):
    value = plain(kind)
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_names_are_refused_in_one_line(kind):
    given = {**MINIMAL.get(kind, {}), "colour": "red"}
    with pytest.raises(SettingsError) as caught:
        kind.parse(given)
    assert caught.value.problem == f"{kind.__name__}: there is no setting colour."
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    with pytest.raises(ValidationError):
        kind(**given)


def test_unknown_names_inside_are_named_with_their_place():
    with pytest.raises(SettingsError, match=r"no setting separation\.colour"):
        Recipe.parse({**MINIMAL[Recipe], "separation": {"colour": 1}})
    with pytest.raises(SettingsError, match="Recipe: architecture is missing"):
        Recipe.parse({"channels": ["interior"]})


BAD = [
    (Normalization, "low", [-0.1, 100.1, "a", float("nan"), float("inf"), None]),
    (Normalization, "high", [-1, 101]),
    (Tiling, "tile", [0, -5, (64, 0), (1, 2, 3, 4), 1.5, "a", None]),
    (Tiling, "memory_budget", [0, 2**24 - 1, 1e8 + 0.5]),
    (Tiling, "border", ["zero", "", None]),
    (Prediction, "precision", ["float64", "TF32"]),
    (Prediction, "test_time_averaging", ["all", True]),
    (Prediction, "stored", ["uint32", "float32"]),
    (Separation, "seed_threshold", [-1.01, 1.01, float("nan")]),
    (Separation, "mask_threshold", [-0.01, 1.01]),
    (Separation, "min_seed_size", [0, 1.5]),
    (Separation, "min_size", [-1]),
    (Separation, "connectivity", [0, 4]),
    (Separation, "link", ["X", "TT", None]),
    (Separation, "link_overlap", [-0.5, 1.5]),
    (Architecture, "ndim", [1, 4]),
    (Architecture, "in_channels", [0, 4097]),
    (Architecture, "depth", [0, 9]),
    (Architecture, "pooling", [((2, 5),), ((0, 1),), (2, 2)]),
    (Architecture, "dropout", [-0.1, 1.1]),
    (Architecture, "norm", ["group"]),
]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, name, values in BAD for value in values],
)
def test_out_of_bounds(kind, name, value):
    with pytest.raises(SettingsError) as caught:
        kind.parse({name: value})
    assert caught.value.problem.startswith(f"{kind.__name__}: {name}")
    assert "is not accepted" in caught.value.problem
    assert "\n" not in str(caught.value)


def test_long_values_are_cut_short_in_the_message():
    with pytest.raises(SettingsError) as caught:
        Tiling.parse({"border": np.zeros((40, 40))})
    assert len(caught.value.problem) < 200
    assert "\n" not in caught.value.problem


@pytest.mark.parametrize("ends", [(50, 50), (60, 40), (99.9, None), (None, 1)])
def test_the_lower_percentile_is_lower(ends):
    given = {k: v for k, v in zip(("low", "high"), ends, strict=True) if v is not None}
    with pytest.raises(SettingsError, match=r"Normalization: low = .* must be below"):
        Normalization.parse(given)
    with pytest.raises(SettingsError, match="must be below high = 40"):
        Normalization(low=50).over(Normalization(high=40))


@pytest.mark.parametrize(
    ("given", "tile"),
    [
        (256, (256,)),
        (np.int64(256), (256,)),
        ((16, 256), (16, 256)),
        ([16, 256], (16, 256)),
        (("16", "256"), (16, 256)),
        ((), ()),
    ],
)
def test_a_tile_is_one_number_or_several(given, tile):
    assert Tiling.parse({"tile": given}).tile == tile
    assert Tiling(tile=given).tile == tile


def test_over_keeps_what_the_base_set_and_the_other_did_not():
    base = Separation(seed_threshold=0.6, min_size=99)
    given = Separation(min_size=15, connectivity=2)
    result = given.over(base)
    # min_size was given, though its value is the default's.
    assert result == Separation(seed_threshold=0.6, min_size=15, connectivity=2)
    assert Separation().over(base) == base
    assert base.over(Separation()) == base
    assert result.over(FULL[Separation]) == result


def test_over_does_not_change_either():
    base, given = Separation(min_size=99), Separation(connectivity=2)
    given.over(base)
    assert base.model_fields_set == {"min_size"}
    assert given.model_fields_set == {"connectivity"}


def test_replace_is_checked_and_remembers_what_was_given():
    first = Separation(min_size=99)
    second = first.replace(connectivity=2)
    assert second.model_fields_set == {"min_size", "connectivity"}
    assert second == Separation(min_size=99, connectivity=2)
    assert first == Separation(min_size=99)
    assert first.replace() == first
    with pytest.raises(SettingsError, match="connectivity = 9"):
        first.replace(connectivity=9)
    with pytest.raises(SettingsError, match="no setting colour"):
        first.replace(colour="red")


def test_replace_inside_a_recipe():
    recipe = FULL[Recipe].replace(separation=Separation(min_size=3), name="new")
    assert recipe.separation == Separation(min_size=3)
    assert recipe.name == "new"
    assert recipe.normalization == FULL[Normalization]


def test_equal_settings_are_one_key():
    """The predictors of a model are kept by their settings."""
    assert len({Prediction(), Prediction(precision="float32")}) == 1
    assert len({Prediction(), Prediction(stored="uint8")}) == 2
