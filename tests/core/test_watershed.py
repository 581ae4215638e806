from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unet.core.watershed import flood
from napari_unet.errors import AxesError, SettingsError


def keys_of(height, seeds, components):
    """Key of each mask pixel, straight from the definition."""
    keys = {}
    for pixel in map(tuple, np.argwhere(components)):
        own = np.argwhere((seeds > 0) & (components == components[pixel]))
        nearest = ((own - pixel) ** 2).sum(1).min(initial=2**40)
        index = np.ravel_multi_index(pixel, height.shape)
        keys[pixel] = (seeds[pixel] == 0, height[pixel], nearest, index)
    return keys


def root_of(parent, pixel):
    while parent[pixel] != pixel:
        pixel = parent[pixel]
    return pixel


def kruskal(height, seeds, mask, connectivity):
    """The forest of the definition: all edges, sorted, one after the other."""
    ndim = height.ndim
    structure = ndimage.generate_binary_structure(ndim, min(connectivity, ndim))
    components = ndimage.label(mask, structure)[0]
    seeds = np.where(mask, np.maximum(seeds, 0), 0)
    keys = keys_of(height, seeds, components)
    steps = np.argwhere(structure) - 1
    edges = []
    for pixel in keys:
        edges += [
            (keys[pixel], keys[other], pixel, other)
            for other in map(tuple, steps + pixel)
            if other in keys and keys[other] < keys[pixel]
        ]
    parent = {pixel: pixel for pixel in keys}
    label = {pixel: seeds[pixel] for pixel in keys}
    first = {}
    for pixel in keys:
        if seeds[pixel]:
            parent[pixel] = first.setdefault(seeds[pixel], pixel)
    for *_, pixel, other in sorted(edges):
        a, b = root_of(parent, pixel), root_of(parent, other)
        if a != b and not (label[a] and label[b]):
            parent[a] = b
            label[b] = label[a] or label[b]
    labels = np.zeros(height.shape, np.int32)
    for pixel in keys:
        labels[pixel] = label[root_of(parent, pixel)]
    return labels


def random_case(rng, ndim, longest):
    """Heights full of plateaus, seeds of several pixels and parts, a ragged mask."""
    shape = tuple(rng.integers(1, longest + 1, ndim))
    levels = rng.choice([1, 2, 3, 4, 250])
    height = rng.integers(0, levels, shape).astype(rng.choice([np.uint8, np.uint16]))
    mask = rng.random(shape) < rng.choice([0.5, 0.7, 0.9, 1])
    is_seed = rng.random(shape) < rng.choice([0.02, 0.1, 0.3])
    seeds = np.where(is_seed, rng.integers(1, rng.integers(2, 9), shape), 0)
    return height, seeds.astype(np.int32), mask


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None, max_examples=150)
def test_labels_are_the_minimum_spanning_forest(case, ndim, connectivity):
    rng = np.random.default_rng(case)
    arrays = random_case(rng, ndim, {1: 40, 2: 12, 3: 6}[ndim])
    labels = flood(*arrays, connectivity=connectivity)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, kruskal(*arrays, connectivity))


def random_walk(rng, shape, length):
    """A thin connected mask that fills little of its bounding box."""
    mask = np.zeros(shape, bool)
    at = np.zeros(len(shape), int)
    for _ in range(length):
        mask[tuple(at)] = True
        step = rng.choice([0, 0, 1, 1, 1, -1], len(shape))
        at = np.clip(at + step, 0, np.array(shape) - 1)
    return mask


@pytest.mark.parametrize("shape", [(300, 300), (30, 30, 30)])
def test_thin_components_in_large_boxes(shape):
    rng = np.random.default_rng(0)
    for _ in range(6):
        mask = random_walk(rng, shape, 350)
        height = rng.integers(0, 3, shape).astype(np.uint8)
        seeds = np.where(rng.random(shape) < 0.03, rng.integers(1, 30, shape), 0)
        seeds[0, 0] = 30
        labels = flood(height, seeds, mask, connectivity=3)
        np.testing.assert_array_equal(labels, kruskal(height, seeds, mask, 3))


