from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from napari_unet.core.simulate import Simulation, simulate, simulate_series
from napari_unet.core.simulate_optics import count_photons, draw_photons

SMALL = Simulation(shape=(160, 160), n_cells=16, random_seed=3)
VOLUME = Simulation(
    shape=(20, 80, 80), spacing=(2, 1, 1), n_cells=10, diameter=20, random_seed=1
)


def inner_values(image, labels, depth=5):
    """Per nucleus the values at least `depth` pixels inside, where there are some."""
    inner = np.where(ndimage.distance_transform_edt(labels) > depth, labels, 0)
    return [image[inner == label] for label in np.unique(inner)[1:]]


def steepest(image, axis):
    """The slope of edges: few pixels are steeper."""
    return np.percentile(np.abs(np.diff(image.astype(float), axis=axis)), 99.5)


def test_optics_and_camera_leave_the_truth_alone():
    _, labels = simulate(SMALL)
    changes = {"photons": 20.0, "haze": 0.5, "uneven_light": 0.9, "dtype": "uint8"}
    image, same = simulate(SMALL.replace(**changes, blur_sigma=3.0))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(labels, same)


@pytest.mark.parametrize("dtype", ["uint16", "uint8"])
@pytest.mark.parametrize("simulation", [SMALL, VOLUME], ids=["2d", "3d"])
def test_dtype_and_shape(simulation, dtype):
    image, labels = simulate(simulation.replace(dtype=dtype))
    assert image.dtype == dtype
    assert image.shape == labels.shape == simulation.shape
    assert np.mean(image == np.iinfo(dtype).max) < 0.01
    assert np.mean(image == 0) < 0.001


def test_nuclei_differ_in_brightness_only_if_asked():
    def spread(**changes):
        quiet = SMALL.replace(
            texture=0, nucleoli=0, defocus=0, haze=0, uneven_light=0, crowding=0,
            condensed=0, photons=1e5, **changes,
        )  # fmt: skip
        medians = [np.median(values) for values in inner_values(*simulate(quiet))]
        return np.std(medians) / np.mean(medians)

    assert spread(brightness_spread=0.0) < 0.05
    assert spread(brightness_spread=0.4) > 0.2


def test_texture_and_nucleoli_show_inside_nuclei():
    def contrast(**changes):
        quiet = SMALL.replace(photons=1e5, defocus=0, uneven_light=0, **changes)
        parts = inner_values(*simulate(quiet))
        return np.median([values.std() / values.mean() for values in parts])

    plain = contrast(texture=0, nucleoli=0)
    assert contrast(texture=0.3, nucleoli=0) > 2 * plain
    assert contrast(texture=0, nucleoli=5.0) > 1.5 * plain


def test_blur_and_haze_spread_light():
    image, labels = simulate(SMALL.replace(photons=1e5, blur_sigma=0.5))
    blurred, _ = simulate(SMALL.replace(photons=1e5, blur_sigma=4.0))
    hazy, _ = simulate(SMALL.replace(photons=1e5, blur_sigma=0.5, haze=0.6))
    assert steepest(blurred, 1) < 0.5 * steepest(image, 1)
    ring = (labels == 0) & (ndimage.distance_transform_edt(labels == 0) > 4)
    assert np.median(hazy[ring]) > 1.3 * np.median(image[ring])
    # Haze moves light and makes none.
    assert hazy.mean() == pytest.approx(image.mean(), rel=0.1)


def test_axial_blur_is_wider():
    settings = {"photons": 1e5, "haze": 0.0, "debris": 0.0, "depth_loss": 0.0}
    even = VOLUME.replace(shape=(48, 48, 48), n_cells=3, spacing=(1, 1, 1), **settings)
    ratios = []
    for axial_blur in (1.0, 4.0):
        image, _ = simulate(even.replace(axial_blur=axial_blur))
        ratios.append(steepest(image, 0) / steepest(image, 1))
    assert ratios[0] == pytest.approx(1, rel=0.15)
    assert ratios[1] < 0.75 * ratios[0]


