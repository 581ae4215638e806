"""Augmented patches: what moves together, what is drawn, that it can be repeated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from napari_unet.core.augment import (
    Sample,
    apply_patch,
    plan_patch,
)
from napari_unet.core.targets import IGNORED
from napari_unet.errors import AxesError, SettingsError
from napari_unet.training_settings import AUGMENTATIONS, Augmentation

MAPS = ("image", "target", "weight", "distance", "labels")
GEOMETRY = Augmentation.none().replace(
    flips=True,
    rotation=180.0,
    rotation_probability=1.0,
    scale=(0.7, 1.4),
    scale_probability=1.0,
    elastic=6.0,
    elastic_spacing=64.0,
    elastic_probability=1.0,
)


def some_labels(rng, shape):
    """Smooth blobs with ids: a random field cut at its median, ids by position."""
    field = gaussian_filter(rng.normal(size=shape), 5)
    y, x = np.indices(shape)[-2:]
    ids = 1 + (y // 40) * 8 + x // 40
    return np.where(field > np.median(field), ids, 0).astype(np.int32)


def some_sample(rng, shape):
    labels = some_labels(rng, shape)
    return Sample(
        rng.random((2, *shape), dtype=np.float32),
        (labels > 0).astype(np.uint8),
        weight=rng.random(shape, dtype=np.float32),
        distance=rng.random(shape, dtype=np.float32),
        labels=labels,
    )


def is_even(values, width):
    """Where all values within a window are the same; not where it leaves the patch."""
    values = values.astype(float)
    high = maximum_filter(values, width, mode="constant", cval=1e9)
    low = minimum_filter(values, width, mode="constant", cval=-1e9)
    return high == low


def draw(sample, patch_shape, augmentation, *, random_seed=0, spacing=None):
    shape = sample.image.shape
    return plan_patch(
        np.random.default_rng(random_seed),
        shape,
        patch_shape,
        centre=[n // 2 for n in shape[1:]],
        augmentation=augmentation,
        spacing=spacing,
    )


# What is cut


@pytest.mark.parametrize(
    ("shape", "patch_shape", "centre"),
    [
        ((40, 50), (16, 13), (20, 30)),
        ((9, 30, 20), (4, 8, 8), (5, 12, 10)),
    ],
)
def test_without_augmentation_a_patch_is_the_crop(rng, shape, patch_shape, centre):
    sample = some_sample(rng, shape)
    plan = plan_patch(
        rng,
        sample.image.shape,
        patch_shape,
        centre=centre,
        augmentation=Augmentation.none(),
    )
    patch = apply_patch(plan, sample)
    window = tuple(
        slice(c - n // 2, c - n // 2 + n)
        for c, n in zip(centre, patch_shape, strict=True)
    )
    for name in MAPS:
        found, whole = getattr(patch, name), getattr(sample, name)
        assert found.dtype == whole.dtype
        np.testing.assert_array_equal(found, whole[(..., *window)])


def test_maps_that_are_not_there_stay_away(rng):
    sample = Sample(rng.random((1, 40, 40), dtype=np.float32))
    patch = apply_patch(draw(sample, (16, 16), Augmentation()), sample)
    assert patch.image.shape == (1, 16, 16)
    assert [getattr(patch, name) for name in MAPS[1:]] == [None] * 4


@pytest.mark.parametrize(
    ("shape", "patch_shape", "spacing"),
    [
        ((200, 220), (96, 96), None),
        ((40, 120, 120), (24, 64, 64), None),
        ((24, 120, 120), (14, 64, 64), (3.0, 1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("random_seed", [0, 1, 2])
def test_image_and_labels_move_alike(rng, shape, patch_shape, spacing, random_seed):
    labels = some_labels(rng, shape)
    sample = Sample(
        np.stack([labels, labels > 0]).astype(np.float32),
        (labels % 200).astype(np.uint8),
        weight=labels.astype(np.float32),
        labels=labels,
    )
    plan = draw(sample, patch_shape, GEOMETRY, random_seed=random_seed, spacing=spacing)
    patch = apply_patch(plan, sample)
    np.testing.assert_array_equal(patch.target, patch.labels % 200)
    # A cubic reaches 2 pixels, at a zoom of 1.4 these are 3 of the patch, and some more
    # where it is stretched: where labels are the same that far, so is what is mixed.
    even = is_even(patch.labels, 9)
    assert even.sum() > 500
    np.testing.assert_allclose(patch.image[0][even], patch.labels[even], rtol=1e-5)
    np.testing.assert_allclose(patch.weight[even], patch.labels[even], rtol=1e-5)
    # And outlines never lie more than a pixel apart.
    disagree = (patch.image[1] > 0.5) != (patch.labels > 0)
    assert disagree.any()
    assert not (disagree & is_even(patch.labels > 0, 3)).any()


def test_what_is_not_annotated_weighs_nothing(rng):
    shape = (120, 120)
    target = rng.integers(0, 3, shape).astype(np.uint8)
    target[:, 50:70] = IGNORED
    weight = np.where(target == IGNORED, 0, 2).astype(np.float32)
    sample = Sample(rng.random((1, *shape), dtype=np.float32), target, weight)
    patch = apply_patch(draw(sample, (64, 64), GEOMETRY), sample)
    ignored = patch.target == IGNORED
    assert 0.05 < ignored.mean() < 0.95
    assert (patch.weight[ignored] == 0).all()
    assert patch.weight[~ignored].min() >= 0.9


def test_the_weight_of_a_class_goes_with_its_pixels(rng):
    """A rare class beside a common one: no pixel has a part of both weights."""
    target = np.zeros((120, 120), np.uint8)
    target[::9], target[:, 50:70] = 1, IGNORED
    by_class = np.array([0.2, 50], np.float32)
    zeros = np.zeros(target.shape, np.float32)
    pixels = rng.random((1, *target.shape), dtype=np.float32)
    sample = Sample(pixels, target, zeros, class_weights=by_class)
    np.testing.assert_array_equal(np.unique(sample.total_weight()), [0, *by_class])
    patch = apply_patch(draw(sample, (96, 96), GEOMETRY), sample)
    expected = np.array([*by_class, 0], np.float32)[np.minimum(patch.target, 2)]
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(patch.weight, expected)
    assert patch.class_weights is None


def test_mirrored_pixels_keep_class_and_weight(rng):
    sample = some_sample(rng, (20, 24))
    patch = apply_patch(draw(sample, (64, 64), Augmentation.none()), sample)
    before = 32 - 10, 32 - 12
    pad = [(b, 64 - n - b) for b, n in zip(before, (20, 24), strict=True)]
    for name in MAPS[1:]:
        expected = np.pad(getattr(sample, name), pad, mode="reflect")
        np.testing.assert_array_equal(getattr(patch, name), expected)


# Repeating


def test_the_same_numbers_give_the_same_patch(rng):
    sample = some_sample(rng, (150, 150))
    first, second = (
        draw(sample, (64, 64), Augmentation.strong(), random_seed=5) for _ in range(2)
    )
    assert first == second
    assert repr(first) == repr(second)
    assert "nodes" in repr(draw(sample, (64, 64), GEOMETRY))
    other = draw(sample, (64, 64), Augmentation.strong(), random_seed=6)
    assert first != other
    patches = [apply_patch(plan, sample) for plan in (first, second, other)]
    for name in MAPS:
        a, b, c = (getattr(patch, name) for patch in patches)
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_threads_give_the_same_patches(rng):
    sample = some_sample(rng, (100, 100))
    plans = [
        draw(sample, (48, 48), Augmentation.strong(), random_seed=i) for i in range(8)
    ]
    again = [
        draw(sample, (48, 48), Augmentation.strong(), random_seed=i) for i in range(8)
    ]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda plan: apply_patch(plan, sample), plans))
    for plan, patch in zip(again, threaded, strict=True):
        np.testing.assert_array_equal(patch.image, apply_patch(plan, sample).image)


def test_the_sample_is_not_written_to(rng):
    sample = some_sample(rng, (60, 60))
    for name in MAPS:
        getattr(sample, name).flags.writeable = False
    for augmentation in (Augmentation.none(), Augmentation.strong()):
        patch = apply_patch(draw(sample, (32, 32), augmentation), sample)
        for name in MAPS:
            getattr(patch, name)[...] = 0


# Presets and mistakes


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(70, 80), (12, 40, 40)])
def test_presets_give_finite_patches(rng, name, shape):
    sample = some_sample(rng, shape)
    for i in range(6):
        plan = draw(
            sample, (8, 32, 32)[-len(shape) :], AUGMENTATIONS[name](), random_seed=i
        )
        patch = apply_patch(plan, sample)
        assert np.isfinite(patch.image).all()
        assert np.isfinite(patch.weight).all()
        assert set(np.unique(patch.labels)) <= set(np.unique(sample.labels))


def test_the_papers_preset_deforms_and_turns_every_patch():
    preset = Augmentation.ronneberger2015()
    sample = Sample(np.zeros((1, 300, 300), np.float32))
    for random_seed in range(10):
        plan = draw(sample, (256, 256), preset, random_seed=random_seed)
        assert plan.warp.elastic.nodes.shape == (2, 3, 3)
        assert plan.warp.matrix[0][1] != 0
        assert plan.intensity.blur is None
        assert plan.intensity.gain is not None
        assert np.linalg.det(plan.warp.matrix) == pytest.approx(1)


def test_maps_of_another_shape_are_refused():
    with pytest.raises(AxesError, match="target"):
        Sample(np.zeros((1, 8, 8), np.float32), np.zeros((8, 9), np.uint8))


def test_a_plan_for_another_image_is_refused():
    sample = Sample(np.zeros((1, 40, 40), np.float32))
    plan = draw(sample, (8, 8), Augmentation.none())
    with pytest.raises(AxesError, match="planned"):
        apply_patch(plan, Sample(np.zeros((2, 40, 40), np.float32)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"patch_shape": (8, 8, 8)}, AxesError),
        ({"centre": (4, 4, 4)}, AxesError),
        ({"spacing": (1.0, 1.0, 1.0)}, AxesError),
        ({"spacing": (0.0, 1.0)}, SettingsError),
        ({"augmentation": Augmentation().replace(scale=(1.4, 0.7))}, SettingsError),
        ({"augmentation": Augmentation().replace(scale=(0.0, 1.0))}, SettingsError),
    ],
)
def test_mistakes_are_named(rng, changes, error):
    given = {
        "patch_shape": (8, 8),
        "centre": (4, 4),
        "augmentation": Augmentation.none(),
    } | changes
    with pytest.raises(error):
        plan_patch(rng, (1, 40, 40), given.pop("patch_shape"), **given)
