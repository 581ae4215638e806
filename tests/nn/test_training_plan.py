"""The plan of a training: pooling, patch, recipe, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_unet as nu
from napari_unet.core.training_events import StepDone
from napari_unet.errors import ChannelsError, SettingsError
from napari_unet.io.training_data import from_arrays
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.fitting import fit_images
from napari_unet.nn.optimisation import (
    choose_precision,
    make_optimizer,
    peak_rate,
    rate_factor,
    update_average,
)
from napari_unet.nn.preparation import prepare
from napari_unet.nn.samples import common_pixel_size, median_diameter
from napari_unet.nn.training_plan import choose_pooling, plan_training
from napari_unet.nn.unet import UNet, ronneberger2015
from napari_unet.processing_settings import ScaleLinear, ZeroMeanUnitVariance
from napari_unet.settings import Architecture, Recipe
from napari_unet.training_settings import Training

TINY = Training(
    steps=2, base_channels=2, depth=2, patch=32, batch=2, precision="float32"
)


def blank(shape: tuple[int, ...], **sizes: float) -> TrainingImage:
    labels = np.zeros(shape, np.int32)
    labels[..., 2:6, 2:6], labels[..., 8:12, 8:12] = 1, 2
    return TrainingImage(np.zeros((1, *shape), np.float32), labels, "x", sizes)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((1.0, 1.0), ()),
        ((1.0, 1.0, 1.0), ()),
        ((1.9, 1.0, 1.0), ()),
        ((2.0, 1.0, 1.0), ((1, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((5.0, 1.0, 1.0), ((1, 2, 2), (1, 2, 2), (2, 2, 2))),
        ((100.0, 1.0, 1.0), ((1, 2, 2),) * 3),
    ],
)
def test_coarse_axes_are_pooled_later(
    spacing: tuple[float, ...], expected: tuple[tuple[int, ...], ...]
) -> None:
    assert choose_pooling(spacing, 3) == expected


@pytest.mark.parametrize(
    ("image", "asked", "expected"),
    [
        (blank((300, 400)), (), (256, 256)),
        (blank((60, 400)), (), (64, 256)),  # no longer than the image, divisible by 16
        (blank((300, 400)), (100,), (112, 112)),
        (blank((300, 400)), (100, 33), (112, 48)),
        (blank((80, 80, 80)), (), (64, 64, 64)),
        # As many voxels, and as deep as wide: 80.6 um, rounded up by 8 and by 16.
        (blank((99, 200, 200), Z=2.0, Y=1.0, X=1.0), (), (40, 96, 96)),
    ],
)
def test_patches(
    image: TrainingImage, asked: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    training = Training(base_channels=1, patch=asked)
    assert plan_training([image], training).patch == expected


def test_pixel_sizes_that_agree_are_kept() -> None:
    same = [blank((20, 20), Y=0.5, X=0.5), blank((20, 20), Y=0.502, X=0.5)]
    assert common_pixel_size(same) == (0.5, 0.5)
    assert common_pixel_size([*same, blank((20, 20), Y=0.6, X=0.6)]) is None
    assert common_pixel_size([*same, blank((20, 20))]) is None
    assert median_diameter(same) == pytest.approx(2 * np.sqrt(16 / np.pi), rel=2e-3)


def test_thresholds_begin_where_the_objects_or_the_model_say() -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((10, 10), np.int32))
    images = from_arrays([(rng.random((40, 40)), labels.astype(np.int32))])
    new = plan_training(images, Training(depth=2, base_channels=4)).model
    assert new.recipe.separation == nu.Separation(min_seed_size=10)
    tuned = nu.Separation(min_seed_size=12, seed_threshold=0.4)
    trained = Model(new.network, new.recipe.replace(separation=tuned))
    further = plan_training(images, Training(), trained).model
    assert further.recipe.separation == tuned


def test_a_pixel_has_no_statistics() -> None:
    images = [blank((64, 64))] * 2
    training = TINY.replace(depth=4, patch=16)
    plan_training(images, training.replace(batch=2))
    with pytest.raises(SettingsError, match="one pixel at the bottom"):
        plan_training(images, training.replace(batch=1))


def test_a_valid_network_is_trained_further(
    discs: Callable[..., Any], tmp_path: Path
) -> None:
    """The network of 2015: no padding, no norm, a target smaller than the patch."""
    architecture = ronneberger2015(base_channels=2).replace(depth=2, dropout=0.5)
    recipe = Recipe(architecture=architecture, channels=("background", "interior"))
    model = Model(UNet(architecture), recipe)
    pairs = [discs(i) for i in range(3)]
    losses = []
    for name in "ab":
        out = tmp_path / f"{name}.safetensors"
        job = nu.iter_train(pairs, out, training=TINY.replace(patch=60), model=model)
        steps = [event for event in job if isinstance(event, StepDone)]
        losses.append([event.losses["total"] for event in steps])
        assert not nu.load_model(out).recipe.architecture.padded
    # Dropout follows from the seed as well.
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]


def test_steps_that_training_does_not_take_are_not_kept(
    discs: Callable[..., Any],
) -> None:
    """Patches are scaled by the percentiles alone: `segment` must do the same."""
    architecture = Architecture(base_channels=2, depth=2, out_channels=3)
    recipe = Recipe(
        architecture=architecture,
        channels=("background", "interior", "boundary"),
        preprocessing=(ZeroMeanUnitVariance(),),
        postprocessing=(ScaleLinear(gain=(0.5,), offset=(0.0,)),),
    )
    model = Model(UNet(architecture), recipe)
    start = plan_training(from_arrays([discs(0)]), TINY, model)
    assert start.fine_tuning
    kept = start.model.recipe
    assert (kept.preprocessing, kept.postprocessing) == ((), ())


def test_without_any_budget_training_is_refused() -> None:
    with pytest.raises(SettingsError, match="give minutes or steps"):
        Training.parse({"minutes": None})
    assert Training.parse({"minutes": None, "steps": 3}).steps == 3


def test_the_start_is_scored_and_stays_if_training_harms(
    discs: Callable[..., Any], tmp_path: Path
) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    pairs = [discs(i) for i in range(3)]
    settings = TINY.replace(steps=40, base_channels=4, learning_rate=0.01, ema=0.9)
    nu.train(pairs, settings, out=first)
    harmful = TINY.replace(steps=4, learning_rate=10.0, validate_every=1.0)
    report = nu.train(pairs, harmful, out=second, model=first)
    assert [row["step"] for row in report.history] == [0, 4]
    assert report.recipe.training["step"] == 0
    one, other = (nu.load_model(p).network.state_dict() for p in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_preparation_draws_nothing_from_the_images_it_was_given(
    discs: Callable[..., Any],
) -> None:
    pairs = [discs(i) for i in range(3)]
    copies = [(image.copy(), labels.copy()) for image, labels in pairs]
    prepared = prepare(from_arrays(pairs), TINY)
    assert len(prepared.split.train) == 2
    for (image, labels), (same, equal) in zip(pairs, copies, strict=True):
        np.testing.assert_array_equal(image, same)
        np.testing.assert_array_equal(labels, equal)


def test_the_rate_rises_and_falls() -> None:
    factors = [rate_factor(p, 0.1) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert factors == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.0])
    assert rate_factor(0.0, 0.0) == 1.0
    assert peak_rate(Training(), fine_tuning=False) == pytest.approx(1e-3)
    assert peak_rate(Training(), fine_tuning=True) == pytest.approx(1e-3 / 3)
    assert peak_rate(Training(learning_rate=0.5), fine_tuning=True) == 0.5


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_the_average_of_weights_and_statistics(decay: float) -> None:
    """By hand, m += (w - m) max(1 - decay, 9 / (8 + t)); counters are copied."""
    arch = Architecture(base_channels=1, depth=1)
    network, average = UNet(arch), UNet(arch).requires_grad_(False)
    name = "head.weight"
    mean = 0.0
    for step in range(1, 40):
        value = float(step % 7)
        with torch.no_grad():
            for tensor in network.state_dict().values():
                if tensor.is_floating_point():
                    tensor.fill_(value)
                else:
                    tensor.fill_(step)
        form = network.form.clone()
        update_average(average, network, decay=decay, step=step)
        mean += (value - mean) * max(1 - decay, 9 / (8 + step))
        found = average.state_dict()
        assert found[name].mean().item() == pytest.approx(mean, rel=1e-5)
        statistics = [v for k, v in found.items() if k.endswith("running_var")]
        assert statistics[0].mean().item() == pytest.approx(mean, rel=1e-5)
        assert torch.equal(average.form, form)


def test_only_kernels_decay() -> None:
    network = UNet(Architecture(base_channels=1, depth=1))
    for name in ("adamw", "sgd"):
        training = Training.parse({"optimizer": name, "weight_decay": 0.1})
        kernels, others = make_optimizer(network, training).param_groups
        assert (kernels["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
        assert all(p.ndim > 1 for p in kernels["params"])
        count = len(kernels["params"]) + len(others["params"])
        assert count == len(list(network.parameters()))


def test_channels_that_the_first_model_does_not_take() -> None:
    labels = np.zeros((8, 9), np.int32)
    image = TrainingImage(np.zeros((2, 8, 9), np.uint8), labels, "two")
    assert fit_images([image], None) == ([image], []), "a new network learns from all"
    with pytest.raises(
        ChannelsError, match=r"takes 1 channel.*, but two has 2"
    ) as said:
        fit_images([image], nu.load_model("nuclei-fast"))
    assert "--channels" not in said.value.remedy, "training has no such flag"


def test_precision_is_as_asked() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("float16", cpu) == "float16"
    assert choose_precision("auto", cpu) in ("float32", "bfloat16")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_other_precisions_train(
    discs: Callable[..., Any], tmp_path: Path, precision: str
) -> None:
    training = TINY.replace(precision=precision)
    out = tmp_path / "m.safetensors"
    report = nu.train([discs(i) for i in range(3)], training, out=out)
    assert report.recipe.training["precision"] == precision
    tensors = nu.load_model(out).network.state_dict().values()
    assert all(t.isfinite().all() for t in tensors if t.is_floating_point())
