"""Rules of the training doctor about objects: number, size, scale, pieces.

They are silent about masks without object numbers, which have a rule of their own.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from napari_unet.core.training_facts import Data, Finding, about

FEW_OBJECTS = 10
SCALES = 3.0
"""Ratio of median diameters above which images differ in scale."""
TINY = {2: 5, 3: 10}
"""Pixels below which an object is tiny, by number of axes."""


def few_objects(data: Data) -> Finding | None:
    """Too few objects to learn from."""
    count = sum(len(case.objects.ids) for case in data.numbered)
    if not 0 < count < FEW_OBJECTS or data.masks:
        return None
    return Finding(
        "warning",
        "There is only one annotated object."
        if count == 1
        else f"There are only {count} annotated objects.",
        f"Annotate {FEW_OBJECTS} or more, best in different images; or start from a "
        "trained model.",
    )


def tiny_objects(data: Data) -> Finding | None:
    """Objects of a few pixels, mostly slips of the brush."""
    cases, count = [], 0
    for case in data.numbered:
        tiny = case.objects.areas < TINY.get(case.labels.ndim, 0)
        if tiny.any():
            cases.append(case)
            count += int(tiny.sum())
    return about(
        cases,
        f"{count} object(s) of fewer than {TINY[cases[0].labels.ndim]} pixels."
        if cases
        else "",
        "Erase slips of the brush; if cells are really that small, enlarge the images.",
        severity="warning",
    )


def objects_in_pieces(data: Data) -> Finding | None:
    """One number for several separate objects, or stray pixels."""
    cases = [c for c in data.numbered if (c.objects.pieces > 1).any()]
    count = sum(int((case.objects.pieces > 1).sum()) for case in cases)
    total = sum(len(case.objects.ids) for case in data.numbered)
    return about(
        cases,
        f"{count} of {total} objects are in several pieces.",
        "Look for stray pixels, and for two cells with one number; one object per "
        "connected component would renumber all of them.",
        severity="warning" if count > 0.02 * total else "info",
    )


def different_scales(data: Data) -> Finding | None:
    """Objects of one image several times larger than those of another."""
    medians = [
        (float(np.median(case.objects.diameters)), i)
        for i, case in enumerate(data.numbered)
        if len(case.objects.ids) >= 3
    ]
    if not medians:
        return None
    (small, first), (large, last) = min(medians), max(medians)
    if large <= SCALES * small:
        return None
    return about(
        [data.numbered[first], data.numbered[last]],
        f"the median diameters are {small:.0f} and {large:.0f} px.",
        "If they were taken at different magnifications, resample them to one pixel "
        "size; otherwise widen the scale range of the augmentation.",
        severity="warning",
    )


def larger_than_patch(data: Data) -> Finding | None:
    """Objects that no training patch shows whole."""
    cases, largest, count = [], 0.0, 0
    for case in data.numbered:
        patch = np.array(data.patch[-case.labels.ndim :])
        extents = case.objects.extents
        # A patch of a 2-D network sees Y and X of a stack.
        seen = extents[:, -len(patch) :] if len(patch) > 1 else extents
        ratios = (seen / patch).max(axis=1, initial=0)
        if (ratios > 1).any():
            cases.append(case)
            count += int((ratios > 1).sum())
            largest = max(largest, float(ratios.max()))
    sides = " x ".join(f"{ceil(side * largest / 16) * 16}" for side in data.patch)
    return about(
        cases,
        f"{count} object(s) are larger than the patch.",
        f"Use a patch of {sides} px, or scale the images by {1 / (largest or 1):.2f}.",
        severity="warning",
    )