@pytest.mark.parametrize(("shape", "levels"), [((90, 110), 2), ((14, 22, 26), 3)])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_each_component_in_its_crop_equals_the_whole(shape, levels, connectivity):
    rng = np.random.default_rng(connectivity)
    height = rng.integers(0, levels, shape).astype(np.uint8)
    mask = ndimage.gaussian_filter(rng.random(shape), 1.2) > 0.49
    seeds = np.where(rng.random(shape) < 0.02, rng.integers(1, 99, shape), 0)
    whole = flood(height, seeds, mask, connectivity=connectivity)
    ndim = len(shape)
    structure = ndimage.generate_binary_structure(ndim, min(connectivity, ndim))
    components = ndimage.label(mask, structure)[0]
    joined = np.zeros(shape, np.int32)
    for number, crop in enumerate(ndimage.find_objects(components), start=1):
        own = components[crop] == number
        labels = flood(height[crop], seeds[crop], own, connectivity=connectivity)
        joined[crop][own] = labels[own]
    np.testing.assert_array_equal(joined, whole)
    assert np.unique(whole).size > 20


def test_one_component_everywhere_in_a_larger_frame():
    rng = np.random.default_rng(5)
    height = rng.integers(0, 2, (40, 50)).astype(np.uint16)
    seeds = np.where(rng.random((40, 50)) < 0.01, rng.integers(1, 9, (40, 50)), 0)
    mask = np.ones((40, 50), bool)
    frame = ((3, 5), (7, 2))
    framed = flood(np.pad(height, frame), np.pad(seeds, frame), np.pad(mask, frame))
    labels = flood(height, seeds, mask)
    np.testing.assert_array_equal(framed, np.pad(labels, frame))
    assert (labels > 0).all()


@pytest.mark.parametrize("connectivity", [1, 2])
def test_a_plateau_between_two_seeds_is_halved(connectivity):
    height = np.full((31, 40), 7, np.uint8)
    seeds = np.zeros(height.shape, np.int32)
    seeds[15, 4], seeds[15, 35] = 8, 3
    labels = flood(height, seeds, height > 0, connectivity=connectivity)
    assert (labels[:, :20] == 8).all()
    assert (labels[:, 20:] == 3).all()


def test_plateaus_are_shared_by_distance_and_better_than_by_a_queue():
    rng = np.random.default_rng(6)
    wrong, wrong_queue = [], []
    for _ in range(20):
        seeds = np.zeros((70, 80), np.int32)
        seeds.ravel()[rng.choice(seeds.size, 8, replace=False)] = range(1, 9)
        seeds = ndimage.grey_dilation(seeds, size=(5, 5))
        height = np.zeros(seeds.shape, np.uint8)
        distances = np.stack(
            [ndimage.distance_transform_edt(seeds != k) for k in np.unique(seeds)[1:]]
        )
        for labels, share in (
            (flood(height, seeds, height == 0), wrong),
            (watershed(height, seeds), wrong_queue),
        ):
            rank = np.searchsorted(np.unique(seeds)[1:], labels)
            own = np.take_along_axis(distances, rank[None], 0)[0]
            share.append((own > distances.min(0)).mean())
    assert np.mean(wrong) < 0.025
    assert np.mean(wrong) < 0.5 * np.mean(wrong_queue)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_unique_heights_agree_with_scikit_image(connectivity):
    rng = np.random.default_rng(7)
    rough = ndimage.gaussian_filter(rng.random((256, 256)), 4)
    height = np.argsort(np.argsort(rough.ravel())).astype(np.uint16).reshape(256, 256)
    seeds = ndimage.label(height < 12_000)[0].astype(np.int32)
    mask = height < 60_000
    ours = flood(height, seeds, mask, connectivity=connectivity)
    theirs = watershed(height, seeds, mask=mask, connectivity=connectivity)
    assert seeds.max() > 50
    assert (ours == theirs)[mask].mean() > 0.995


def test_a_saddle_decides_not_the_distance():
    height = np.array([[9, 1, 1, 1, 1, 1, 6, 9, 5]], np.uint8)
    seeds = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 2]], np.int32)
    labels = flood(height, seeds, height > 0)
    assert labels.tolist() == [[1, 1, 1, 1, 1, 1, 1, 2, 2]]


