"""nnU-Net's plans, against its formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.core.processing import measure_steps
from napari_unet.nn.formats.nnunet_recipe import planned_recipe
from napari_unet.settings import Architecture, Recipe

INTENSITIES = {
    "0": {"mean": 90.0, "std": 30.0, "percentile_00_5": 20.0, "percentile_99_5": 180.0},
    "1": {"mean": 5.0, "std": 2.0, "percentile_00_5": 1.0, "percentile_99_5": 9.0},
}


def hints(schemes: list[str], **more: Any) -> dict[str, Any]:
    plans = {
        "configurations": {
            "2d": {
                "spacing": more.pop("spacing", [1.0, 1.0]),
                "normalization_schemes": schemes,
                "use_mask_for_norm": more.pop("masked", [False] * len(schemes)),
            }
        },
        "foreground_intensity_properties_per_channel": INTENSITIES,
        "transpose_forward": [0, 1, 2],
        "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
        **more.pop("plans", {}),
    }
    return {"plans": plans, "dataset": more}


def recipe_of(n_channels: int, given: dict[str, Any]) -> tuple[Recipe, tuple[str, ...]]:
    architecture = Architecture(in_channels=n_channels)
    channels = ("background", "interior", "boundary")
    return planned_recipe(Recipe(architecture=architecture, channels=channels), given)


def applied(recipe: Recipe, image: np.ndarray) -> np.ndarray:
    (found,) = measure_steps(
        [lambda region: image[(slice(None), *region)]],
        image.shape[1:],
        image.dtype,
        recipe.preprocessing,
    )
    return found.apply(image)


def z_score(channel: np.ndarray, number: int) -> np.ndarray:
    return (channel - channel.mean()) / max(channel.std(), 1e-8)


def ct(channel: np.ndarray, number: int) -> np.ndarray:
    told = INTENSITIES[str(number)]
    cut = np.clip(channel, told["percentile_00_5"], told["percentile_99_5"])
    return (cut - told["mean"]) / max(told["std"], 1e-8)


def rescaled(channel: np.ndarray, number: int) -> np.ndarray:
    raised = channel - channel.min()
    return raised / max(raised.max(), 1e-8)


@pytest.mark.parametrize(
    ("scheme", "formula"),
    [
        ("ZScoreNormalization", z_score),
        ("CTNormalization", ct),
        ("RescaleTo01Normalization", rescaled),
        ("RGBTo01Normalization", lambda channel, number: channel / 255),
        ("NoNormalization", lambda channel, number: channel),
    ],
)
def test_images_are_normalised_as_by_nnunet(scheme: str, formula: Any):
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, [[[50.0]], [[3.0]]], (2, 40, 30)).astype(np.float32)
    recipe, notes = recipe_of(2, hints([scheme, scheme]))
    wanted = [formula(c.astype(np.float64), n) for n, c in enumerate(image)]
    np.testing.assert_allclose(applied(recipe, image), wanted, rtol=2e-5, atol=2e-5)
    assert recipe.refusal == ""
    assert any(scheme in note for note in notes)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (hints(["ZScoreNormalization", "CTNormalization"]), "different ways"),
        (hints(["ZScoreNormalization"]), "different ways"),
        (hints(["ZScoreNormalization"] * 2, masked=[True, False]), "inside a mask"),
        (hints(["Mine"] * 2), "by Mine, which is not known"),
        (
            hints(
                ["CTNormalization"] * 2,
                plans={"foreground_intensity_properties_per_channel": {"0": {}}},
            ),
            "lack the intensities",
        ),
        (
            hints(["NoNormalization"] * 2, plans={"transpose_forward": [1, 0, 2]}),
            "order",
        ),
    ],
)
def test_what_no_step_does_is_refused(given: dict[str, Any], reason: str):
    recipe, notes = recipe_of(2, given)
    assert reason in recipe.refusal
    assert recipe.refusal in notes


@pytest.mark.parametrize(
    ("spacing", "ending", "size"),
    [
        ([1.0, 1.0], ".tif", None),
        ([0.5, 0.25], ".tif", (0.5, 0.25)),
        ([0.5, 0.25], ".nii.gz", (500.0, 250.0)),
        ([0.5, -1.0], ".tif", None),
        (None, ".tif", None),
    ],
)
def test_pixel_size_is_the_spacing(spacing: Any, ending: str, size: Any):
    given = hints(["NoNormalization"], spacing=spacing, file_ending=ending)
    assert recipe_of(1, given)[0].pixel_size == size


def test_slices_share_the_numbers_of_their_stack():
    stacks = {"original_median_spacing_after_transp": [3.0, 1.0, 1.0]}
    for plans, joint in ((stacks, True), ({}, False)):
        given = hints(["ZScoreNormalization"], plans=plans)
        (step,) = recipe_of(1, given)[0].preprocessing
        assert step.joint_samples is joint


def test_without_plans_nothing_is_said():
    recipe, notes = recipe_of(1, {})
    assert notes == ()
    assert recipe.preprocessing == ()


def test_the_crop_that_is_left_out_is_told():
    _, notes = recipe_of(1, hints(["ZScoreNormalization"]))
    assert any("crops an image to the box" in note for note in notes)
    assert recipe_of(1, {})[1] == ()
