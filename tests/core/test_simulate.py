from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.simulate import Simulation, simulate, simulate_series
from napari_unet.errors import SettingsError

SMALL = Simulation(shape=(160, 160), n_cells=16, random_seed=3)
VOLUME = Simulation(
    shape=(20, 80, 80), spacing=(2, 1, 1), n_cells=10, diameter=20, random_seed=1
)
SAMPLES = {
    "2d": SMALL,
    "crowded": SMALL.replace(crowding=1.0, overlap=0.3, irregularity=0.15),
    "long": SMALL.replace(elongation=3.0),
    "tiny": SMALL.replace(shape=(80, 80), diameter=5.0, n_cells=60),
    "3d": VOLUME,
    "3d flat": VOLUME.replace(shape=(8, 80, 80), spacing=(5, 1, 1)),
}


def touching_pairs(labels):
    """All pairs of labels that are neighbours, corners included."""
    padded = np.pad(labels, 1)
    pairs = set()
    for step in product((-1, 0, 1), repeat=labels.ndim):
        moved = np.roll(padded, step, axis=range(labels.ndim))
        meet = (padded > 0) & (moved > 0) & (padded != moved)
        pairs |= set(zip(padded[meet].tolist(), moved[meet].tolist(), strict=True))
    return {pair for pair in pairs if pair[0] < pair[1]}


def touching_fraction(labels):
    touching = {label for pair in touching_pairs(labels) for label in pair}
    return len(touching) / labels.max()


@pytest.mark.parametrize("name", SAMPLES)
def test_truth_is_one_connected_component_per_consecutive_label(name):
    _, labels = simulate(SAMPLES[name])
    assert labels.dtype == np.int32
    values, first = np.unique(labels[labels > 0], return_index=True)
    assert values.tolist() == list(range(1, SAMPLES[name].n_cells + 1))
    assert np.all(np.diff(first) > 0), "labels are not in raster order"
    structure = np.ones((3,) * labels.ndim)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        assert ndimage.label(labels[box] == label, structure)[1] == 1


@pytest.mark.parametrize("crowding", [0.0, 0.25, 0.5, 1.0])
def test_crowding_is_the_fraction_that_touches(crowding):
    for simulation in (SMALL, VOLUME.replace(shape=(32, 80, 80))):
        n_cells = simulation.n_cells
        _, labels = simulate(simulation.replace(crowding=crowding))
        # A cluster may come into contact with none but its own members.
        assert touching_fraction(labels) == pytest.approx(crowding, abs=1.01 / n_cells)


def test_a_full_field_gives_as_many_nuclei_as_find_room():
    simulation = Simulation(shape=(200, 200), n_cells=60, crowding=0.5)
    _, labels = simulate(simulation)
    assert 54 <= labels.max() <= 60


def test_sizes_follow_the_diameter():
    for diameter in (12.0, 30.0):
        _, labels = simulate(
            Simulation(shape=(400, 400), n_cells=50, diameter=diameter, condensed=0)
        )
        inner = np.unique(labels[15:-15, 15:-15])
        inner = np.setdiff1d(inner[1:], np.unique(labels[[0, -1]]))
        inner = np.setdiff1d(inner, np.unique(labels[:, [0, -1]]))
        sizes = np.bincount(labels.ravel())[inner]
        measured = np.median(2 * np.sqrt(sizes / np.pi))
        assert measured == pytest.approx(diameter, rel=0.08)


def test_elongation_and_irregularity_change_shapes():
    def eccentricity(labels):
        ratios = []
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            spread = np.linalg.eigvalsh(np.cov(np.nonzero(labels[box] == label)))
            ratios.append(np.sqrt(spread[1] / spread[0]))
        return np.median(ratios)

    # Far larger than its nuclei, so that few are cut by its border.
    lone = SMALL.replace(shape=(400, 400), crowding=0, condensed=0)
    values = [
        eccentricity(simulate(lone.replace(elongation=ratio, irregularity=0))[1])
        for ratio in (1.0, 1.5, 2.5)
    ]
    assert values == pytest.approx([1.0, 1.5, 2.5], rel=0.2)
    _, smooth = simulate(lone.replace(irregularity=0))
    _, rough = simulate(lone.replace(irregularity=0.15))
    assert np.mean((smooth > 0) != (rough > 0)) > 0.002


