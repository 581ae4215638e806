"""`napari-unet train`: from a folder to a model that segments, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_unet.cli.app import app
from napari_unet.cli.options import flag_fields
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.errors import SettingsError, UNetError
from napari_unet.nn.checkpoint import load_model
from napari_unet.settings import Normalization
from napari_unet.training_settings import Augmentation, Loss, Training

TINY = ["--depth", "1", "--base-channels", "2", "--patch", "32", "--batch", "1"]
FEW = [*TINY, "--steps", "2", "--precision", "float32", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five simulated images in images/, their labels in labels/."""
    root = tmp_path / "data"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for seed in range(5):
        image, labels = simulate(
            Simulation(shape=(48, 64), diameter=12, random_seed=seed)
        )
        tifffile.imwrite(root / "images" / f"{seed}.tif", image)
        tifffile.imwrite(root / "labels" / f"{seed}.tif", labels.astype(np.uint16))
    return root


def run(*arguments: object) -> str:
    """Run the shell command; return what it said, errors as they are raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_train_segment_evaluate(folder: Path, tmp_path: Path) -> None:
    model, labels = tmp_path / "mine.safetensors", tmp_path / "labels"
    said = run("train", folder / "images", folder / "labels", "-o", model, *FEW)
    assert "5 pairs" in said
    assert "images/3.tif <- labels/3.tif (same name)" in said
    assert "The budget was used up." in said
    assert load_model(model).recipe.training["steps"] == 2
    run("segment", folder / "images", "-m", model, "-o", labels)
    scores = json.loads(run("evaluate", labels, folder / "labels", "--json"))
    assert scores["n_images"] == 5


def test_a_dry_run_shows_the_plan_and_draws_the_sheet(
    folder: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    said = run("train", folder, "--dry-run", "--sheet", sheet, *FEW)
    assert "1 of 5 images are kept for validation." in said
    assert "background, interior, boundary" in said
    with Image.open(sheet) as picture:
        # 12 patches of 32 px in 2 columns, each with its weights, and gaps of 4 px.
        assert picture.size == (2 * (64 + 4) + 4, 6 * (32 + 4) + 4)
    assert list(tmp_path.glob("*.safetensors")) == []


def test_flags_and_presets_reach_the_recipe(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    flags = ["--loss-preset", "falk2019", "--sigma", "4", "--no-flips", "--high", "99"]
    more = ["--augmentation-preset", "light", "--scale", "0.9,1.1", "--json"]
    said = run("train", folder, "-o", model, *FEW, *flags, *more)
    report = json.loads(said[said.index("\n{") :])
    assert report["steps"] == 2
    used = Training.parse(load_model(model).recipe.training["settings"])
    assert used.loss == Loss.falk2019().replace(sigma=4.0)
    light = Augmentation.light().replace(flips=False, scale=(0.9, 1.1))
    assert used.augmentation == light
    assert used.normalization.high == 99


def test_a_model_is_trained_further(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    run("train", folder, "-o", first, *FEW)
    run("train", folder, "-o", second, *FEW, "--from", first)
    origin = load_model(second).recipe.training["from"]
    assert origin == {"name": "a", "sha256": load_model(first).sha256}


def test_masks_become_objects(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "labels").iterdir():
        mask = (tifffile.imread(path) > 0) * np.uint8(255)
        tifffile.imwrite(path, mask)
    with pytest.raises(UNetError, match="mask of 0 and 255"):
        run("train", folder, "-o", tmp_path / "m.safetensors", *FEW)
    run("train", folder, "-o", tmp_path / "m.safetensors", *FEW, "--components")


def test_semantic_masks_from_png_to_scores(folder: Path, tmp_path: Path) -> None:
    """0 and 255, as most programs save masks: trained, segmented and evaluated."""
    for path in (folder / "labels").iterdir():
        mask = (tifffile.imread(path) > 0) * np.uint8(255)
        Image.fromarray(mask).save(path.with_suffix(".png"))
        path.unlink()
    model, labels = tmp_path / "m.safetensors", tmp_path / "labels"
    said = run("train", folder, "-o", model, *FEW, "--target", "semantic")
    assert "The labels are masks of 0 and 255: 255 is taken for class 1." in said
    assert load_model(model).recipe.channels == ("background", "class_1")
    run("segment", folder / "images", "-m", model, "-o", labels)
    said = run("evaluate", labels, folder / "labels", "--classes", "2")
    scores = json.loads(said[said.index("{") :])
    assert set(scores["iou"]) == {"0", "1"}
    found = np.stack([tifffile.imread(labels / f"{n}.tif") for n in range(5)])
    truth = [np.asarray(Image.open(folder / "labels" / f"{n}.png")) for n in range(5)]
    right = np.mean((found > 0) == (np.stack(truth) > 0))
    assert scores["pixel_accuracy"] == pytest.approx(right)


def test_sizes_and_units_reach_the_recipe(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    flags = ["--pixel-size", "0.5", "--image-scale", "0.75"]
    loss = ["--sigma", "2", "--sigma-unit", "micrometres"]
    said = run("train", folder, "-o", model, *FEW, *flags, *loss)
    assert "Images are scaled by 0.75 before training" in said
    recipe = load_model(model).recipe
    assert recipe.scale == 0.75
    assert recipe.pixel_size == pytest.approx((0.5 / 0.75,) * 2)
    assert recipe.training["settings"]["loss"]["sigma_unit"] == "micrometres"
    said = run("train", folder, "--dry-run", *FEW, "--from", "nuclei-fast")
    assert "scale_to=diameter" in said
    flags = ["--from", "nuclei-fast", "--scale-to", "diameter"]
    said = run("train", folder, "--dry-run", *FEW, *flags)
    assert "median diameter   20." in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "has no name"),
        (["-o", "m.pt"], "no name for a checkpoint"),
        (["-o", "nowhere/m.safetensors"], "does not exist"),
        (["--dry-run", "--loss-preset", "best"], "is no preset"),
        (["--dry-run", "--augmentation-preset", "best"], "is no preset"),
        (["--dry-run", "--patch", "1,2"], None),
        (["--dry-run", "--patch", "1,2,3"], "3 axes"),
        (["--dry-run", "--scale", "1"], "scale"),
    ],
)
def test_mistakes_are_named(
    folder: Path, arguments: list[str], problem: str | None
) -> None:
    if problem is None:
        run("train", folder, *arguments)
        return
    with pytest.raises(UNetError, match=problem):
        run("train", folder, *arguments)


def test_an_existing_model_is_kept(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    run("train", folder, "-o", model, *FEW)
    before = model.read_bytes()
    for flags, problem in (([], "exists already"), (["--resume"], "is finished")):
        with pytest.raises(UNetError, match=problem):
            run("train", folder, "-o", model, *FEW, *flags)
    assert model.read_bytes() == before
    run("train", folder, "-o", model, *FEW, "--steps", "3", "--overwrite")
    assert load_model(model).recipe.training["steps"] == 3


def test_every_setting_is_one_flag() -> None:
    names = [
        name
        for group in (Training, Loss, Augmentation, Normalization)
        for name in flag_fields(group)
    ]
    assert len(names) == len(set(names))
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    flags = [flag for p in command.params for flag in (*p.opts, *p.secondary_opts)]
    assert len(flags) == len(set(flags))
    assert {f"--{name.replace('_', '-')}" for name in names} <= set(flags)


def test_unknown_values_are_settings_errors(folder: Path) -> None:
    with pytest.raises(SettingsError, match="target"):
        run("train", folder, "--dry-run", "--target", "four_class")
