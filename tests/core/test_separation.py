from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.separation import (
    renumber,
    separate_instances,
    separate_semantic,
)
from napari_unet.errors import AxesError, SettingsError
from napari_unet.settings import Separation

CHANNELS = ("interior", "boundary")
PLAIN = Separation(min_seed_size=1, min_size=0, fill_holes=False)


def stored(*channels, dtype=np.uint16):
    scale = np.iinfo(dtype).max
    return np.rint(np.stack(channels) * scale).astype(dtype)


def balls(shape, centres, radius):
    """Interior and boundary of balls; where they touch both meet in the middle."""
    grid = np.indices(shape)
    distance = np.stack(
        [
            np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
            for centre in centres
        ]
    )
    depth = radius - distance.min(0)
    interior = np.clip(depth / 4, 0, 1)
    boundary = np.where(depth > 0, 1 - interior, 0)
    return (interior, boundary), distance


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_two_touching_discs_become_two_labels(dtype):
    channels, distance = balls((40, 60), [(20, 20), (20, 37)], 10)
    labels = separate_instances(stored(*channels, dtype=dtype), CHANNELS, Separation())
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, distance.min(0) < 10)
    assert labels.max() == 2
    own = distance.argmin(0) + 1
    tie = np.abs(distance[0] - distance[1]) < 1
    clear = (labels > 0) & ~tie
    np.testing.assert_array_equal(labels[clear], own[clear])


def test_touching_balls_in_three_dimensions():
    centres = [(10, 10, 10), (10, 10, 23), (10, 23, 10)]
    channels, distance = balls((21, 34, 34), centres, 8)
    labels = separate_instances(stored(*channels), CHANNELS, Separation())
    np.testing.assert_array_equal(labels > 0, distance.min(0) < 8)
    nearest = np.sort(distance, axis=0)
    clear = (labels > 0) & (nearest[1] - nearest[0] > 1)
    np.testing.assert_array_equal(labels[clear], (distance.argmin(0) + 1)[clear])


def test_three_ways_to_describe_the_same_cells():
    (interior, boundary), distance = balls((40, 60), [(20, 20), (20, 37)], 10)
    background = 1 - interior - boundary
    own = distance.argmin(0)
    separation = Separation(mask_threshold=0.01)
    for array, names in (
        (stored(background, interior, boundary), ("background", *CHANNELS)),
        (stored(1 - interior, interior), ("background", "interior")),
        (stored(interior), ("interior",)),
        (stored(np.clip(1 - distance.min(0) / 10, 0, 1)), ("distance",)),
    ):
        labels = separate_instances(array, names, separation)
        assert labels.max() == 2
        assert (labels[own == 0] != 2)[distance[0][own == 0] < 8].all()
        assert (labels > 0).sum() >= 0.9 * (distance.min(0) < 10).sum()


def row(*values):
    """One line of interior values in hundredths, uint8 scaled to 255."""
    return np.rint(np.array([[values]]) * 2.55).astype(np.uint8)


def separate_row(values, **changes):
    settings = PLAIN.replace(**changes)
    return separate_instances(row(*values), ("interior",), settings)[0].tolist()


def test_seed_threshold():
    values = (60, 80, 60, 55, 60, 75, 60)
    assert separate_row(values) == [1, 1, 1, 1, 2, 2, 2]
    assert separate_row(values, seed_threshold=0.77) == [1] * 7
    assert separate_row(values, seed_threshold=0.5) == [1] * 7
    assert separate_row(values, seed_threshold=0.9) == [0] * 7


def test_min_seed_size():
    values = (60, 80, 80, 55, 60, 75, 60)
    assert separate_row(values) == [1, 1, 1, 1, 2, 2, 2]
    assert separate_row(values, min_seed_size=2) == [1] * 7
    assert separate_row(values, min_seed_size=3) == [0] * 7


def test_mask_threshold():
    values = (10, 40, 60, 90, 60, 40, 10)
    assert separate_row(values) == [0, 0, 1, 1, 1, 0, 0]
    assert separate_row(values, mask_threshold=0.3) == [0, 1, 1, 1, 1, 1, 0]
    assert separate_row(values, mask_threshold=0.8) == [0, 0, 0, 1, 0, 0, 0]


def test_min_size_drops_and_numbers_again():
    values = (90, 90, 0, 90, 90, 90, 0, 90, 90, 90, 90)
    assert separate_row(values) == [1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 3]
    assert separate_row(values, min_size=3) == [0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 2]
    assert separate_row(values, min_size=5) == [0] * 11


def test_keep_unseeded():
    values = (90, 60, 0, 60, 60, 60, 0, 60)
    assert separate_row(values) == [1, 1, 0, 0, 0, 0, 0, 0]
    kept = separate_row(values, keep_unseeded=True)
    assert kept == [1, 1, 0, 2, 2, 2, 0, 3]
    larger = (60, 90, 90, *values)
    for name in ("min_size", "min_seed_size"):
        kept = separate_row(larger, keep_unseeded=True, **{name: 3})
        assert kept == [1, 1, 1, 1, 1, 0, 2, 2, 2, 0, 0]
    first = separate_row((60, 0, 90), keep_unseeded=True)
    assert first == [1, 0, 2]


