"""Where patches are drawn: shares, limits; each depends on its number alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.core.patch_places import ObjectChoice, PixelChoice, count_classes
from napari_unet.core.patches import RAREST, PatchSampler, draw_patch
from napari_unet.core.targets import IGNORED
from napari_unet.errors import AxesError, SettingsError
from napari_unet.training_settings import Augmentation

N = 1500


def with_labels(labels, target=None):
    labels = np.asarray(labels, np.int32)
    return Sample(np.zeros((1, *labels.shape), np.float32), target, labels=labels)


def with_target(target):
    target = np.asarray(target, np.uint8)
    return Sample(np.zeros((1, *target.shape), np.float32), target)


def blank(*shape):
    return Sample(np.zeros((1, *shape), np.float32))


def places(samples, patch_shape, n=N, **settings):
    sampler = PatchSampler.build(samples, patch_shape, **settings)
    return [sampler.place(index) for index in range(n)]


def assert_shares(values, expected):
    """Each value as often as expected, within 4.5 standard deviations."""
    values = list(values)
    assert set(values) <= set(expected)
    for value, share in expected.items():
        spread = np.sqrt(share * (1 - share) / len(values))
        assert abs(values.count(value) / len(values) - share) <= 4.5 * spread, value


# Choices


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5)])
def test_pixels_are_chosen_evenly_among_those_wanted(rng, shape):
    array = rng.integers(0, 5, shape).astype(np.uint8)
    choice = PixelChoice.find(array, 2, 3)
    wanted = {tuple(p) for p in np.argwhere((array == 2) | (array == 3)).tolist()}
    assert choice.n_pixels == len(wanted)
    drawn = [choice.draw(rng) for _ in range(60 * len(wanted))]
    assert_shares(drawn, dict.fromkeys(wanted, 1 / len(wanted)))


def test_objects_are_chosen_evenly_and_so_are_their_pixels(rng):
    labels = np.zeros((12, 20), np.int32)
    labels[0:8, 0:10] = 7
    labels[10, 15] = 900_000_000
    labels[2:4, 12:14] = 3
    labels[9:, :5] = -1
    choice = ObjectChoice.find(labels)
    drawn = [labels[choice.draw(rng)] for _ in range(N)]
    assert_shares(drawn, dict.fromkeys((7, 900_000_000, 3), 1 / 3))
    one = ObjectChoice.find(np.where(labels == 3, 3, 0))
    pixels = {(2, 12), (2, 13), (3, 12), (3, 13)}
    assert_shares((one.draw(rng) for _ in range(N)), dict.fromkeys(pixels, 0.25))


def test_classes_are_counted(rng):
    target = rng.integers(0, 256, (5, 6, 7)).astype(np.uint8)
    expected = np.bincount(target.ravel(), minlength=256)
    np.testing.assert_array_equal(count_classes(target), expected)


# Shares


def test_images_are_as_likely_whatever_their_size():
    samples = [blank(20, 20), blank(200, 300), blank(40, 30)]
    found = places(samples, (8, 8))
    assert_shares((p.image for p in found), dict.fromkeys(range(3), 1 / 3))


def test_without_annotation_pixels_are_uniform():
    found = places([blank(40, 60)], (8, 8), foreground=0.5)
    quadrants = ((p.pixel[0] // 20, p.pixel[1] // 20) for p in found)
    assert_shares(quadrants, {(y, x): 1 / 6 for y in range(2) for x in range(3)})


@pytest.mark.parametrize("foreground", [0.0, 0.3, 1.0])
def test_foreground_is_the_share_of_patches_on_objects(foreground):
    labels = np.zeros((100, 100), np.int32)
    labels[:40, :40] = 1
    labels[90, 90] = 2
    found = places([with_labels(labels)], (16, 16), foreground=foreground)
    expected = {
        0: (1 - foreground) * 0.8399,
        1: foreground / 2 + (1 - foreground) * 0.16,
        2: foreground / 2 + (1 - foreground) * 0.0001,
    }
    assert_shares((int(labels[p.pixel]) for p in found), expected)


def test_an_image_without_objects_is_drawn_anywhere():
    empty = with_labels(np.zeros((30, 30)))
    full = with_labels(np.ones((30, 30)))
    found = places([empty, full], (8, 8), foreground=1.0)
    assert_shares((p.image for p in found), {0: 0.5, 1: 0.5})


def test_rare_classes_are_drawn_by_inverse_frequency():
    target = np.zeros((100, 100), np.uint8)
    target[:30] = 1
    target[99, :2] = 2
    target[:, 50:] = IGNORED
    found = places([with_target(target)], (8, 8), foreground=1.0)
    frequencies = np.array([3498, 1500, 2]) / 5000
    rarity = 1 / np.maximum(frequencies, RAREST)
    expected = dict(enumerate(rarity / rarity.sum()))
    assert_shares((int(target[p.pixel]) for p in found), expected)


def test_a_class_in_one_image_only_is_found_there():
    common = [with_target(np.zeros((30, 30))) for _ in range(4)]
    rare = np.zeros((30, 30), np.uint8)
    rare[4, 5] = 1
    samples = [*common, with_target(rare)]
    found = places(samples, (8, 8), foreground=1.0)
    on_rare = [p for p in found if samples[p.image].target[p.pixel] == 1]
    assert len(on_rare) > 0.9 * N
    assert {(p.image, p.pixel) for p in on_rare} == {(4, (4, 5))}
    others = [p.image for p in found if samples[p.image].target[p.pixel] == 0]
    assert set(others) <= set(range(5))


# What is not annotated


@pytest.mark.parametrize("foreground", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["target", "labels"])
def test_only_annotated_pixels_are_drawn(rng, kind, foreground):
    known = np.zeros((60, 60), bool)
    known[10:14, 20:50] = True
    known[40, 3] = True
    if kind == "target":
        sample = with_target(np.where(known, rng.integers(0, 2, (60, 60)), IGNORED))
    else:
        sample = with_labels(np.where(known, rng.integers(0, 5, (60, 60)), -1))
    unknown = (
        with_target(np.full((60, 60), IGNORED))
        if kind == "target"
        else with_labels(np.full((60, 60), -1))
    )
    found = places([unknown, sample], (16, 16), n=400, foreground=foreground)
    assert {p.image for p in found} == {1}
    assert all(known[p.pixel] for p in found)


def test_without_any_annotated_pixel_all_count():
    found = places([with_target(np.full((20, 20), IGNORED))], (4, 4), n=300)
    assert len({p.pixel for p in found}) > 150


# Inside the image


@pytest.mark.parametrize(
    ("shape", "patch_shape"),
    [((50, 40), (16, 17)), ((16, 40), (16, 8)), ((9, 30, 31), (4, 9, 8))],
)
def test_patches_lie_inside(shape, patch_shape):
    found = places([blank(*shape)], patch_shape, n=500)
    starts = np.array([p.centre for p in found]) - np.array(patch_shape) // 2
    assert (starts >= 0).all()
    assert (starts + patch_shape <= shape).all()
    np.testing.assert_array_equal(starts.min(axis=0), 0)
    last = np.subtract(shape, patch_shape)
    np.testing.assert_array_equal(starts.max(axis=0), last)
    for place in found:
        moved = np.abs(np.subtract(place.pixel, place.centre))
        assert (moved <= (np.array(patch_shape) + 1) // 2).all()


def test_an_image_smaller_than_the_patch_is_in_the_middle():
    found = places([blank(5, 40)], (12, 8), n=20)
    assert {p.centre[0] for p in found} == {2}
    sample = blank(5, 40)
    sampler = PatchSampler.build([sample], (12, 8))
    patch = draw_patch([sample], sampler, index=0, augmentation=Augmentation.none())
    assert patch.image.shape == (1, 12, 8)


def test_a_pixel_far_from_the_border_is_the_centre():
    labels = np.zeros((100, 100), np.int32)
    labels[47, 53] = 1
    found = places([with_labels(labels)], (32, 32), n=5, foreground=1.0)
    assert {p.centre for p in found} == {(47, 53)}


# Repeating


def test_a_patch_depends_on_its_number_alone(rng):
    labels = rng.integers(0, 4, (50, 50))
    samples = [with_labels(labels), with_labels(labels.T)]
    sampler = PatchSampler.build(samples, (8, 8), random_seed=3)
    forward = [sampler.place(index) for index in range(50)]
    again = PatchSampler.build(samples, (8, 8), random_seed=3)
    assert [again.place(index) for index in reversed(range(50))] == forward[::-1]
    other = PatchSampler.build(samples, (8, 8), random_seed=4)
    assert [other.place(index) for index in range(50)] != forward
    first, second = sampler.rng(7).random(4), again.rng(7).random(4)
    np.testing.assert_array_equal(first, second)
    assert (first != sampler.rng(8).random(4)).any()


def test_numbers_are_those_of_spawned_sequences():
    sampler = PatchSampler.build([blank(9, 9)], (4, 4), random_seed=11)
    child = np.random.SeedSequence(11).spawn(6)[5].spawn(2)[1]
    expected = np.random.default_rng(child).random(3)
    np.testing.assert_array_equal(sampler.rng(5).random(3), expected)


def test_drawing_is_planning_and_applying(rng):
    sample = Sample(
        rng.random((2, 60, 60), dtype=np.float32),
        labels=rng.integers(0, 4, (60, 60)).astype(np.int32),
    )
    sampler = PatchSampler.build([blank(60, 60), sample], (24, 24), random_seed=2)
    index = next(i for i in range(100) if sampler.place(i).image == 1)
    found = draw_patch(
        [blank(60, 60), sample],
        sampler,
        index=index,
        augmentation=Augmentation.strong(),
    )
    plan = plan_patch(
        sampler.rng(index),
        (2, 60, 60),
        (24, 24),
        centre=sampler.place(index).centre,
        augmentation=Augmentation.strong(),
    )
    expected = apply_patch(plan, sample)
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.labels, expected.labels)


# Mistakes


@pytest.mark.parametrize(
    ("samples", "patch_shape", "foreground", "error"),
    [
        ([], (8, 8), 0.5, SettingsError),
        ([blank(9, 9)], (8, 8), 1.5, SettingsError),
        ([blank(9, 9)], (8, 8, 8), 0.5, AxesError),
        ([blank(9, 9), blank(0, 9)], (8, 8), 0.5, AxesError),
    ],
)
def test_mistakes_are_named(samples, patch_shape, foreground, error):
    with pytest.raises(error):
        PatchSampler.build(samples, patch_shape, foreground=foreground)