def test_nuclei_span_fewer_planes_when_planes_are_farther_apart():
    def planes(step):
        simulation = VOLUME.replace(
            shape=(round(60 / step), 80, 80), spacing=(step, 1, 1), n_cells=8
        )
        _, labels = simulate(simulation.replace(crowding=0, elongation=1.0))
        objects = ndimage.find_objects(labels)
        inner = [part for part in objects if 0 < part[0].start < labels.shape[0] // 2]
        return np.mean([part[0].stop - part[0].start for part in inner])

    assert planes(1.0) == pytest.approx(20, rel=0.2)
    assert planes(4.0) == pytest.approx(20 / 4, rel=0.25)


def test_only_the_ratio_of_spacings_counts():
    image, labels = simulate(VOLUME)
    micrometres, same = simulate(VOLUME.replace(spacing=(0.5, 0.25, 0.25)))
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(image, micrometres)


def test_same_seed_same_images_other_seed_other_images():
    for simulation in (SMALL, VOLUME):
        first, second = simulate(simulation), simulate(simulation)
        other = simulate(simulation.replace(random_seed=99))
        for i in range(2):
            np.testing.assert_array_equal(first[i], second[i])
            assert np.any(first[i] != other[i])


@pytest.mark.parametrize("name", SAMPLES)
def test_each_nucleus_is_brighter_than_its_surroundings(name):
    image, labels = simulate(SAMPLES[name])
    dark = np.percentile(image[labels == 0], 50)
    inside = ndimage.median(image, labels, np.arange(1, labels.max() + 1))
    assert np.mean(inside > dark) > 0.98
    assert np.median(inside) > np.percentile(image[labels == 0], 90)


def test_a_series_begins_with_the_single_image():
    for simulation in (SMALL, VOLUME):
        image, labels = simulate(simulation)
        images, all_labels = simulate_series(simulation, 1)
        np.testing.assert_array_equal(images, image[None])
        np.testing.assert_array_equal(all_labels, labels[None])


@pytest.mark.parametrize("simulation", [SMALL, VOLUME], ids=["2d", "3d"])
def test_a_nucleus_keeps_its_label_over_time(simulation):
    images, labels = simulate_series(simulation.replace(division_rate=0.0), 6)
    assert images.shape == labels.shape == (6, *simulation.shape)
    assert labels.dtype == np.int32
    index = np.arange(1, simulation.n_cells + 1)
    for before, after in pairwise(labels):
        assert np.unique(after)[1:].tolist() == index.tolist()
        for label in index:
            both = np.sum((before == label) & (after == label))
            assert both > 0.4 * np.sum((before == label) | (after == label))
    assert np.mean(labels[0] != labels[-1]) > 0.01


def test_faster_nuclei_go_farther():
    def change(motion):
        series = SMALL.replace(motion=motion, division_rate=0.0, crowding=0.0)
        _, labels = simulate_series(series, 3)
        return np.mean(labels[0] != labels[2])

    assert change(0.0) == 0
    assert 0 < change(0.02) < change(0.2)


def test_a_division_ends_one_label_and_begins_two():
    _, labels = simulate_series(SMALL.replace(division_rate=0.05), 8)
    present = [set(np.unique(frame).tolist()) - {0} for frame in labels]
    known, n_divisions = set(present[0]), 0
    for before, after in pairwise(present):
        mothers, daughters = before - after, after - before
        assert len(daughters) == 2 * len(mothers)
        # Labels are never used twice, and follow the order of appearance.
        assert daughters == set(range(len(known) + 1, len(known) + len(daughters) + 1))
        known |= daughters
        n_divisions += len(mothers)
    assert n_divisions >= 3


def test_daughters_lie_where_their_mother_was():
    _, labels = simulate_series(SMALL.replace(division_rate=0.05, motion=0.01), 8)
    for before, after in pairwise(labels):
        for daughter in np.setdiff1d(after, before):
            under = before[after == daughter]
            mother = np.bincount(under[under > 0]).argmax()
            assert mother not in after


def test_no_nuclei_is_a_valid_image():
    image, labels = simulate(SMALL.replace(n_cells=0))
    assert not labels.any()
    assert image.std() > 0
    images, _ = simulate_series(SMALL.replace(n_cells=0), 2)
    assert images.shape == (2, 160, 160)


def test_usual_number_of_nuclei_follows_the_shape():
    assert Simulation().cell_count == 120
    assert Simulation(shape=(256, 512)).cell_count == 60
    volume = Simulation(shape=(32, 128, 128), spacing=(2, 1, 1))
    assert volume.cell_count == Simulation(shape=(64, 128, 128)).cell_count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (64,)}, "shape"),
        ({"shape": (4, 4, 64, 64)}, "shape"),
        ({"shape": (0, 64)}, "shape"),
        ({"spacing": (1.0, 1.0, 1.0)}, "spacing .* differ in their number of axes"),
        ({"spacing": (0.0, 1.0)}, "spacing"),
        ({"spacing": (9.0, 1.0)}, "thinner than 3 pixels"),
        ({"diameter": 3.0}, "diameter"),
        ({"n_cells": -1}, "n_cells"),
        ({"n_cells": 100}, "100 nuclei of 22 px would fill .* 60% is the most"),
        ({"crowding": 1.5}, "crowding"),
        ({"overlap": 0.5}, "overlap"),
        ({"photons": 0.0}, "photons"),
        ({"read_noise": -1.0}, "read_noise"),
        ({"gain": 0.0}, "gain"),
        ({"dtype": "float32"}, "dtype"),
        ({"random_seed": -1}, "random_seed"),
        ({"blur": 1.0}, "blur"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        Simulation.parse({"shape": (96, 96), **changes})
    assert caught.value.remedy


def test_a_series_without_frames_is_refused():
    with pytest.raises(SettingsError, match="series of 0 frames"):
        simulate_series(SMALL, 0)


def test_settings_survive_json():
    assert Simulation.model_validate_json(VOLUME.model_dump_json()) == VOLUME
