"""Runs with an outline: the labels of probabilities that were masked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask

import napari_unet as nu
from napari_unet.core.events import TileDone, exhaust
from napari_unet.errors import SettingsError
from napari_unet.pipeline.given import plan_given, run_given
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.separating import separate_sample

SHAPE = (70, 90)
TRIANGLE = [(5.5, 40.25), (60, 12), (50.75, 80.5)]
SQUARE = [(2, 60), (2, 85), (30, 85), (30, 60)]
OUTLINES = [TRIANGLE, [TRIANGLE, SQUARE], [[(20, 20), (20, 60), (45, 60), (45, 20)]]]


def noise(shape=SHAPE, seed=0):
    values = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    values = (values - values.min()) / (values.max() - values.min())
    return np.round(values * 250).astype(np.uint8)


def plainly(image, model, **options):
    """Segment without an outline, with thresholds that find cells in what comes."""
    p = nu.segment(image, model, **options).probabilities.astype(np.int64)
    separation = cell_like(p[1] - p[2], p[1] + p[2])
    return nu.segment(image, model, separation=separation, **options)


def cell_like(seeds, mask):
    """Return thresholds at quantiles of the evidence."""
    return nu.Separation(
        seed_threshold=float(np.quantile(seeds, 0.8)) / 65535,
        mask_threshold=float(np.quantile(mask, 0.4)) / 65535,
        min_seed_size=1,
        min_size=4,
    )


def mask_of(outline):
    polygons = outline if np.ndim(outline[0]) > 1 else [outline]
    return np.any([polygon2mask(SHAPE, points) for points in polygons], axis=0)


def masked(whole, outline):
    """Return labels and probabilities with nothing beside an outline."""
    kept = np.where(mask_of(outline), whole.probabilities, 0).astype(np.uint16)
    labels = nu.separate(
        kept,
        whole.separation,
        channels=whole.channels,
        axes=whole.axes,
        spatial=whole.spatial,
    )
    return labels, kept


@pytest.mark.parametrize("outline", OUTLINES)
@pytest.mark.parametrize("tile", [(), (16,), (32, 20)])
def test_labels_are_those_of_masked_probabilities(random_model, outline, tile):
    options = {"axes": "YX", "tiling": nu.Tiling(tile=tile)}
    image, model = noise(), random_model()
    whole = plainly(image, model, **options)
    labels, kept = masked(whole, outline)
    options |= {"outline": outline, "separation": whole.separation}
    found = nu.segment(image, model, **options)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.probabilities, kept)
    assert labels.max() > 1
    assert not found.labels[~mask_of(outline)].any()
    tuned = whole.separation.replace(min_size=9, min_seed_size=4)
    expected = nu.separate(kept, tuned, channels=whole.channels)
    np.testing.assert_array_equal(found.separate(tuned), expected)
    assert (expected != labels).any()


@pytest.mark.parametrize("axes", ["TYX", "XZY", "CYX"])
def test_every_plane_counts_by_the_outline(random_model, axes):
    sizes = {"T": 3, "Z": 2, "C": 1, "Y": SHAPE[0], "X": SHAPE[1]}
    image = noise([sizes[a] for a in axes], seed=2)
    model, options = random_model(), {"axes": axes, "tiling": nu.Tiling(tile=32)}
    whole = plainly(image, model, **options)
    outside = ~mask_of(TRIANGLE)
    if whole.axes.index("X") < whole.axes.index("Y"):
        outside = outside.T[:, None]
    kept = np.where(outside, 0, whole.probabilities).astype(np.uint16)
    names = {"channels": whole.channels, "axes": whole.axes, "spatial": "YX"}
    options |= {"outline": TRIANGLE, "separation": whole.separation}
    found = nu.segment(image, model, **options)
    np.testing.assert_array_equal(found.probabilities, kept)
    np.testing.assert_array_equal(
        found.labels, nu.separate(kept, whole.separation, **names)
    )
    assert found.labels.max() > 1


def test_a_volume_counts_by_the_outline_in_each_plane(random_model):
    image, model = noise((12, *SHAPE), seed=3), random_model(ndim=3)
    options = {"axes": "ZYX", "tiling": nu.Tiling(tile=(8, 24, 40))}
    whole = plainly(image, model, **options)
    labels, kept = masked(whole, TRIANGLE)
    options |= {"outline": TRIANGLE, "separation": whole.separation}
    found = nu.segment(image, model, **options)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.probabilities, kept)
    assert labels.max() > 1


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_scaled_image_counts_by_its_own_pixels(random_model, scale):
    options = {"axes": "YX", "tiling": nu.Tiling(tile=32), "scale": scale}
    image, model = noise(), random_model()
    whole = plainly(image, model, **options)
    labels, _ = masked(whole, TRIANGLE)
    options |= {"outline": TRIANGLE, "separation": whole.separation}
    found = nu.segment(image, model, **options)
    np.testing.assert_array_equal(found.labels, labels)
    assert labels.max() > 1


def test_blended_tiles_count_by_the_outline(random_model):
    options = {"axes": "YX", "tiling": nu.Tiling(tile=16)}
    image, model = noise(), random_model(norm="instance")
    assert model.tile_dependent_layers
    whole = plainly(image, model, **options)
    labels, kept = masked(whole, TRIANGLE)
    options |= {"outline": TRIANGLE, "separation": whole.separation}
    found = nu.segment(image, model, **options)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.probabilities, kept)
    assert labels.max() > 1


def test_an_outline_within_a_region_keeps_what_touches_both(threshold_model, scene):
    options = {"axes": "YX", "tiling": nu.Tiling(tile=16)}
    image, model = scene(SHAPE), threshold_model()
    labels, _ = masked(nu.segment(image, model, **options), TRIANGLE)
    touched = np.unique(labels[24:42, :42])
    touched = touched[touched > 0]
    region = {"Y": (24, 42), "X": (0, 42)}
    options |= {"outline": TRIANGLE, "region": region}
    found = nu.segment(image, model, **options)
    kept = np.isin(labels, touched)
    np.testing.assert_array_equal(found.labels > 0, kept)
    beyond = kept.copy()
    beyond[24:42, :42] = False
    assert beyond.any(), "cells are whole beyond the region, in the outline"
    cropped = nu.segment(image, model, crop=True, **options)
    pairs = zip(cropped.start.values(), cropped.labels.shape, strict=True)
    at = tuple(slice(start, start + n) for start, n in pairs)
    np.testing.assert_array_equal(cropped.labels, found.labels[at])
    assert cropped.labels.size < found.labels.size
    assert found.labels.max() == len(touched) > 1
    assert len(touched) < labels.max()


def test_tiles_beside_the_outline_are_not_computed(random_model):
    corners = [[(1, 1), (1, 9), (9, 1)], [(60, 80), (60, 88), (68, 88)]]
    job = nu.iter_segment(
        noise(),
        random_model(),
        axes="YX",
        tiling=nu.Tiling(tile=16),
        outline=corners,
    )
    done = [event for event in job if isinstance(event, TileDone)]
    assert len(done) < 6
    assert done[-1].n_done == done[-1].n_tiles == len(done)


@pytest.mark.parametrize("axes", ["YX", "CTYX"])
def test_given_probabilities_count_by_the_outline(random_model, axes):
    whole = plainly(noise(), random_model(), axes="YX")
    stored = whole.probabilities if "C" in axes else whole.probabilities[1]
    if "T" in axes:
        stored = np.stack([stored, stored[:, ::-1]], axis=1)
    separation = whole.separation if "C" in axes else cell_like(stored, stored)
    options = Options(separation=separation, outline=TRIANGLE, rgb=False)
    plan = plan_given(stored, axes, options)
    found = exhaust(run_given(plan, Here()))
    kept = np.where(mask_of(TRIANGLE), stored, 0).astype(np.uint16)
    expected = nu.separate(
        kept if "C" in axes else kept[None],
        separation,
        channels=found.channels,
        axes=axes.replace("C", ""),
    )
    np.testing.assert_array_equal(found.labels, expected)
    assert expected.max() > 1


class Here:
    """Separates in this process."""

    separate = staticmethod(separate_sample)


def test_provenance_holds_the_outline_as_json(random_model):
    options = {"axes": "YX", "outline": np.asarray(TRIANGLE)}
    found = nu.segment(noise(), random_model(), **options)
    made = json.loads(json.dumps(found.provenance))
    assert made["outline"] == [[list(point) for point in TRIANGLE]]
    again = nu.segment(noise(), random_model(), axes="YX", outline=made["outline"])
    np.testing.assert_array_equal(again.labels, found.labels)
    assert nu.segment(noise(), random_model(), axes="YX").provenance["outline"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"outline": [(0, 0), (5, 5)]}, "encloses nothing"),
        ({"outline": [(80, 0), (80, 50), (99, 50)]}, "no pixel of the image"),
        ({"outline": [(1.2, 1.2), (1.2, 1.4), (1.4, 1.4)]}, "no pixel of the image"),
        ({"outline": TRIANGLE, "region": {"Y": (64, 70)}}, "no pixel in common"),
    ],
)
def test_an_outline_beside_the_image_is_refused(random_model, options, said):
    with pytest.raises(SettingsError, match=said):
        nu.segment(noise(), random_model(), axes="YX", **options)