def test_a_speck_that_is_dropped_leaves_no_hole():
    interior = np.zeros((11, 11))
    interior[1:10, 1:10] = 0.9
    interior[4:7, 4:7] = 0.2
    interior[5, 5] = 0.9
    settings = PLAIN.replace(fill_holes=True)
    with_speck = separate_instances(stored(interior), ("interior",), settings)
    assert with_speck.max() == 2
    dropped = settings.replace(min_size=5)
    labels = separate_instances(stored(interior), ("interior",), dropped)
    wanted = np.zeros((11, 11))
    wanted[1:10, 1:10] = 1
    np.testing.assert_array_equal(labels, wanted)


def test_fill_holes_counts_before_small_objects_go():
    interior = np.zeros((9, 9))
    interior[2:7, 2:7] = 1
    interior[3:6, 3:6] = 0
    probabilities = stored(interior)
    settings = PLAIN.replace(min_size=20)
    assert not separate_instances(probabilities, ("interior",), settings).any()
    settings = settings.replace(fill_holes=True)
    assert (separate_instances(probabilities, ("interior",), settings) == 1).sum() == 25


def test_connectivity():
    interior = np.zeros((6, 6))
    interior[:3, :3] = interior[3:, 3:] = 1
    for connectivity, count in ((1, 2), (2, 1), (3, 1)):
        settings = PLAIN.replace(connectivity=connectivity)
        labels = separate_instances(stored(interior), ("interior",), settings)
        assert labels.max() == count


def test_labels_follow_the_first_pixel_of_the_object_not_of_the_seed():
    interior = np.zeros((12, 12))
    interior[1:11, 6:11] = 0.6
    interior[3:11, 1:5] = 0.6
    interior[8:10, 7:10] = 0.9
    interior[4:7, 2:4] = 0.9
    labels = separate_instances(stored(interior), ("interior",), PLAIN)
    assert labels[1, 6] == 1
    assert labels[4, 2] == 2


def test_one_plane_of_a_stack_equals_the_picture():
    channels, _ = balls((40, 60), [(20, 20), (20, 37)], 10)
    picture = stored(*channels)
    flat = separate_instances(picture, CHANNELS, Separation())
    thick = separate_instances(picture[:, None], CHANNELS, Separation())
    np.testing.assert_array_equal(thick, flat[None])


def test_empty_results_are_valid():
    for shape in ((2, 5, 6), (2, 3, 5, 6), (2, 0, 6)):
        labels = separate_instances(
            np.zeros(shape, np.uint16), CHANNELS, Separation(keep_unseeded=True)
        )
        assert labels.shape == shape[1:]
        assert labels.dtype == np.int32
        assert not labels.any()


def test_unfit_probabilities_are_refused():
    with pytest.raises(AxesError, match="not one sample"):
        separate_instances(np.zeros((2, 9), np.uint8), CHANNELS, Separation())
    with pytest.raises(SettingsError, match="float64"):
        separate_instances(np.zeros((2, 9, 9)), CHANNELS, Separation())
    with pytest.raises(AxesError, match="channel names"):
        separate_instances(np.zeros((3, 9, 9), np.uint8), CHANNELS, Separation())


def test_the_argument_is_kept():
    channels, _ = balls((40, 60), [(20, 20), (20, 37)], 10)
    probabilities = stored(*channels)
    copy = probabilities.copy()
    probabilities.flags.writeable = False
    separate_instances(probabilities, CHANNELS, Separation(keep_unseeded=True))
    np.testing.assert_array_equal(probabilities, copy)


def test_semantic_takes_the_largest_and_the_first_of_equals():
    probabilities = np.array([[[3, 7, 0]], [[3, 9, 0]], [[5, 9, 0]]], np.uint8)
    labels = separate_semantic(probabilities)
    assert labels.dtype == np.int32
    assert labels.tolist() == [[2, 1, 0]]


def test_semantic_with_one_channel_takes_one_half():
    assert separate_semantic(np.array([[[127, 128, 0]]], np.uint8)).tolist() == [
        [0, 1, 0]
    ]
    assert separate_semantic(np.array([[[32767, 32768]]], np.uint16)).tolist() == [
        [0, 1]
    ]
    with pytest.raises(SettingsError):
        separate_semantic(np.zeros((1, 2, 2)))


def test_renumber_is_consecutive_in_raster_order():
    labels = np.array([[0, 7, 7], [3, 0, 7], [3, 5, 9]], np.int32)
    assert renumber(labels).tolist() == [[0, 1, 1], [2, 0, 1], [2, 3, 4]]
    assert renumber(labels, min_size=2).tolist() == [[0, 1, 1], [2, 0, 1], [2, 0, 0]]