def test_seeds_outside_the_mask_and_below_one_are_none():
    height = np.zeros((1, 7), np.uint8)
    seeds = np.array([[5, 0, 0, -1, 0, 0, 6]], np.int32)
    mask = np.array([[0, 1, 1, 1, 1, 1, 1]], bool)
    assert flood(height, seeds, mask).tolist() == [[0, 6, 6, 6, 6, 6, 6]]
    assert not flood(height, np.minimum(seeds, 0) - 1, mask).any()


def test_components_without_a_seed_stay_empty():
    height = np.zeros((3, 7), np.uint8)
    seeds = np.zeros((3, 7), np.int32)
    mask = np.ones((3, 7), bool)
    assert not flood(height, seeds, mask).any()
    mask[:, 3] = False
    seeds[0, 0] = 2
    assert flood(height, seeds, mask)[1].tolist() == [2, 2, 2, 0, 0, 0, 0]
    assert not flood(height, seeds, ~np.ones_like(mask)).any()


def test_neighbours_through_corners_only_where_asked():
    height = np.zeros((4, 4), np.uint8)
    seeds = np.zeros((4, 4), np.int32)
    seeds[0, 0] = 1
    mask = np.eye(4, dtype=bool)
    assert flood(height, seeds, mask).sum() == 1
    assert flood(height, seeds, mask, connectivity=2).sum() == 4
    assert flood(height, seeds, mask, connectivity=3).sum() == 4


def test_axes_of_length_one_change_nothing():
    height, seeds, mask = random_case(np.random.default_rng(8), 2, 30)
    flat = flood(height, seeds, mask, connectivity=2)
    for axis in range(3):
        thick = [np.expand_dims(a, axis) for a in (height, seeds, mask)]
        labels = flood(*thick, connectivity=2)
        np.testing.assert_array_equal(labels.squeeze(axis), flat)


def test_arguments_may_be_read_only_and_strided_and_are_kept():
    arrays = random_case(np.random.default_rng(9), 2, 30)
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    turned = flood(*(a.T for a in arrays))
    np.testing.assert_array_equal(turned, flood(*(a.T.copy() for a in arrays)))
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_an_empty_picture_gives_empty_labels():
    for shape in ((0,), (0, 5), (2, 0, 3)):
        empty = np.zeros(shape, np.uint8)
        assert flood(empty, empty.astype(np.int32), empty > 0).shape == shape


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"height": np.zeros((4, 4), np.float32)}, SettingsError, "not float32"),
        ({"seeds": np.zeros((4, 5), np.int32)}, AxesError, "differ in shape"),
        ({"connectivity": 0}, SettingsError, "connectivity of 0"),
        ({"seeds": np.full((4, 4), 2**31)}, SettingsError, "do not fit 32-bit"),
        ({"seeds": np.zeros((4, 4))}, SettingsError, "float64 do not fit"),
    ],
)
def test_unfit_arguments_are_refused(change, error, message):
    arguments = {
        "height": np.zeros((4, 4), np.uint8),
        "seeds": np.zeros((4, 4), np.int32),
        "mask": np.ones((4, 4), bool),
    }
    with pytest.raises(error, match=message) as caught:
        flood(**(arguments | change))
    assert caught.value.remedy


def test_too_long_an_axis_is_refused():
    height = np.zeros(1_000_001, np.uint8)
    with pytest.raises(AxesError, match="too long"):
        flood(height, height.astype(np.int32), height > 0)


def test_seed_order_does_not_matter():
    rng = np.random.default_rng(10)
    height, seeds, mask = random_case(rng, 2, 40)
    others = rng.permutation(seeds.max() + 1).astype(np.int32) + 1
    turned = flood(height, np.where(seeds > 0, others[seeds], 0), mask)
    labels = flood(height, seeds, mask)
    np.testing.assert_array_equal(turned, np.where(labels > 0, others[labels], 0))


def test_every_corner_of_a_cube_is_a_neighbour():
    for corner in itertools.product((0, 2), repeat=3):
        mask = np.zeros((3, 3, 3), bool)
        mask[1, 1, 1] = mask[corner] = True
        seeds = np.zeros((3, 3, 3), np.int32)
        seeds[corner] = 4
        height = np.zeros((3, 3, 3), np.uint16)
        assert flood(height, seeds, mask, connectivity=3)[1, 1, 1] == 4
        assert flood(height, seeds, mask, connectivity=2)[1, 1, 1] == 0