def test_uneven_light_falls_by_what_was_asked():
    flat = SMALL.replace(
        n_cells=0, background=1.0, photons=1e6, offset=0.0, read_noise=0.0,
        uneven_light=0.0,
    )  # fmt: skip
    even, _ = simulate(flat)
    uneven, _ = simulate(flat.replace(uneven_light=0.6))
    ratio = uneven / even
    assert ratio.max() == pytest.approx(1.0, abs=0.02)
    assert ratio.min() == pytest.approx(0.4, abs=0.02)


def test_light_is_lost_with_depth():
    flat = VOLUME.replace(
        n_cells=0, background=1.0, photons=1e6, offset=0.0, read_noise=0.0,
        uneven_light=0.0,
    )  # fmt: skip
    clear, _ = simulate(flat.replace(depth_loss=0.0))
    murky, _ = simulate(flat.replace(depth_loss=0.5))
    left = murky.mean(axis=(1, 2)) / clear.mean(axis=(1, 2))
    np.testing.assert_allclose(left, 0.5 ** np.linspace(0, 1, len(left)), rtol=0.02)


def test_debris_shows_and_has_no_label():
    plain = SMALL.replace(photons=1e5, crowding=0.0)
    clean, labels = simulate(plain.replace(debris=0.0))
    dirty, same = simulate(plain.replace(debris=3.0))
    np.testing.assert_array_equal(labels, same)
    ground = ndimage.distance_transform_edt(labels == 0) > 6
    assert dirty[ground].max() > 2 * clean[ground].max()


@pytest.mark.parametrize("mean", [0.05, 0.5, 3.9, 4.1, 12.0, 150.0])
def test_photons_follow_the_poisson_law(mean):
    n = 200_000
    counts = draw_photons(np.full(n, mean, np.float32), np.random.default_rng(0))
    values, seen = np.unique(counts.astype(int), return_counts=True)
    # Total variation distance between what was drawn and scipy's Poisson law.
    expected = stats.poisson.pmf(np.arange(values.max() + 50), mean)
    observed = np.zeros_like(expected)
    observed[values] = seen / n
    assert 0.5 * np.abs(observed - expected).sum() < 0.015
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n))


def test_no_light_no_photons():
    rng = np.random.default_rng(0)
    assert not draw_photons(np.zeros(1000, np.float32), rng).any()


@pytest.mark.parametrize("photons", [20.0, 500.0])
def test_variance_of_counts_grows_with_their_mean(photons):
    simulation = Simulation(photons=photons, read_noise=3.0, gain=7.0, offset=300.0)
    for light in (0.1, 0.5, 2.0):
        flat = np.full((400, 400), light, np.float32)
        counts = count_photons(flat, simulation, rng=np.random.default_rng(1))
        expected = photons * light
        assert counts.mean() == pytest.approx(300 + 7 * expected, rel=0.01)
        variance = 49 * (expected + 9)
        # Five standard errors of a variance from 160,000 values.
        assert counts.var() == pytest.approx(variance, rel=0.018 + 0.15 / expected)


def test_noise_of_whole_images_is_photon_noise():
    still = SMALL.replace(
        motion=0.0, division_rate=0.0, photons=100.0, read_noise=1.0, gain=10.0,
        offset=200.0,
    )  # fmt: skip
    images, labels = simulate_series(still, 2)
    np.testing.assert_array_equal(labels[0], labels[1])
    first, second = images.astype(float)
    photons = (first + second - 400) / 20
    squares = (first - second) ** 2 / 2 / 100
    for low, high in ((5, 15), (40, 80), (80, 150)):
        chosen = (photons > low) & (photons < high)
        assert chosen.sum() > 500
        expected = photons[chosen].mean() + 1
        assert squares[chosen].mean() == pytest.approx(expected, rel=0.2)


def test_gain_and_offset_are_those_of_the_camera():
    image, _ = simulate(SMALL.replace(gain=1.0, offset=1000.0))
    doubled, _ = simulate(SMALL.replace(gain=2.0, offset=500.0))
    light = (image.astype(float) - 1000) - (doubled.astype(float) - 500) / 2
    assert np.abs(light).max() <= 1
