"""Intensity changes against hand values, SciPy, and the statistics asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_unet.core.intensity_augment import (
    IntensityPlan,
    apply_intensity,
    bend,
    plan_intensity,
)
from napari_unet.errors import SettingsError
from napari_unet.training_settings import Augmentation

quick = settings(deadline=None, max_examples=60)
floats = st.floats(-3, 3, width=32)


def test_an_empty_plan_changes_nothing(rng):
    image = rng.random((2, 9, 9), dtype=np.float32)
    np.testing.assert_array_equal(apply_intensity(image, IntensityPlan()), image)


def test_gain_and_offset_by_hand():
    image = np.array([[[0, 1, 2]], [[0, 1, 2]]], np.float32)
    plan = IntensityPlan(gain=(2.0, 0.5), offset=(0.25, -1.0))
    expected = [[[0.25, 2.25, 4.25]], [[-1.0, -0.5, 0.0]]]
    np.testing.assert_array_equal(apply_intensity(image, plan), expected)


def test_gamma_by_hand():
    channel = np.array([0, 0.25, 1, 4], np.float32)
    np.testing.assert_allclose(bend(channel, 0.5), [0, 0.5, 1, 2])
    np.testing.assert_allclose(bend(channel, 2.0), [0, 0.0625, 1, 16])
    negative = np.array([-1, 0, 1], np.float32)
    np.testing.assert_allclose(bend(negative, 2.0), [-1, -0.5, 1])


@quick
@given(st.lists(floats, min_size=1, max_size=8), st.floats(0.3, 3))
def test_gamma_keeps_the_order_and_stays_finite(values, gamma):
    channel = np.sort(np.array(values, np.float32))
    bent = bend(channel, gamma)
    assert bent.dtype == np.float32
    assert np.isfinite(bent).all()
    assert (np.diff(bent) >= 0).all()
    if channel[0] < 0:
        assert bent[0] == channel[0]


def test_gamma_keeps_the_noise_of_a_dark_background_in_one_piece(rng):
    channel = rng.normal(0, 0.02, 10_000).astype(np.float32)
    bent = bend(channel, 0.6)
    assert bent.std() < 0.06
    # A power with the sign kept would leave a hole in the histogram at 0.
    near = np.abs(bent - np.median(bent)) < 0.1 * bent.std()
    assert near.mean() > 0.05


def test_gain_follows_gamma_and_offset_follows_gain():
    image = np.array([[[0, 0.25]]], np.float32)
    plan = IntensityPlan(gamma=(0.5,), gain=(3.0,), offset=(1.0,))
    np.testing.assert_allclose(apply_intensity(image, plan), [[[1.0, 2.5]]])


def test_blur_is_scipys_per_channel_and_in_physical_space(rng):
    image = rng.random((2, 8, 12, 12), dtype=np.float32)
    plan = IntensityPlan(blur=(1.0, 2.0))
    found = apply_intensity(image, plan, pixel_size=(4.0, 1.0, 1.0))
    for channel, blurred, sigma in zip(image, found, (1.0, 2.0), strict=True):
        sigmas = (sigma / 4, sigma, sigma)
        expected = gaussian_filter(channel, sigmas, mode="mirror")
        np.testing.assert_allclose(blurred, expected, atol=1e-6)


def test_low_resolution_keeps_flat_and_loses_fine_detail():
    flat = np.full((1, 16, 16), 0.7, np.float32)
    plan = IntensityPlan(low_resolution=(0.5,))
    np.testing.assert_allclose(apply_intensity(flat, plan), flat, rtol=1e-6)
    stripes = np.broadcast_to(np.arange(32) % 2, (1, 32, 32)).astype(np.float32)
    found = apply_intensity(stripes, plan)
    assert found.shape == stripes.shape
    assert found.std() < 0.1 * stripes.std()
    slow = np.sin(np.arange(64, dtype=np.float32) / 10)[None, None].repeat(64, axis=1)
    assert np.abs(apply_intensity(slow, plan) - slow)[..., 4:-4].max() < 0.02


def test_low_resolution_leaves_coarser_planes_alone(rng):
    column = rng.random((1, 10, 1, 1), dtype=np.float32)
    image = np.broadcast_to(column, (1, 10, 12, 12)).copy()
    plan = IntensityPlan(low_resolution=(0.5,))
    kept = apply_intensity(image, plan, pixel_size=(3.0, 1.0, 1.0))
    np.testing.assert_allclose(kept, image, rtol=1e-6)
    assert np.abs(apply_intensity(image, plan) - image).max() > 0.1


def test_noise_comes_last_with_the_deviation_asked_for():
    image = np.zeros((2, 200, 200), np.float32)
    plan = IntensityPlan(
        gain=(5.0, 5.0), blur=(3.0, 3.0), noise=(0.1, 0.4), noise_seed=4
    )
    found = apply_intensity(image, plan)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.std(axis=(1, 2)), [0.1, 0.4], rtol=0.03)
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.02
    neighbours = np.corrcoef(found[0, :, 1:].ravel(), found[0, :, :-1].ravel())
    assert abs(neighbours[0, 1]) < 0.02
    np.testing.assert_array_equal(found, apply_intensity(image, plan))


def test_the_image_given_is_not_written_to(rng):
    image = rng.random((2, 32, 32), dtype=np.float32)
    before = image.copy()
    every = dict.fromkeys(
        ("gamma", "gain", "offset", "blur", "low_resolution", "noise"), (0.8, 0.9)
    )
    changed = apply_intensity(image, IntensityPlan(**every))
    np.testing.assert_array_equal(image, before)
    assert (changed != image).any()


# Planning


def test_shares_of_patches_are_those_of_the_settings(rng):
    augmentation = Augmentation(
        intensity_probability=0.5,
        blur_probability=0.2,
        noise_probability=0.0,
        low_resolution_probability=1.0,
    )
    plans = [plan_intensity(rng, 1, augmentation=augmentation) for _ in range(2000)]
    expected = {"gamma": 0.5, "gain": 0.5, "offset": 0.5, "blur": 0.2}
    expected |= {"noise": 0.0, "low_resolution": 1.0}
    for name, share in expected.items():
        found = np.mean([getattr(plan, name) is not None for plan in plans])
        assert abs(found - share) <= 4 * np.sqrt(share * (1 - share) / 2000)


def test_numbers_fill_their_ranges(rng):
    augmentation = Augmentation.none().replace(
        gain=(0.5, 2.0), offset=(-0.1, 0.3), intensity_probability=1.0
    )
    plans = [plan_intensity(rng, 2, augmentation=augmentation) for _ in range(2000)]
    gains = np.array([plan.gain for plan in plans])
    offsets = np.array([plan.offset for plan in plans])
    assert gains.shape == (2000, 2)
    assert 0.5 <= gains.min() < 0.51
    assert 1.97 < gains.max() <= 2.0
    # Uniform in the logarithm: as often below 1 as above, and as often halved.
    assert abs((gains < 1).mean() - 0.5) < 0.04
    assert abs((gains < 2**-0.5).mean() - 0.25) < 0.04
    assert abs(offsets.mean() - 0.1) < 0.01
    assert -0.1 <= offsets.min() < -0.09
    assert 0.29 < offsets.max() <= 0.3


def test_channels_differ_in_numbers_but_not_in_what_is_changed(rng):
    augmentation = Augmentation.none().replace(intensity_probability=1.0)
    plan = plan_intensity(rng, 3, augmentation=augmentation)
    for numbers in (plan.gamma, plan.gain, plan.offset):
        assert len(set(numbers)) == 3
    assert plan.blur is None


def test_one_setting_does_not_shift_the_others():
    base = Augmentation.none().replace(intensity_probability=1.0)
    first, second = (
        plan_intensity(np.random.default_rng(7), 2, augmentation=augmentation)
        for augmentation in (base, base.replace(blur_probability=1.0, gain=(2.0, 3.0)))
    )
    assert first.gamma == second.gamma
    assert first.offset == second.offset
    assert first.noise_seed == second.noise_seed
    assert first.gain != second.gain


@pytest.mark.parametrize(
    "change",
    [
        {"gain": (2.0, 1.0)},
        {"gain": (0.0, 1.0)},
        {"gamma": (-1.0, 1.0)},
        {"blur": (-0.1, 1.0)},
        {"noise": (-0.1, 0.1)},
        {"low_resolution": (0.5, 1.5)},
        {"low_resolution": (0.0, 1.0)},
        {"offset": (0.1, -0.1)},
    ],
)
def test_impossible_ranges_are_refused(rng, change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        plan_intensity(rng, 1, augmentation=Augmentation().replace(**change))
