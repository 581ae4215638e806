"""Rules of the training doctor about images: kinds, copies, the split, dead pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_unet.core.split_parts import Part
from napari_unet.core.training_facts import Case, Data, Finding, about


def mixed_images(data: Data) -> Finding | None:
    """Images that differ in their number of channels or axes."""
    kinds: dict[tuple[int, int], list[Case]] = {}
    for case in data.readable:
        channels = 1 if case.image.shape == case.labels.shape else case.image.shape[0]
        kinds.setdefault((channels, case.labels.ndim), []).append(case)
    if len(kinds) < 2:
        return None
    common = max(kinds, key=lambda kind: len(kinds[kind]))
    others = [case for kind, cases in kinds.items() if kind != common for case in cases]
    return about(
        others,
        f"other channels or axes than the other images, which are {common[1]}-D with "
        f"{common[0]} channel(s).",
        "Train on images of one kind; turn colour to grey, or pick channels, first.",
    )


def copies_of_images(data: Data) -> Finding | None:
    """The same image more than once."""
    if not data.copies:
        return None
    contradicting = [same for same in data.copies if _labels_differ(same)]
    cases = (contradicting or data.copies)[0]
    others = " but other labels" if contradicting else ""
    return about(
        cases,
        f"the same image{others} ({len(data.copies)} such sets in all).",
        "Keep one with the right labels."
        if contradicting
        else "Keep one of each; copies only make training slower.",
        severity="warning" if contradicting else "info",
    )


def _labels_differ(same: Sequence[Case]) -> bool:
    return any(not np.array_equal(case.labels, same[0].labels) for case in same[1:])


def copies_across_split(data: Data) -> Finding | None:
    """Pixels of training that are also validated on."""
    if data.split is None or data.split.leaks:
        return None
    leaked = [
        data.cases[kept.image]
        for kept in data.split.validation
        if any(_overlap(data, kept, part) for part in data.split.train)
    ]
    return about(
        leaked,
        "kept for validation, but the same pixels are trained on.",
        "Remove the copies, or let the split be made anew.",
    )


def _overlap(data: Data, kept: Part, part: Part) -> bool:
    """Whether two parts show the same pixels of the same image."""
    if data.cases[kept.image].hash != data.cases[part.image].hash:
        return False
    return all(
        max(a.start or 0, b.start or 0) < min(a.stop, b.stop)
        for a, b in zip(kept.region, part.region, strict=True)
    )


def weak_validation(data: Data) -> Finding | None:
    """A split whose scores are too good."""
    if data.split is None or not data.split.warning:
        return None
    return Finding("warning", data.split.note, data.split.warning)


def constant_images(data: Data) -> Finding | None:
    """Images of one value."""
    return about(
        [c for c in data.cases if c.image.size and c.image.min() == c.image.max()],
        "all pixels of the image have one value.",
        "Check how it was saved, or leave it out.",
        severity="warning",
    )


def not_finite(data: Data) -> Finding | None:
    """NaN or infinity in an image."""
    cases = [
        c
        for c in data.cases
        if c.image.dtype.kind == "f" and not np.isfinite(c.image).all()
    ]
    return about(
        cases,
        "the image holds NaN or infinite values.",
        "Replace them, best by label -1 there and a finite value in the image.",
        severity="warning",
    )
