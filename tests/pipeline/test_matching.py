"""Pixel size and cell diameter: the network sees its own pixels, the user his."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.core.pixel_size import spatial_pixel_size
from napari_unet.errors import SettingsError


def larger(image, times):
    return np.kron(image, np.ones((times,) * image.ndim, image.dtype))


def agreement(labels, wanted):
    """Fraction of pixels that are alike once objects are matched."""
    pairs = {(a, b) for a, b in zip(labels.flat, wanted.flat, strict=True) if a and b}
    assert len(pairs) == len({a for a, _ in pairs}) == wanted.max()
    return ((labels > 0) == (wanted > 0)).mean()


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("given", ["pixel_size", "diameter", "scale", "mapping"])
def test_a_finer_image_is_seen_at_the_models_pixels(
    threshold_model, scene, components, times, given
):
    model = threshold_model(pixel_size=(0.6, 0.6), diameter=6.0)
    image = larger(scene(), times)
    size = 0.6 / times
    options = {
        "pixel_size": {"pixel_size": size},
        "mapping": {"pixel_size": {"Y": size, "X": size, "Z": 3.0}},
        "diameter": {"diameter": 6.0 * times},
        "scale": {"scale": 1 / times},
    }[given]
    seg = nu.segment(image, model, axes="YX", **options)
    assert seg.provenance["resampled_shape"] == list(scene().shape)
    assert any("to the model's pixel size" in note for note in seg.notes)
    assert seg.labels.shape == image.shape
    assert agreement(seg.labels, components(image)) > 0.98


def test_a_coarser_image_too(threshold_model, scene, components):
    model = threshold_model(pixel_size=(0.25, 0.25))
    image = scene((72, 72))
    seg = nu.segment(image, model, axes="YX", pixel_size=0.5)
    assert seg.provenance["resampled_shape"] == [144, 144]
    assert agreement(seg.labels, components(image)) > 0.98


def test_each_axis_has_its_own_factor(threshold_model, scene, components):
    model = threshold_model(ndim=3, pixel_size=(1.0, 0.5, 0.5))
    image = np.repeat(scene((24, 24, 24)), 2, axis=0)
    seg = nu.segment(image, model, axes="ZYX", pixel_size=(0.5, 0.5, 0.5))
    assert seg.provenance["resampled_shape"] == [24, 24, 24]
    assert agreement(seg.labels, components(image)) > 0.98


@pytest.mark.parametrize(
    ("known", "given"), [((0.5, 0.5), None), (None, 0.5), ((0.5, 0.5), 0.5)]
)
def test_unknown_or_equal_sizes_change_nothing(threshold_model, scene, known, given):
    seg = nu.segment(
        scene(), threshold_model(pixel_size=known), axes="YX", pixel_size=given
    )
    assert seg.provenance["resampled_shape"] is None
    assert seg.notes == ()


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, [36, 36]),  # as the images were scaled that it was trained on
        ({"scale": 1.0}, None),
        ({"diameter": 20.0}, None),
        ({"pixel_size": 0.5}, [144, 144]),
    ],
)
def test_where_nothing_else_is_known_the_models_own_scale_counts(
    threshold_model, scene, options, seen
):
    model = threshold_model(pixel_size=(0.25, 0.25), diameter=20.0, scale=0.5)
    seg = nu.segment(scene((72, 72)), model, axes="YX", **options)
    assert seg.provenance["resampled_shape"] == seen
    assert seg.labels.shape == (72, 72)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_same_objects_are_too_small_at_every_magnification(
    threshold_model, scene, times
):
    """A model's own sizes are its network's; sizes that are given are the image's."""
    # Single bright pixels of the network beside blocks of 6 x 6.
    picture = scene()
    picture[1::12, 1::12] = 200
    image = larger(picture, times)
    sizes = nu.Separation(seed_threshold=0.3, min_seed_size=5, min_size=5)
    model = threshold_model(diameter=6.0, separation=sizes)
    found = nu.segment(image, model, axes="YX", diameter=6.0 * times)
    n_blocks = nu.segment(scene(), model, axes="YX").labels.max()
    assert found.labels.max() == n_blocks > 5
    assert found.separation.min_size == 5 * times**2
    assert found.provenance["separation"]["min_seed_size"] == 5 * times**2
    given = nu.Separation(min_seed_size=1, min_size=1)
    every = nu.segment(image, model, axes="YX", diameter=6.0 * times, separation=given)
    assert every.labels.max() > n_blocks
    assert (every.separation.min_seed_size, every.separation.min_size) == (1, 1)


def test_tiles_of_a_resampled_image_do_not_show(random_model, scene):
    image = scene((60, 60))
    one, many = (
        nu.segment(
            image, random_model(), axes="YX", scale=1.3, tiling=nu.Tiling(tile=tile)
        )
        for tile in ((), (16, 24))
    )
    difference = one.probabilities.astype(int) - many.probabilities
    assert np.abs(difference).max() <= 1


def test_nan_does_not_spread_by_interpolation(threshold_model, scene, components):
    image = larger(scene(), 2).astype(np.float32)
    image[0, 0] = np.nan
    seg = nu.segment(image, threshold_model(), axes="YX", scale=0.5)
    assert agreement(seg.labels, components(np.nan_to_num(image))) > 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diameter": 5.0}, "does not know the diameter"),
        ({"diameter": -1}, "diameter -1 is not positive"),
        ({"scale": 0}, "scale 0 is not positive"),
        ({"scale": float("nan")}, "is not positive"),
        ({"pixel_size": 0.0}, "is not positive"),
        ({"pixel_size": (1, 1, 1, 1)}, "4 pixel sizes were given for the axes YX"),
        ({"scale": 1e-3}, "would be scaled by 0.001 x 0.001"),
    ],
)
def test_refusals(threshold_model, scene, options, message):
    with pytest.raises(SettingsError, match=message):
        nu.segment(scene(), threshold_model(), axes="YX", **options)


def test_an_option_that_does_not_exist(threshold_model, scene):
    with pytest.raises(SettingsError, match=r"no option colour\. The options are axes"):
        nu.segment(scene(), threshold_model(), colour="red")


@pytest.mark.parametrize(
    ("given", "spatial", "wanted"),
    [
        (None, "YX", None),
        (0.5, "ZYX", (0.5, 0.5, 0.5)),
        ((0.5,), "YX", (0.5, 0.5)),
        ((2, 0.5, 0.25), "YX", (0.5, 0.25)),
        ((2, 0.5, 0.25), "ZYX", (2.0, 0.5, 0.25)),
        ({"X": 0.5}, "YX", None),
        ({"X": 0.5, "Y": 1, "Z": 9}, "YX", (1.0, 0.5)),
    ],
)
def test_pixel_sizes_by_axis(given, spatial, wanted):
    assert spatial_pixel_size(given, spatial) == wanted
