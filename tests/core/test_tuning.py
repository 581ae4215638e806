"""Tuning: finds what separates, moves nothing for nothing, and is never worse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.metrics import evaluate
from napari_unet.core.separation import separate_instances
from napari_unet.core.tuning import (
    NOISE,
    PLANS,
    SEED_THRESHOLDS,
    TuningPlan,
    candidates,
    richest_window,
    search,
    spread_images,
    tune_separation,
    typical_size,
)
from napari_unet.core.tuning_doubt import first_separation, tempered
from napari_unet.errors import AxesError
from napari_unet.settings import Separation

CHANNELS = ("background", "interior")


def stored(interior: np.ndarray) -> np.ndarray:
    both = np.stack([1 - interior, interior])
    return np.rint(both * 65535).astype(np.uint16)


def dumbbells(bridge: float, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells of 0.95 that a bridge joins."""
    interior, labels = np.full((20 * n, 40), 0.02), np.zeros((20 * n, 40), np.int32)
    for i in range(n):
        rows = slice(20 * i + 4, 20 * i + 16)
        interior[rows, 4:18] = interior[rows, 20:34] = 0.95
        interior[rows, 18:20] = bridge
        labels[rows, 4:19], labels[rows, 19:34] = 2 * i + 1, 2 * i + 2
    return stored(interior), labels


def test_finds_the_threshold_that_separates() -> None:
    probabilities, labels = dumbbells(bridge=0.84)
    found = tune_separation([probabilities], [labels], CHANNELS, Separation())
    assert found.start_score < 0.1
    assert found.score == 1.0
    # 0.9 is the nearest value above the bridge; nothing else had to move.
    assert found.separation == Separation().replace(seed_threshold=0.9)


def test_tissue_is_cut_where_ap_would_keep_small_cells() -> None:
    """Twelve small cells of 0.7, and two large ones that 0.75 joins."""
    interior, labels = np.full((60, 120), 0.02), np.zeros((60, 120), np.int32)
    interior[20:60] = 0.95
    interior[20:60, 58:62] = 0.75
    labels[20:60, :60], labels[20:60, 60:] = 1, 2
    for i in range(12):
        small = (slice(4, 14), slice(10 * i, 10 * i + 8))
        interior[small], labels[small] = 0.7, i + 3
    probabilities, start = stored(interior), Separation(min_seed_size=1)
    ap, rand = (
        tune_separation([probabilities], [labels], CHANNELS, start, PLANS[name])
        for name in ("ap", "rand")
    )
    assert ap.separation.seed_threshold < 0.7
    assert rand.separation.seed_threshold > 0.75
    assert rand.score > 0.8 > 0.6 > rand.start_score


def test_the_score_is_that_of_the_separation() -> None:
    probabilities, labels = dumbbells(bridge=0.84)
    labels[:20] = -1
    found = tune_separation([probabilities], [labels], CHANNELS, Separation())
    again = separate_instances(probabilities, CHANNELS, found.separation)
    assert evaluate(again, labels, ignore=-1).mean_ap_50_90 == found.score == 1.0


def test_dirt_is_removed_by_size() -> None:
    probabilities, labels = dumbbells(bridge=0.1)
    for y, x in itertools.product((0, 20, 40), (0, 36)):
        probabilities[:, y : y + 4, x : x + 4] = np.array([0, 65535])[:, None, None]
    found = tune_separation([probabilities], [labels], CHANNELS, Separation())
    assert found.start_score == pytest.approx(6 / (6 + 6))
    assert found.score == 1.0
    sizes = found.separation.min_size, found.separation.min_seed_size
    assert max(sizes) > 16


def test_what_is_good_stays() -> None:
    probabilities, labels = dumbbells(bridge=0.1)
    start = Separation(fill_holes=False, connectivity=2)
    found = tune_separation([probabilities] * 2, [labels] * 2, CHANNELS, start)
    assert found.separation == start


def test_only_the_named_settings_are_tuned() -> None:
    probabilities, labels = dumbbells(bridge=0.84)
    first, second = (
        tune_separation(
            [probabilities], [labels], CHANNELS, Separation(), TuningPlan(names)
        )
        for names in (("min_size", "mask_threshold"), ("seed_threshold",))
    )
    assert first.separation.seed_threshold == Separation().seed_threshold
    assert (first.score < 0.1, second.score) == (True, 1.0)


def test_without_objects_the_start_stays() -> None:
    probabilities, labels = dumbbells(bridge=0.84)
    found = tune_separation(
        [probabilities], [np.zeros_like(labels)], CHANNELS, Separation()
    )
    assert found.separation == Separation()


def test_the_images_order_does_not_matter() -> None:
    first, second = dumbbells(0.84), dumbbells(0.62, n=2)
    a = tune_separation(*zip(first, second, strict=True), CHANNELS, Separation())
    b = tune_separation(*zip(second, first, strict=True), CHANNELS, Separation())
    assert (a.separation, a.score) == (b.separation, b.score)


