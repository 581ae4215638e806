"""Doubt: what few images and objects can say about the separation that suits a model.

Few validation images cannot tell seeds from specks, nor thresholds from chance. What
they cannot tell stays where the search began, so that place is chosen with care, and
what they seem to tell counts for as much as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.tuning import EVERYTHING, TuningPlan, object_sizes
from napari_unet.settings import Separation

# Part of the median object, and of a small one (this percentile), that a seed has.
FIRST_SEED_SIZE = 0.1
SMALL, FIRST_OF_SMALL = 10, 0.5
# Images whose word on the mask threshold weighs as much as the start (decision 8).
DOUBT_IMAGES = 8


def first_separation(truth: Iterable[NDArray[np.integer[Any]]]) -> Separation:
    """Return where the search begins for the objects in `truth`.

    A seed has a tenth of the pixels of its object, as in KIT-GE (Scherr et al. 2020);
    where sizes differ much, no more than half of a small object, the tenth percentile.
    """
    sizes = object_sizes(truth)
    if not sizes.size:
        return Separation()
    first = FIRST_SEED_SIZE * float(np.median(sizes))
    of_small = FIRST_OF_SMALL * float(np.percentile(sizes, SMALL))
    return Separation(min_seed_size=max(1, round(min(first, of_small))))


def tempered(
    found: Separation,
    start: Separation,
    plan: TuningPlan = EVERYTHING,
    *,
    n_images: int,
    n_objects: int,
) -> Separation:
    """Return what was found, with thresholds that little evidence cannot carry far.

    One half is where a network draws the outline that it was taught. What else suits a
    few validation images is mostly how these few were outlined, so the mask threshold
    moves the part ``n / (n + 8)`` of its way from the start. Seeds are told by objects:
    their threshold moves by ``n / (n + 50)``.

    Parameters
    ----------
    found
        Tuned on `n_images` that hold `n_objects`.
    start
        Where the search began.
    plan
        By which it was tuned.
    n_images, n_objects
        How many there were.
    """
    return found.replace(
        mask_threshold=_moved(
            start.mask_threshold, found.mask_threshold, n_images, DOUBT_IMAGES
        ),
        seed_threshold=_moved(
            start.seed_threshold, found.seed_threshold, n_objects, plan.doubt
        ),
    )


def _moved(start: float, found: float, n: int, doubt: int) -> float:
    return round(start + (found - start) * n / max(1, n + doubt), 3)
