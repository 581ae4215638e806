"""Tuning: the separation settings that suit a model, found on validation images.

The probabilities are computed once and stored; trying other thresholds on them costs
little. One setting is varied at a time, always in the same order, so the answer depends
on nothing but the images.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.metrics import evaluate
from napari_unet.core.overlap import NOT_ANNOTATED
from napari_unet.core.rand_index import foreground_rand
from napari_unet.core.separation import separate_instances
from napari_unet.errors import AxesError
from napari_unet.settings import Separation

SEED_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MASK_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
# Parts of the median object below which an object, or a seed, is taken for dirt.
SIZES = (0.0, 0.02, 0.05, 0.1, 0.2)
SEED_SIZES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.22)
ROUNDS = 3
# A smaller gain is noise: the value nearest to the start is kept.
NOISE = 0.002
# Objects whose word on the seed threshold weighs as much as the start (decision 13).
DOUBT_OBJECTS = 50
MOST_PIXELS = 2**24
Images = Sequence[NDArray[Any]]
# Of labels and truth, one for one.
Score = Callable[[Images, Images], float]
TUNED = ("seed_threshold", "mask_threshold", "min_seed_size", "min_size")


def mean_ap(labels: Images, truth: Images) -> float:
    """Return the mean AP over IoU 0.5, 0.55, ... 0.9, pooled."""
    return evaluate(labels, truth, ignore=NOT_ANNOTATED).mean_ap_50_90


def v_rand(labels: Images, truth: Images) -> float:
    """Return the Rand index within the true cells."""
    return foreground_rand(labels, truth).v_rand


@dataclass(frozen=True)
class TuningPlan:
    """What is tuned, for what, and on how much.

    Parameters
    ----------
    names
        Settings, of `TUNED`.
    score
        To be maximised.
    most_pixels
        Evenly spread images with about as many pixels are tuned on, and of an image
        that is larger still a window.
    doubt
        Objects whose word on the seed threshold weighs as much as the start.
    """

    names: Collection[str] = TUNED
    score: Score = mean_ap
    most_pixels: int = MOST_PIXELS
    doubt: int = DOUBT_OBJECTS


EVERYTHING = TuningPlan()
PLANS: Mapping[str, TuningPlan] = {
    "ap": EVERYTHING,
    # Growing segments over their borders takes longer than all the rest. Seeds that
    # are apart are what the Rand index is gained by (decision 11).
    "rand": TuningPlan(score=v_rand, most_pixels=MOST_PIXELS // 8, doubt=0),
}
"""By what the separation is tuned for."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was found.

    Parameters
    ----------
    separation
        The start, with the settings that did better.
    score, start_score
        With it, and with the start.
    n_tried
        Combinations that were tried.
    """

    separation: Separation
    score: float
    start_score: float
    n_tried: int


def tune_separation(
    probabilities: Sequence[NDArray[Any]],
    truth: Sequence[NDArray[np.integer[Any]]],
    channels: tuple[str, ...],
    start: Separation,
    plan: TuningPlan = EVERYTHING,
) -> Tuned:
    """Find thresholds and sizes by coordinate search for the best score.

    Parameters
    ----------
    probabilities
        Stored probabilities (C, *spatial) of each image, uint16 or uint8.
    truth
        Labels of each image; 0 background, -1 not annotated.
    channels
        Meaning of C: those of cells.
    start
        Settings to begin with. What is not tuned is kept.
    plan
        What is tuned, for what, and on how many pixels.

    Returns
    -------
    Tuned
        Never worse on these images than `start`; without any object in the truth, or
        where nothing gains more than `NOISE`, the start itself.

    Raises
    ------
    AxesError
        If there is no image, or there are not as many truths.
    """
    if len(probabilities) != len(truth) or not truth:
        raise AxesError(
            f"There are {len(probabilities)} predictions and {len(truth)} truths.",
            "Give one truth for each prediction, and at least one.",
        )
    chosen = spread_images([labels.size for labels in truth], plan.most_pixels)
    windows = [richest_window(truth[i], plan.most_pixels) for i in chosen]
    trial = _Trial(
        [
            np.ascontiguousarray(probabilities[i][:, *w])
            for i, w in zip(chosen, windows, strict=True)
        ],
        [truth[i][w] for i, w in zip(chosen, windows, strict=True)],
        channels,
        plan.score,
    )
    start_score = trial(start)
    grid = candidates(typical_size(trial.truth))
    grid = {name: values for name, values in grid.items() if name in plan.names}
    best = search(trial, start, grid) if grid else start
    return Tuned(best, trial(best), start_score, len(trial.known))


def search(
    score: Callable[[Separation], float],
    start: Separation,
    grid: Mapping[str, Sequence[float]],
) -> Separation:
    """Vary one setting after the other until a round changes nothing.

    Parameters
    ----------
    score
        To be maximised; asked again and again for the same settings.
    start
        Where to begin.
    grid
        Values to try by setting; the order is that of the search.

    Returns
    -------
    Separation
        Of each setting's values within `NOISE` of its best, the one nearest to where
        it was: settings do not move for nothing.
    """
    current = start
    for _ in range(ROUNDS):
        before = current
        for name, values in grid.items():
            current = _best_value(score, current, name, values)
        if current == before:
            break
    return current


def candidates(typical: float) -> dict[str, tuple[float, ...]]:
    """Return the values to try for objects of `typical` pixels; none for 0."""
    if typical <= 0:
        return {}
    return {
        "seed_threshold": SEED_THRESHOLDS,
        "mask_threshold": MASK_THRESHOLDS,
        "min_seed_size": _pixels(SEED_SIZES, typical, 1),
        "min_size": _pixels(SIZES, typical, 0),
    }


def typical_size(truth: Iterable[NDArray[np.integer[Any]]]) -> float:
    """Return the median number of pixels of all objects; 0 without any."""
    sizes = object_sizes(truth)
    return float(np.median(sizes)) if sizes.size else 0.0


def object_sizes(truth: Iterable[NDArray[np.integer[Any]]]) -> NDArray[np.intp]:
    """Return the number of pixels of each object of all images."""
    sizes = [np.unique(t[t > 0], return_counts=True)[1] for t in truth]
    return np.concatenate(sizes or [np.zeros(0, np.intp)])


def spread_images(sizes: Sequence[int], most_pixels: int) -> list[int]:
    """Return indices of evenly spread images with about `most_pixels`, at least one."""
    total = sum(sizes)
    count = len(sizes)
    if total > most_pixels:
        count = max(1, math.floor(count * most_pixels / total))
    return [round(i * len(sizes) / count) for i in range(count)]


def richest_window(
    labels: NDArray[np.integer[Any]], most_pixels: int
) -> tuple[slice, ...]:
    """Return the part of an image, of about `most_pixels`, with the most in objects.

    All of it if it is not larger. Otherwise it is cut into windows of its own
    proportions; of equal ones the first is taken.
    """
    if labels.size <= most_pixels:
        return (slice(None),) * labels.ndim
    scale = (most_pixels / labels.size) ** (1 / labels.ndim)
    window = [max(1, math.floor(n * scale)) for n in labels.shape]
    starts = [range(0, n - w + 1, w) for n, w in zip(labels.shape, window, strict=True)]
    windows = [
        tuple(slice(at, at + w) for at, w in zip(corner, window, strict=True))
        for corner in itertools.product(*starts)
    ]
    return max(windows, key=lambda part: np.count_nonzero(labels[part] > 0))


def _pixels(parts: Sequence[float], typical: float, least: int) -> tuple[float, ...]:
    counts = (max(least, round(part * typical)) for part in parts)
    return tuple(dict.fromkeys(counts))


def _best_value(
    score: Callable[[Separation], float],
    current: Separation,
    name: str,
    values: Sequence[float],
) -> Separation:
    here = getattr(current, name)
    tried = {here: score(current)}
    for value in values:
        tried[value] = score(current.replace(**{name: value}))
    enough = max(tried.values()) - NOISE
    good = [value for value, found in tried.items() if found >= enough]
    nearest = min(good, key=lambda value: (abs(value - here), value))
    return current.replace(**{name: nearest})


@dataclass
class _Trial:
    """Score of the images under given settings; each combination is tried once."""

    probabilities: list[NDArray[Any]]
    truth: list[NDArray[np.integer[Any]]]
    channels: tuple[str, ...]
    score: Score
    known: dict[Separation, float] = field(default_factory=dict)

    def __call__(self, separation: Separation) -> float:
        if separation not in self.known:
            self.known[separation] = self.score(self.separate(separation), self.truth)
        return self.known[separation]

    def separate(self, separation: Separation) -> list[NDArray[np.int32]]:
        """Separate each image."""

        def one(stored: NDArray[Any]) -> NDArray[np.int32]:
            return separate_instances(stored, self.channels, separation)

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            return list(pool.map(one, self.probabilities))
