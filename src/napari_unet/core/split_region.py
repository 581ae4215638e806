"""A single image cut in two: a band to validate on, a gap, and the rest to train on."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_unet.core.split_parts import (
    Labels,
    Part,
    Split,
    classes_in,
    whole_images,
)

SMALLEST = 32
"""Shortest side, in pixels, of a region to train or to validate on."""


@dataclass(frozen=True)
class Cut:
    """Where an image is cut.

    Parameters
    ----------
    axis
        Spatial axis across which it is.
    train, kept
        What is trained and what is validated on, along that axis.
    """

    axis: int
    train: slice
    kept: slice

    def describe(self, shape: tuple[int, ...]) -> str:
        """Return one sentence for an image of `shape`."""
        letter, n = "ZYX"[-len(shape) :][self.axis], shape[self.axis]
        if self.kept.stop == n:
            return (
                f"{letter} from {self.kept.start} of {n} is kept for validation, and "
                f"{letter} below {self.train.stop} trained on."
            )
        return (
            f"{letter} below {self.kept.stop} of {n} is kept for validation, and "
            f"{letter} from {self.train.start} trained on."
        )


def split_region(
    labels: Sequence[Labels],
    copies: Sequence[int],
    *,
    fraction: float,
    gap: int,
    semantic: bool,
) -> Split:
    """Cut one image (and its copies in the same way).

    Objects lie all over an image, so it is cut across its longest axis. Classes may
    lie in a corner: of all axes and both ends those are taken that leave most classes
    on both sides.

    Parameters
    ----------
    labels
        Of all images; those that are no copies are trained on.
    copies
        Positions of the image and its copies.
    fraction, gap, semantic
        See `napari_unet.core.split.split_validation`.
    """
    others = whole_images(labels, sorted(set(range(len(labels))) - set(copies)))
    whole = whole_images(labels, copies)
    cuts = list(
        _cuts([labels[i] for i in copies], fraction=fraction, gap=gap, every=semantic)
    )
    if not cuts:
        return _unsplit(whole, others)
    best = cuts[0]
    if semantic:
        best = max(cuts, key=lambda cut: _n_shared(cut, [labels[i] for i in copies]))
    train = tuple(_cut(part, best.axis, best.train) for part in whole)
    kept = tuple(_cut(part, best.axis, best.kept) for part in whole)
    if not all(
        _has_objects(part, labels, semantic=semantic) for part in (train[0], kept[0])
    ):
        return _unsplit(whole, others)
    note = best.describe(labels[copies[0]].shape)
    return Split((*train, *others), kept, note)


def _cuts(
    labels: Sequence[Labels], *, fraction: float, gap: int, every: bool
) -> Iterator[Cut]:
    """Yield the end of the longest axis; then, if wanted, all others."""
    shape = labels[0].shape
    axes = sorted(range(len(shape)), key=lambda axis: -shape[axis])
    for axis in axes if every else axes[:1]:
        n = shape[axis]
        if n < 2 * SMALLEST:
            return
        place = functools.partial(_place_cut, axis=axis, fraction=fraction, gap=gap)
        end, begin = place(labels)
        yield Cut(axis, slice(0, end), slice(begin, n))
        if every:
            end, begin = place([np.flip(ids, axis) for ids in labels])
            yield Cut(axis, slice(n - end, n), slice(0, n - begin))


def _n_shared(cut: Cut, labels: Sequence[Labels]) -> int:
    """Return how many classes are on both sides."""
    before = (slice(None),) * cut.axis
    sides = [
        frozenset().union(*(classes_in(ids[(*before, span)]) for ids in labels))
        for span in (cut.train, cut.kept)
    ]
    return len(sides[0] & sides[1])


def _place_cut(
    labels: Sequence[Labels], *, axis: int, fraction: float, gap: int
) -> tuple[int, int]:
    """Return where training ends and validation begins along the axis.

    Validation has at least `fraction` of the object pixels and training, after the
    gap, at least half of them, as far as both keep `SMALLEST` pixels.
    """
    length = labels[0].shape[axis]
    across = tuple(i for i in range(labels[0].ndim) if i != axis)
    objects = np.sum([(ids > 0).sum(axis=across) for ids in labels], axis=0)
    below = np.cumsum(objects if objects.any() else np.ones(length, np.int64))
    begin = int(np.searchsorted(below, (1 - fraction) * below[-1], side="right"))
    begin = min(max(begin, SMALLEST), length - SMALLEST)
    half = int(np.searchsorted(below, below[-1] / 2)) + 1
    return min(begin, max(begin - gap, half, SMALLEST)), begin


def _cut(part: Part, axis: int, span: slice) -> Part:
    region = (*part.region[:axis], span, *part.region[axis + 1 :])
    return Part(part.image, region, cut=True)


def _has_objects(part: Part, labels: Sequence[Labels], *, semantic: bool) -> bool:
    """Whether something is left to learn or score; without objects anywhere, yes."""
    ids = labels[part.image]
    left = part.labels_of(ids, semantic=semantic)
    return bool((left > 0).any()) or not (ids > 0).any()


def _unsplit(whole: tuple[Part, ...], others: tuple[Part, ...]) -> Split:
    return Split(
        (*whole, *others),
        whole[:1],
        "The only annotated image is both trained and validated on.",
        "The image is too small, or has too few objects, to keep a part of it for "
        "validation, so its scores are too good; annotate a second image.",
        leaks=True,
    )
