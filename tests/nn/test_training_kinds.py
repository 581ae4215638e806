"""Kinds of training: targets, semantic classes, 3-D, colour, sparse annotation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

import napari_unet as nu
from napari_unet.core.border_weights import border_weights
from napari_unet.core.targets import IGNORED, carve_gap
from napari_unet.errors import AxesError, SettingsError
from napari_unet.io.training_data import from_arrays
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.losses import Batch, plan_objective
from napari_unet.nn.preparation import prepare
from napari_unet.nn.samples import class_weights, prepare_samples
from napari_unet.nn.training_setup import make_samples
from napari_unet.training_settings import LOSSES, Augmentation, Loss, Training

TINY = Training(
    steps=2, base_channels=2, depth=2, patch=32, batch=2, precision="float32"
)
CPU = torch.device("cpu")
Discs = Callable[..., Any]


def prepared_sample(labels: np.ndarray, loss: Loss) -> Any:
    """The sample of one image with a grey ramp."""
    image = np.linspace(0, 1, labels.size, dtype=np.float32).reshape(1, *labels.shape)
    objective = plan_objective(loss)
    images = [TrainingImage(image, labels)]
    return prepare_samples(images, objective, class_weights(images, objective))[0]


@pytest.mark.parametrize("target", ["two_class", "three_class", "distance"])
@pytest.mark.parametrize("formula", ["ronneberger2015", "falk2019"])
def test_every_target_trains_and_segments(
    discs: Discs, tmp_path: Path, target: str, formula: str
) -> None:
    pairs = [discs(seed) for seed in range(3)]
    loss = Loss.parse(
        {"target": target, "formula": formula, "class_weights": "balance"}
    )
    out = tmp_path / "m.safetensors"
    report = nu.train(pairs, TINY.replace(loss=loss), out=out)
    assert report.recipe.task == "instances"
    seg = nu.segment(pairs[0][0], out, device="cpu")
    assert seg.channels == report.recipe.channels
    assert seg.labels.shape == pairs[0][0].shape


@pytest.mark.parametrize("w0", [0.0, 10.0, 50.0])
@pytest.mark.parametrize("target", ["two_class", "three_class"])
def test_the_pull_of_a_gap_pixel_is_its_border_weight(w0: float, target: str) -> None:
    """From labels to the gradient of the loss, through everything in between."""
    labels = np.zeros((32, 40), np.int32)
    labels[4:20, 6:14], labels[4:20, 15:24] = 1, 2  # a gap of one pixel at x = 14
    loss = Loss.parse({"target": target, "w0": w0, "dice": 0.0, "boundary_width": 1.0})
    sample = prepared_sample(labels, loss)
    n = 2 if target == "two_class" else 3
    logits = torch.zeros(1, n, 32, 40, requires_grad=True)
    batch = Batch(
        torch.from_numpy(sample.image)[None],
        torch.from_numpy(sample.target)[None].long(),
        torch.from_numpy(sample.total_weight())[None],
    )
    plan_objective(loss)(logits, batch)["total"].backward()
    gap, far = (12, 14), (30, 38)
    assert sample.target[gap] == sample.target[far] == 0
    pull = logits.grad[0, 0]
    # Distances to the two cells are 1 and 1; far away the term is negligible.
    expected = 1 + w0 * np.exp(-(2**2) / (2 * 5.0**2))
    assert (pull[gap] / pull[far]).item() == pytest.approx(expected, rel=1e-4)


def test_two_classes_are_weighed_as_they_are_carved() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    sample = prepared_sample(labels, Loss(target="two_class", w0=10.0))
    carved = carve_gap(labels)
    np.testing.assert_array_equal(sample.target, carved > 0)
    expected = border_weights(carved, 10, 5)
    np.testing.assert_allclose(sample.total_weight(), expected, rtol=1e-5)


def literal_border(
    labels: np.ndarray, w0: float, sigma: float, sizes: tuple[float, ...]
) -> np.ndarray:
    """1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)), cell by cell, in micrometres."""
    cells = np.unique(labels[labels > 0])
    each = [distance_transform_edt(labels != cell, sampling=sizes) for cell in cells]
    d1, d2 = np.sort(each, axis=0)[:2]
    return 1 + w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((30, 40), (0.65, 0.65)),
        ((30, 40), (0.3, 0.65)),
        ((8, 20, 24), (2.0, 0.25, 0.25)),
        ((8, 20, 24), (0.5, 0.3, 0.4)),
    ],
)
def test_sigma_in_micrometres_is_the_formula_in_micrometres(
    shape: tuple[int, ...], sizes: tuple[float, ...]
) -> None:
    labels = np.zeros(shape, np.int32)
    labels[..., 3:9, 4:9], labels[..., 3:9, 11:17] = 1, 2
    labels[..., 12:17, 6:14] = 3
    labels[0, ...] = 0
    known = dict(zip("ZYX"[-len(shape) :], sizes, strict=True))
    image = TrainingImage(np.zeros((1, *shape), np.float32), labels, "a", known)
    loss = Loss(w0=8.0, sigma=1.5, sigma_unit="micrometres")
    objective = plan_objective(loss)
    (sample,) = prepare_samples([image], objective, class_weights([image], objective))
    expected = literal_border(labels, 8.0, 1.5, sizes)
    np.testing.assert_allclose(sample.total_weight(), expected, atol=2e-5)
    # In pixels the same number is another reach.
    plain = objective.loss.replace(sigma_unit="pixels")
    (other,) = prepare_samples([image], plan_objective(plain), np.ones(3, np.float32))
    assert np.abs(other.total_weight() - expected).max() > 0.1


def test_sigma_in_micrometres_stays_so_when_images_are_scaled(discs: Discs) -> None:
    """Half as many pixels, twice as large: the same reach in the cell."""
    images = [
        replace(i, pixel_size={"Y": 0.5, "X": 0.5})
        for i in from_arrays([discs(seed, (128, 128), 12) for seed in range(2)])
    ]
    loss = Loss(sigma=2.0, sigma_unit="micrometres")
    prepared = prepare(images, TINY.replace(loss=loss, image_scale=0.5))
    objective = prepared.start.objective
    scaled = prepared.images[0]
    assert scaled.pixel_size == {"Y": 1.0, "X": 1.0}
    by_class = class_weights(prepared.images, objective)
    (sample,) = prepare_samples([scaled], objective, by_class)
    expected = literal_border(scaled.labels, 10.0, 2.0, (1.0, 1.0))
    np.testing.assert_allclose(sample.total_weight(), expected, atol=2e-5)


def test_sigma_in_micrometres_needs_a_pixel_size(discs: Discs, tmp_path: Path) -> None:
    pairs = [discs(seed) for seed in range(2)]
    training = TINY.replace(loss=Loss(sigma=2.0, sigma_unit="micrometres"))
    out, begun = tmp_path / "n.safetensors", tmp_path / "n.safetensors.resume.pt"
    begun.write_bytes(b"hours of work")
    with pytest.raises(SettingsError, match=r"image \d is not known, but sigma"):
        prepare(from_arrays(pairs), training)  # what a dry run shows
    with pytest.raises(SettingsError, match=r"image \d is not known, but sigma"):
        nu.train(pairs, training, out=out, overwrite=True)
    assert begun.read_bytes() == b"hours of work"
    begun.unlink()
    # Where there is no border term, no unit is needed.
    prepare(from_arrays(pairs), training.replace(loss=training.loss.replace(w0=0)))
    report = nu.train(pairs, training, out=out, pixel_size=0.4)
    assert report.recipe.pixel_size == (0.4, 0.4)


@pytest.mark.parametrize("preset", sorted(LOSSES))
def test_micrometres_need_a_sigma_of_their_own(preset: str) -> None:
    """That of a preset counts pixels."""
    loss = LOSSES[preset]()
    with pytest.raises(SettingsError, match="give sigma in micrometres"):
        loss.replace(sigma_unit="micrometres")
    with pytest.raises(SettingsError, match="give sigma in micrometres"):
        Loss.parse({"sigma_unit": "micrometres"}).over(loss)
    given = loss.replace(sigma=2.0, sigma_unit="micrometres")
    assert given.replace(w0=3.0).sigma == 2.0
    assert Loss.parse(given.model_dump()) == given


@pytest.mark.parametrize(("weights", "ratio"), [("none", 1), ("balance", 3.5)])
def test_classes_weigh_by_inverse_frequency(weights: str, ratio: float) -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[:2] = 1
    labels[9] = -1  # of 90 annotated pixels, 20 are a cell
    images = [TrainingImage(np.zeros((1, 10, 10), np.float32), labels)]
    loss = Loss.parse({"target": "two_class", "class_weights": weights})
    found = class_weights(images, plan_objective(loss))
    assert found[1] / found[0] == pytest.approx(ratio)
    assert (70 * found[0] + 20 * found[1]) / 90 == pytest.approx(1)


def test_no_class_weighs_more_than_ten_times_another() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[0, :3], labels[1:51] = 2, 1
    images = [TrainingImage(np.zeros((1, 100, 100), np.float32), labels)]
    loss = Loss(target="semantic", class_weights="balance")
    found = class_weights(images, plan_objective(loss, ("a", "b", "c")))
    assert found.max() / found.min() == pytest.approx(10)
    counts = np.bincount(labels.ravel())
    assert (counts * found).sum() / counts.sum() == pytest.approx(1)


def test_a_class_that_does_not_occur_weighs_one() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[:2] = 2  # and no pixel of class 1
    images = [TrainingImage(np.zeros((1, 10, 10), np.float32), labels)]
    loss = Loss(target="semantic", class_weights="balance")
    found = class_weights(images, plan_objective(loss, ("none", "crack", "fray")))
    np.testing.assert_allclose(found, [100 / (2 * 80), 1, 100 / (2 * 20)], rtol=1e-6)
    images[0].labels[:] = -1
    assert (class_weights(images, plan_objective(loss, ("a", "b"))) == 1).all()


@pytest.mark.parametrize("loss", [Loss(), Loss.ronneberger2015(), Loss.falk2019()])
def test_pixels_that_are_not_annotated_weigh_nothing(discs: Discs, loss: Loss) -> None:
    """In the sample, and in patches that were turned, zoomed and deformed."""
    pairs = [discs(seed) for seed in range(3)]
    for _, labels in pairs:
        labels[:, 40:] = -1
    training = TINY.replace(loss=loss, augmentation=Augmentation.strong())
    prepared = prepare(from_arrays(pairs), training)
    patches, validator = make_samples(
        prepared.images, prepared.start, prepared.split, CPU
    )
    seen = 0
    for index in range(20):
        patch = patches(index)
        ignored = patch.target == IGNORED
        seen += int(ignored.sum())
        assert not patch.weight[ignored].any()
        assert np.isfinite(patch.image).all()
    assert seen > 0
    assert (validator.truth[0][:, 40:] == -1).all()


def test_what_is_not_annotated_changes_nothing(discs: Discs, tmp_path: Path) -> None:
    """Labels under the ignore value do not reach the weights."""
    models = []
    for number, hidden in enumerate((-1, -7)):
        pairs = [discs(seed) for seed in range(3)]
        for _, labels in pairs:
            labels[:, 40:] = hidden
        out = tmp_path / f"{number}.safetensors"
        nu.train(pairs, TINY, out=out)
        models.append(nu.load_model(out).network.state_dict())
    assert all(torch.equal(models[0][k], models[1][k]) for k in models[0])


def semantic_pairs(discs: Discs, n: int = 3) -> list[Any]:
    """Odd discs are class 1, even ones class 2."""
    found = []
    for seed in range(n):
        image, labels = discs(seed)
        found.append((image, np.where(labels > 0, 1 + labels % 2, 0)))
    return found


def test_semantic_classes(discs: Discs, tmp_path: Path) -> None:
    pairs = semantic_pairs(discs)
    loss = Loss(target="semantic", class_weights="balance", focal=2.0)
    training = TINY.replace(loss=loss, classes=("ground", "odd", "even"))
    out = tmp_path / "m.safetensors"
    report = nu.train(pairs, training, out=out)
    recipe = report.recipe
    assert (recipe.task, recipe.channels) == ("semantic", ("ground", "odd", "even"))
    assert recipe.diameter is None
    assert set(recipe.scores["validation"]) >= {"mean_iou", "mean_dice", "iou of odd"}
    seg = nu.segment(pairs[0][0], out, device="cpu")
    assert set(np.unique(seg.labels)) <= {0, 1, 2}
    # Going on from it keeps task and names without a word.
    again = nu.train(pairs, TINY, out=tmp_path / "n.safetensors", model=out)
    assert again.recipe.channels == recipe.channels


def test_classes_that_are_not_annotated_everywhere(
    discs: Discs, tmp_path: Path
) -> None:
    """Void is neither learnt nor judged: the scores are those of the rest."""
    pairs = semantic_pairs(discs)
    for _, labels in pairs:
        labels[:10] = -1
    training = TINY.replace(loss=Loss(target="semantic"))
    prepared = prepare(from_arrays(pairs), training)
    assert -1 in prepared.images[0].labels
    out = tmp_path / "m.safetensors"
    report = nu.train(pairs, training, out=out)
    index = prepared.split.validation[0].image
    found = nu.segment(pairs[index][0], out, device="cpu").labels
    rest = np.s_[10:]
    accuracy = np.mean(found[rest] == pairs[index][1][rest])
    judged = report.recipe.scores["validation"]["pixel_accuracy"]
    assert judged == pytest.approx(accuracy, abs=1e-3)


def test_rare_classes_are_drawn_more_often(discs: Discs) -> None:
    pairs = semantic_pairs(discs)
    for _, labels in pairs[1:]:
        labels[labels == 2] = 1
    pairs[0][1][:] = 0
    pairs[0][1][30:33, 30:33] = 2  # nine pixels in all
    training = TINY.replace(
        loss=Loss(target="semantic"), validation=0.34, foreground=1.0
    )
    prepared = prepare(from_arrays(pairs), training)
    patches, _ = make_samples(prepared.images, prepared.start, prepared.split, CPU)
    if not any(part.image == 0 for part in prepared.split.train):
        pytest.skip("the rare class is validated on")
    shown = np.mean([(patches(i).target == 2).any() for i in range(40)])
    assert shown > 0.25


def test_black_and_white_masks_are_two_classes(discs: Discs, tmp_path: Path) -> None:
    """The same weights come of them as of masks of 0 and 1, and it is said."""
    pairs = [discs(seed) for seed in range(3)]
    training = TINY.replace(loss=Loss(target="semantic"))
    found = []
    for white in (1, 255):
        masks = [(image, (labels > 0) * np.uint8(white)) for image, labels in pairs]
        out = tmp_path / f"{white}.safetensors"
        report = nu.train(masks, training, out=out)
        assert report.recipe.channels == ("background", "class_1")
        assert ("255 is taken for class 1" in " ".join(report.notes)) is (white == 255)
        found.append((nu.load_model(out).network.state_dict(), report.scores))
    (one, scores), (other, same) = found
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert scores == same


@pytest.mark.parametrize("known", ["no names", "settings", "data", "model"])
def test_elsewhere_255_is_not_annotated(
    discs: Discs, make_model: Callable[..., Model], known: str
) -> None:
    """Beside other classes, or where more than two are named: as -1 throughout."""
    names, model = ("ground", "odd", "even"), None
    training = TINY.replace(loss=Loss(target="semantic"))
    pairs = semantic_pairs(discs)
    for _, labels in pairs:
        labels[:10] = 255
        if known != "no names":
            labels[labels != 255] = 0
    images = from_arrays(pairs)
    if known == "settings":
        training = training.replace(classes=names)
    elif known == "data":
        images = [replace(image, classes=names) for image in images]
    elif known == "model":
        recipe = {"channels": names, "task": "semantic"}
        model = make_model(out_channels=3, recipe=recipe)
    prepared = prepare(images, training, model)
    assert not any("255" in note for note in prepared.notes)
    assert not any(found.rule == "class_numbers" for found in prepared.findings)
    for image, (_, labels) in zip(prepared.images, pairs, strict=True):
        expected = np.where(labels == 255, -1, labels.astype(np.int32))
        np.testing.assert_array_equal(image.labels, expected)


@pytest.mark.parametrize(
    ("known", "given", "expected"),
    [
        (("ground", "odd", "even"), (), ("ground", "odd", "even")),
        (("ground", "odd", "even"), ("a", "b", "c"), ("a", "b", "c")),
        ((), (), ("background", "class_1", "class_2")),
        (
            ("background", "interior", "boundary"),  # these would be taken for cells
            (),
            ("background", "class_1", "class_2"),
        ),
    ],
)
def test_names_of_classes_come_from_the_data(
    discs: Discs,
    known: tuple[str, ...],
    given: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    images = [replace(i, classes=known) for i in from_arrays(semantic_pairs(discs))]
    training = TINY.replace(loss=Loss(target="semantic"), classes=given)
    prepared = prepare(images, training)
    assert prepared.start.model.recipe.channels == expected
    mixed = [*images[1:], replace(images[0], classes=("x", "y", "z"))]
    names = prepare(mixed, training).start.model.recipe.channels
    assert names == (given or ("background", "class_1", "class_2"))


def test_too_many_classes_are_named(discs: Discs, tmp_path: Path) -> None:
    training = TINY.replace(loss=Loss(target="semantic"), classes=("ground", "cell"))
    with pytest.raises(SettingsError, match="hold class 2, but 2 classes are named"):
        nu.train(semantic_pairs(discs), training, out=tmp_path / "m.safetensors")


def volume(seed: int, shape: tuple[int, ...] = (12, 40, 40)) -> Any:
    """Bright balls, flattened as by coarse planes."""
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number, (cy, cx) in enumerate([(10, 10), (10, 28), (28, 12), (29, 29)], 1):
        inside = ((z - 6) / 2.5) ** 2 + ((y - cy) / 7) ** 2 + ((x - cx) / 7) ** 2 < 1
        labels[inside] = number
    noise = np.random.default_rng(seed).normal(0, 0.1, shape)
    return ((labels > 0) + noise).astype(np.float32), labels


def test_stacks_with_coarse_planes(tmp_path: Path) -> None:
    images = [
        TrainingImage(
            volume(seed)[0][None],
            volume(seed)[1],
            f"stack {seed}",
            {"Z": 1.5, "Y": 0.5, "X": 0.5},
        )
        for seed in range(3)
    ]
    training = TINY.replace(patch=(8, 24, 24), depth=2, batch=1)
    out = tmp_path / "m.safetensors"
    report = nu.train(images, training, out=out)
    arch = report.recipe.architecture
    assert arch.ndim == 3
    # Z, three times as coarse, is pooled once Y and X have become half as fine.
    assert arch.pooling == ((1, 2, 2), (2, 2, 2))
    assert report.recipe.pixel_size == (1.5, 0.5, 0.5)
    voxels = np.bincount(images[0].labels.ravel())[1:]
    diameters = (voxels * 3 * 6 / np.pi) ** (1 / 3)  # in pixels of X
    assert report.recipe.diameter == pytest.approx(np.median(diameters))
    seg = nu.segment(images[0].image[0], out, axes="ZYX", device="cpu")
    assert seg.labels.shape == images[0].labels.shape


def test_stacks_for_a_2d_model_are_planes(discs: Discs, tmp_path: Path) -> None:
    flat = tmp_path / "flat.safetensors"
    nu.train([discs(seed) for seed in range(3)], TINY, out=flat)
    pairs = [volume(seed) for seed in range(3)]
    report = nu.train(pairs, TINY, out=tmp_path / "m.safetensors", model=flat)
    assert report.recipe.architecture.ndim == 2
    assert "The model is 2-D: stacks are taken plane by plane." in report.notes


def test_flat_images_do_not_fit_a_3d_model(discs: Discs, tmp_path: Path) -> None:
    deep = tmp_path / "deep.safetensors"
    training = TINY.replace(patch=8, depth=1, batch=1)
    nu.train([volume(seed) for seed in range(2)], training, out=deep)
    with pytest.raises(AxesError, match="3-D, but the images are 2-D"):
        nu.train([discs(0)], TINY, out=tmp_path / "m.safetensors", model=deep)


def coloured(image: np.ndarray) -> np.ndarray:
    grey = (image / 5).clip(0, 255).astype(np.uint8)
    return np.stack([grey, grey // 2, 255 - grey], axis=-1)


def test_colour_is_three_channels(discs: Discs, tmp_path: Path) -> None:
    pairs = [(coloured(image), labels) for image, labels in map(discs, range(3))]
    out = tmp_path / "m.safetensors"
    report = nu.train(pairs, TINY, out=out)
    assert report.recipe.architecture.in_channels == 3
    seg = nu.segment(pairs[0][0], out, device="cpu")
    assert seg.labels.shape == pairs[0][1].shape


def test_colour_among_grey_images_becomes_grey(discs: Discs, tmp_path: Path) -> None:
    pairs = [discs(seed) for seed in range(3)]
    pairs[1] = (coloured(pairs[1][0]), pairs[1][1])
    report = nu.train(pairs, TINY, out=tmp_path / "m.safetensors")
    assert report.recipe.architecture.in_channels == 1
    assert any("turned to grey" in note for note in report.notes)


def test_images_of_different_kinds_are_refused(discs: Discs, tmp_path: Path) -> None:
    image, labels = discs(0)
    two = np.stack([image, image])
    with pytest.raises(AxesError, match=r"2 channel.* has 1"):
        nu.train([(image, labels), (two, labels)], TINY, out=tmp_path / "m.safetensors")
    with pytest.raises(AxesError, match="3-D, but image 1 is 2-D"):
        nu.train([(image, labels), volume(0)], TINY, out=tmp_path / "m.safetensors")


def test_one_image_is_split_by_region(discs: Discs, tmp_path: Path) -> None:
    image, labels = discs(0, (64, 192))
    report = nu.train([(image, labels)], TINY, out=tmp_path / "m.safetensors")
    assert any("is kept for validation, and X below" in note for note in report.notes)
