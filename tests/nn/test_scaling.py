"""Scaling before training: the network learns from what it sees when it segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.errors import SettingsError
from napari_unet.io.training_data import from_arrays
from napari_unet.io.training_image import TrainingImage, with_pixel_size
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.formats.bioimageio_example import Example, draw_cover
from napari_unet.nn.formats.bioimageio_readme import write_readme
from napari_unet.nn.preparation import Preparation, prepare
from napari_unet.nn.samples import median_diameter
from napari_unet.nn.training_loop import for_images
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.plan import make_plan
from napari_unet.pipeline.reading import Source
from napari_unet.training_settings import Loss, Training

TINY = Training(
    steps=2, base_channels=2, depth=2, patch=32, batch=2, precision="float32"
)
Discs = Callable[..., Any]


@pytest.fixture
def images(discs: Discs) -> list[TrainingImage]:
    return from_arrays([discs(seed, (96, 128), 12) for seed in range(3)])


def sized(image: TrainingImage, **sizes: float) -> TrainingImage:
    return replace(image, pixel_size=sizes)


def seen_by_segment(
    model: Model, image: TrainingImage, pixel_size: Mapping[str, float] | None = None
) -> np.ndarray:
    """What the network is given of an image when that is segmented."""
    plan = make_plan(
        image.image, model, Options(axes=image.axes, pixel_size=pixel_size)
    )
    read = Source(plan).normalised({})
    return read(tuple(slice(0, n) for n in plan.grid.shape))


def check_seen(
    prepared: Preparation, images: list[TrainingImage], *, by_size: bool
) -> None:
    for given, image in zip(images, prepared.images, strict=True):
        sizes = given.pixel_size if by_size else None
        expected = seen_by_segment(prepared.start.model, given, sizes)
        np.testing.assert_array_equal(image.image, expected)
        assert image.labels.shape == image.image.shape[1:]


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7])
def test_training_sees_what_segmentation_sees(
    images: list[TrainingImage], factor: float
) -> None:
    images[0].image.flat[::7] = 60000  # what smoothing would move the percentile of
    prepared = prepare(images, TINY.replace(image_scale=factor))
    recipe = prepared.start.model.recipe
    assert recipe.scale == factor
    assert recipe.diameter == pytest.approx(factor * median_diameter(images), rel=0.02)
    if factor != 1:
        check_seen(prepared, images, by_size=False)


def test_what_is_not_finite_is_seen_alike_and_found(
    images: list[TrainingImage],
) -> None:
    holes = images[1].image.astype(np.float32)
    holes[0, 4:20, 4:20] = np.nan
    images[1] = replace(images[1], image=holes)
    prepared = prepare(images, TINY.replace(image_scale=0.5))
    check_seen(prepared, images, by_size=False)
    assert [f.images for f in prepared.findings if f.rule == "not_finite"] == [
        ("image 2",)
    ]


@pytest.mark.parametrize("known", [None, (0.4, 0.4)])
def test_images_are_brought_to_one_pixel_size(
    images: list[TrainingImage],
    make_model: Callable[..., Model],
    known: tuple[float, float] | None,
) -> None:
    """That of the model, else the one in the middle."""
    sizes = (0.2, 0.5, 0.25)
    images = [sized(i, Y=s, X=s) for i, s in zip(images, sizes, strict=True)]
    model = None if known is None else _instance_model(make_model, pixel_size=known)
    prepared = prepare(images, TINY.replace(scale_to="pixel_size"), model)
    recipe = prepared.start.model.recipe
    wanted = known or (0.25, 0.25)
    assert (recipe.pixel_size, recipe.scale) == (wanted, 1.0)
    for image, size in zip(prepared.images, sizes, strict=True):
        sides = (round(96 * size / wanted[0]), round(128 * size / wanted[1]))
        assert image.labels.shape == sides
    check_seen(prepared, images, by_size=True)
    assert any("Images are scaled by" in note for note in prepared.notes)


def test_coarse_planes_are_scaled_by_their_own_factor() -> None:
    labels = np.zeros((10, 40, 40), np.int32)
    labels[3:7, 10:30, 5:18], labels[3:7, 10:30, 18:30] = 1, 2
    pixels = (labels > 0) * 100.0 + np.random.default_rng(0).random(labels.shape)
    first = TrainingImage(pixels[None], labels, "a", {"Z": 2.0, "Y": 0.5, "X": 0.5})
    images = [first, replace(first, image=first.image + 1, name="b")]
    images[1] = sized(images[1], Z=1.0, Y=0.25, X=0.25)
    images.append(replace(images[1], image=first.image + 2, name="c"))
    training = TINY.replace(scale_to="pixel_size", patch=(8, 16, 16), depth=1)
    prepared = prepare(images, training)
    assert prepared.start.model.recipe.pixel_size == (1.0, 0.25, 0.25)
    assert prepared.images[0].labels.shape == (20, 80, 80)
    check_seen(prepared, images, by_size=True)
    halves = prepared.images[0].labels[::2, ::2, ::2]
    np.testing.assert_array_equal(halves, labels)


def _instance_model(make_model: Callable[..., Model], **recipe: Any) -> Model:
    given = {"channels": ("background", "interior", "boundary"), "task": "instances"}
    return make_model(out_channels=3, recipe={**given, **recipe})


def test_objects_are_brought_to_the_size_of_the_models(
    images: list[TrainingImage], make_model: Callable[..., Model]
) -> None:
    model = _instance_model(make_model, diameter=10.0)
    plain = prepare(images, TINY, model)
    assert any("that of the model was 10 px" in note for note in plain.notes)
    prepared = prepare(images, TINY.replace(scale_to="diameter"), model)
    recipe = prepared.start.model.recipe
    assert recipe.scale == pytest.approx(10 / median_diameter(images))
    assert recipe.diameter == pytest.approx(10, rel=0.03)
    check_seen(prepared, images, by_size=False)
    recipe = for_images(recipe, prepared.start)
    read_me = write_readme(recipe, name="m", description="d", layers=())
    assert f"images scaled by {recipe.scale:.3g}" in read_me
    assert f"each of which is {recipe.scale**2:.3g} pixels of the network" in read_me
    # Whoever gives a diameter gets the network's pixels by it.
    plan = make_plan(
        images[0].image, prepared.start.model, Options(axes="CYX", diameter=40.0)
    )
    assert plan.grid.shape == tuple(round(n * recipe.diameter / 40) for n in (96, 128))


def test_a_scaled_model_is_trained_further_at_its_scale(
    images: list[TrainingImage], make_model: Callable[..., Model]
) -> None:
    separation = nu.Separation(min_seed_size=40, min_size=80)
    model = _instance_model(
        make_model, scale=0.5, size_volume=0.25, separation=separation
    )
    start = prepare(images, TINY, model).start
    assert start.model.recipe.scale == 0.5
    # Sizes in the file count the image's pixels, and while it learns the network's.
    assert start.model.recipe.separation.min_seed_size == 10
    assert start.model.recipe.separation.min_size == 20
    stored = for_images(start.model.recipe, start)
    assert (stored.separation, stored.size_volume) == (separation, 0.25)
    assert prepare(images, TINY.replace(image_scale=1), model).start.volume == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (40, 80)),  # as the images that they were counted in
        ({"scale": 1.0}, (10, 20)),  # the network's own pixels
        ({"diameter": 40.0}, (160, 320)),
        ({"pixel_size": {"Y": 0.5, "X": 0.25}}, (80, 160)),
        ({"scale": 1.0, "separation": nu.Separation(min_size=7)}, (10, 7)),
    ],
)
def test_sizes_of_a_scaled_model_are_the_same_in_the_network(
    make_model: Callable[..., Model],
    options: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    known = {
        "scale": 0.5,
        "diameter": 10.0,
        "pixel_size": (1.0, 1.0),
        "separation": nu.Separation(min_seed_size=40, min_size=80),
    }
    image, given = np.zeros((64, 64)), Options(axes="YX", **options)
    model = _instance_model(make_model, size_volume=0.25, **known)
    found = make_plan(image, model, given).separation
    assert (found.min_seed_size, found.min_size) == expected
    # A model whose images were not scaled counts in the network's own pixels.
    known["separation"] = nu.Separation(min_seed_size=10, min_size=20)
    plain = make_plan(image, _instance_model(make_model, **known), given)
    assert plain.separation == found
    assert plain.own_separation.min_seed_size == expected[0]


def test_training_further_leaves_sizes_alone(
    images: list[TrainingImage], make_model: Callable[..., Model]
) -> None:
    """Three times, by pixel sizes that differ; the median image by 2: a volume of 4."""
    sizes = (1.0, 0.5, 2.0)
    images = [sized(i, Y=s, X=s) for i, s in zip(images, sizes, strict=True)]
    separation = nu.Separation(min_seed_size=40, min_size=80)
    model = _instance_model(make_model, pixel_size=(0.5, 0.5), separation=separation)
    for _ in range(3):
        start = prepare(images, TINY.replace(scale_to="pixel_size"), model).start
        model = replace(start.model, recipe=for_images(start.model.recipe, start))
        stored = model.recipe.separation
        assert (stored.min_seed_size, stored.min_size) == (10, 20)
        assert (model.recipe.size_volume, model.recipe.scale) == (4, 1)
    # What an image of no known size needs is not known, and that is said.
    plan = make_plan(images[0].image, model, Options(axes="CYX"))
    assert any("that of this image is not known" in note for note in plan.notes)
    assert plan.separation.min_size == 80


def test_images_of_one_pixel_size_are_scaled_without_a_word(
    images: list[TrainingImage], make_model: Callable[..., Model]
) -> None:
    images = [sized(image, Y=0.2, X=0.2) for image in images]
    model = _instance_model(make_model, pixel_size=(0.4, 0.4))
    prepared = prepare(images, TINY.replace(scale_to="pixel_size"), model)
    assert prepared.start.model.recipe.scale == 0.5
    check_seen(prepared, images, by_size=False)
    check_seen(prepared, images, by_size=True)


def test_the_cover_of_a_package_shows_what_the_scaled_model_finds(
    make_model: Callable[..., Model],
) -> None:
    probabilities = np.zeros((3, 64, 64), np.float32)
    probabilities[0], probabilities[:, 20:40, 20:40] = 1, [[[0]], [[1]], [[0]]]
    image = np.zeros((1, 64, 64), np.float32)
    example = Example(image, image, probabilities)
    sizes = nu.Separation(min_seed_size=800, min_size=800)  # of 400 pixels found
    for volume, is_found in ((1.0, False), (0.25, True)):
        model = _instance_model(make_model, size_volume=volume, separation=sizes)
        left, right = np.split(draw_cover(model, example), 2, axis=1)
        assert (left != right).any() == is_found


def test_it_learns_scaled_and_segments_unscaled(discs: Discs, tmp_path: Path) -> None:
    """Objects, sizes and labels are on the image's grid again."""
    *pairs, (image, truth) = [
        tuple(np.kron(a, np.ones((2, 2), a.dtype)) for a in discs(seed))
        for seed in (0, 1, 2, 3, 99)
    ]
    out = tmp_path / "m.safetensors"
    training = TINY.replace(
        steps=60, base_channels=6, learning_rate=0.01, ema=0.9, image_scale=0.5
    )
    report = nu.train(pairs, training, out=out)
    recipe = nu.load_model(out).recipe
    assert recipe == report.recipe
    assert recipe.scale == 0.5
    # A tenth of a disc of the image, of which a quarter are the network's pixels.
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for _, labels in pairs])
    tried = recipe.separation.min_seed_size / np.median(areas)
    assert 0.02 < tried < 0.3
    found = nu.segment(image, out, device="cpu")
    assert found.labels.shape == truth.shape
    assert nu.evaluate(found.labels, truth).summary()["ap@0.5"] >= 0.7