GRID = {"seed_threshold": SEED_THRESHOLDS, "mask_threshold": (0.3, 0.5, 0.7)}


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=10, max_size=10),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_independent_settings_are_tuned_as_by_brute_force(
    seed_scores: list[float], mask_scores: list[float]
) -> None:
    def score(separation: Separation) -> float:
        seed = SEED_THRESHOLDS.index(separation.seed_threshold)
        mask = GRID["mask_threshold"].index(separation.mask_threshold)
        return seed_scores[seed] + mask_scores[mask]

    found = search(score, Separation(), GRID)
    best = max(seed_scores) + max(mask_scores)
    assert score(found) >= best - 2 * NOISE
    assert score(found) >= score(Separation())


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.tuples(st.sampled_from(SEED_THRESHOLDS)), st.floats(0, 1)))
def test_never_worse_than_the_start(scores: dict[tuple[float], float]) -> None:
    def score(separation: Separation) -> float:
        return scores.get((separation.seed_threshold,), 0.5)

    assert score(search(score, Separation(), GRID)) >= score(Separation())


def test_little_evidence_moves_the_thresholds_a_little() -> None:
    """Images for the mask, objects for the seeds; sizes are taken as they are found."""
    start = Separation(mask_threshold=0.5, seed_threshold=0.5)
    found = Separation(mask_threshold=0.3, seed_threshold=0.9, min_size=40)
    for n_images, mask in [(1, 0.478), (8, 0.4), (92, 0.316)]:
        for n_objects, seed in [(0, 0.5), (10, 0.567), (50, 0.7), (450, 0.86)]:
            expected = Separation(mask_threshold=mask, seed_threshold=seed, min_size=40)
            moved = tempered(found, start, n_images=n_images, n_objects=n_objects)
            assert moved == expected
    moved = tempered(found, start, PLANS["rand"], n_images=5, n_objects=400)
    assert moved.seed_threshold == 0.9, "what the Rand index is gained by"


def test_candidates_follow_the_objects_size() -> None:
    small, large = candidates(100), candidates(10_000)
    assert max(small["min_size"]) < 100
    assert max(large["min_size"]) == 100 * max(small["min_size"])
    assert min(small["min_seed_size"]) == 1
    assert candidates(0) == {}


def objects_of(*sizes: int) -> list[np.ndarray]:
    """Labels with an object of each size, in one row."""
    return [np.repeat(np.arange(len(sizes) + 1), [9, *sizes]).astype(np.int32)[None]]


def test_the_search_begins_with_seeds_of_a_tenth_of_an_object() -> None:
    found = first_separation(objects_of(200, 205, 202, 203))
    assert found == Separation(min_seed_size=20)
    assert found.min_seed_size in candidates(202.5)["min_seed_size"]
    assert first_separation(objects_of(3)).min_seed_size == 1
    assert first_separation([np.zeros((4, 4), np.int32)]) == Separation()


def test_small_objects_keep_their_seeds_where_sizes_differ() -> None:
    """Among these, a tenth of the median is more than a small object has."""
    found = first_separation(objects_of(*[60] * 4, *[1000] * 6))
    assert found == Separation(min_seed_size=30)


def test_typical_size_is_the_median_of_all_objects() -> None:
    first = np.repeat(np.arange(-1, 4), [5, 9, 1, 4, 10]).reshape(1, -1)
    second = np.full((1, 6), 7)
    assert typical_size([first, second]) == 5
    assert typical_size([np.zeros((2, 2), np.int32)]) == 0


def test_images_are_spread_when_there_are_too_many() -> None:
    assert spread_images([10] * 6, 100) == [0, 1, 2, 3, 4, 5]
    assert spread_images([10] * 6, 30) == [0, 2, 4]
    assert spread_images([10] * 6, 1) == [0]


def test_of_a_large_image_the_window_with_the_most_objects_is_tuned_on() -> None:
    labels = np.zeros((100, 200), np.int32)
    labels[55:95, 110:140] = 7
    window = richest_window(labels, 5000)
    assert window == (slice(50, 100), slice(100, 200))
    assert labels[window].size == 5000
    assert np.count_nonzero(labels[window]) == np.count_nonzero(labels)
    assert labels[richest_window(labels, labels.size)].shape == labels.shape

    probabilities, truth = dumbbells(bridge=0.84, n=5)
    padded, wide = np.zeros((2, 100, 800), np.uint16), np.zeros((100, 800), np.int32)
    padded[0] = 65535
    padded[..., 500:540], wide[:, 500:540] = probabilities, truth
    found = tune_separation(
        [padded], [wide], CHANNELS, Separation(), TuningPlan(most_pixels=wide.size // 4)
    )
    assert (found.separation.seed_threshold, found.score) == (0.9, 1.0)


def test_very_large_ids_cost_no_memory() -> None:
    assert typical_size([np.array([[2**31 - 1] * 5 + [0]], np.int32)]) == 5.0


def test_numbers_that_differ_are_refused() -> None:
    probabilities, labels = dumbbells(0.5)
    with pytest.raises(AxesError):
        tune_separation([probabilities], [labels, labels], CHANNELS, Separation())
    with pytest.raises(AxesError):
        tune_separation([], [], CHANNELS, Separation())
