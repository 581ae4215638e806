"""Rules of the training doctor about label values: types, masks, classes, gaps.

Each takes all data and returns one finding, or None if nothing is wrong.
"""

from __future__ import annotations

import numpy as np

from napari_unet.core.split_parts import Part, classes_in
from napari_unet.core.training_facts import Case, Data, Finding, about

FULL = 0.98
"""Part of the annotated pixels above which objects leave no background."""
RARE = 0.001
"""Part of the annotated pixels below which a class is rare."""


def fractions_in_labels(data: Data) -> Finding | None:
    """Labels that are no whole numbers, such as probabilities."""
    cases = [c for c in data.cases if c.ids is None and not c.colour_labels]
    return about(
        cases,
        "labels are no whole numbers.",
        "Save one integer per object, 0 for background; probabilities need a threshold "
        "first.",
    )


def floats_as_labels(data: Data) -> Finding | None:
    """Whole numbers stored as floating point."""
    cases = [c for c in data.readable if c.labels.dtype.kind == "f"]
    return about(
        cases,
        "labels are stored as floating-point numbers, and taken as integers.",
        "Save labels as integers; above 16,777,216 float32 mixes up objects.",
        severity="info",
    )


def colour_labels(data: Data) -> Finding | None:
    """Labels stored as a colour picture."""
    return about(
        [c for c in data.cases if c.colour_labels],
        "labels are a colour picture.",
        "Save one number per object in a single channel.",
    )


def different_shapes(data: Data) -> Finding | None:
    """Labels of another size than their image."""
    cases = [c for c in data.cases if not c.fits and not c.colour_labels]
    if not cases:
        return None
    first = cases[0]
    return about(
        cases,
        f"labels of shape {first.labels.shape} do not fit an image of shape "
        f"{first.image.shape}.",
        "Check that they belong together, and the order of the axes.",
    )


def labels_are_the_image(data: Data) -> Finding | None:
    """The image given as its own labels."""
    cases = [c for c in data.readable if _equals_image(c) and len(c.values) > 1]
    return about(
        cases, "labels are the image itself.", "Give the label files as labels."
    )


def _equals_image(case: Case) -> bool:
    channels = case.image.reshape(-1, *case.labels.shape)
    return any(np.array_equal(channel, case.labels) for channel in channels)


def mask_0_255(data: Data) -> Finding | None:
    """Black-and-white masks where object numbers are expected."""
    return about(
        [c for c in data.masks if 255 in c.values],
        "a mask of 0 and 255, not one number per object.",
        "Make one object per connected component (cells that touch become one), or "
        "choose semantic training.",
        fix="components",
        severity="warning" if any(c.foreground for c in data.numbered) else "error",
    )


def mask_0_1(data: Data) -> Finding | None:
    """Binary masks where object numbers are expected."""
    return about(
        [c for c in data.masks if 1 in c.values],
        "a mask of 0 and 1 in several pieces, not one number per object.",
        "Make one object per connected component (cells that touch become one), or "
        "choose semantic training.",
        fix="components",
    )


def class_numbers(data: Data) -> Finding | None:
    """Class numbers with a gap, such as 255 for what belongs to no class."""
    if not data.semantic:
        return None
    used = {value for case in data.readable for value in case.values}
    highest = max(used, default=0)
    if highest <= 3 * len(used) + 10:
        return None
    return about(
        [case for case in data.readable if highest in case.values],
        f"class {highest}, though there are only {len(used)} classes.",
        f"Number classes 0, 1, 2, ...; if {highest} means not annotated, give it as "
        "the value to ignore.",
    )


def rare_classes(data: Data) -> Finding | None:
    """Classes that cover next to nothing."""
    if not data.semantic:
        return None
    counts: dict[int, int] = {}
    for case in data.readable:
        values, pixels = np.unique(np.asarray(case.ids), return_counts=True)
        for value, number in zip(values.tolist(), pixels.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
    total = sum(case.annotated for case in data.readable)
    rare = [c for c, number in counts.items() if c >= 0 and number < RARE * total]
    if not rare:
        return None
    return Finding(
        "info",
        f"Class(es) {', '.join(map(str, rare))} cover less than {RARE:.1%} of the "
        "annotated pixels.",
        "Balance the class weights, raise the share of patches on rare classes, or use "
        "the focal loss.",
    )


def classes_on_one_side(data: Data) -> Finding | None:
    """Classes that are learnt and never judged, or judged and never learnt."""
    split = data.split
    if not data.semantic or split is None:
        return None
    trained, judged = (
        frozenset[int]().union(*(_classes_of(data, part) for part in parts))
        for parts in (split.train, split.validation)
    )
    if trained == judged:
        return None
    unseen, apart = judged - trained, "validated but not trained on"
    if not unseen:
        unseen, apart = trained - judged, "trained on but not validated"
    return Finding(
        "warning",
        f"Class(es) {', '.join(map(str, sorted(unseen)))} are {apart}.",
        "Annotate them in a second image, so that each side can have one.",
    )


def _classes_of(data: Data, part: Part) -> frozenset[int]:
    ids = data.cases[part.image].ids
    if ids is None:
        return frozenset()
    return classes_in(part.labels_of(ids, semantic=True))


def nothing_annotated(data: Data) -> Finding | None:
    """Labels that are -1 everywhere."""
    cases = [case for case in data.readable if not case.annotated]
    every = len(cases) == len(data.readable)
    return about(
        cases,
        "no pixel is annotated.",
        "Paint at least one cell and some background, or leave the image out.",
        severity="error" if every else "warning",
    )


def no_objects(data: Data) -> Finding | None:
    """Annotated images without any object."""
    cases = [c for c in data.readable if c.annotated and not c.foreground]
    every = len(cases) == sum(c.annotated > 0 for c in data.readable)
    if data.semantic and not every:
        return None
    return about(
        cases,
        "labels are background everywhere.",
        "Keep images that are really empty; where cells are merely not annotated, "
        "leave the image out or label it -1.",
        severity="error" if every else "warning",
    )


def no_background(data: Data) -> Finding | None:
    """Labels that fill the image."""
    cases = [
        c for c in data.numbered if c.annotated and c.foreground > FULL * c.annotated
    ]
    return about(
        cases,
        f"objects cover more than {FULL:.0%} of what is annotated.",
        "If background is not 0, relabel it; if only cells were painted, paint some "
        "background too.",
        severity="warning",
    )