def test_pixel_sizes_that_differ_are_told(images: list[TrainingImage]) -> None:
    mixed = [sized(image, Y=s, X=s) for image, s in zip(images, (1, 2, 2), strict=True)]
    prepared = prepare(mixed, TINY)
    assert prepared.start.model.recipe.pixel_size is None
    assert any("Pixel sizes differ (1 to 2 micro" in n for n in prepared.notes)
    alike = with_pixel_size(mixed, 0.5)
    prepared = prepare(alike, TINY)
    assert prepared.start.model.recipe.pixel_size == (0.5, 0.5)
    assert not any("Pixel sizes" in note for note in prepared.notes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scale_to": "diameter"}, "no model to start from that knows the diameter"),
        ({"scale_to": "pixel_size"}, "pixel size of image 1 is not known"),
        ({"image_scale": 1e4}, r"scaled by 1e\+04"),
    ],
)
def test_what_cannot_be_scaled_is_refused(
    images: list[TrainingImage], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        prepare(images, TINY.replace(**changes))


def test_classes_have_no_diameter_to_scale_by(
    images: list[TrainingImage], make_model: Callable[..., Model]
) -> None:
    training = TINY.replace(scale_to="diameter", loss=Loss(target="semantic"))
    with pytest.raises(SettingsError, match="classes here, which have no diameter"):
        prepare(images, training, _instance_model(make_model, diameter=10.0))


def test_one_way_of_scaling_at_a_time() -> None:
    with pytest.raises(SettingsError, match="give scale_to or image_scale"):
        Training.parse({"scale_to": "diameter", "image_scale": 2.0})
