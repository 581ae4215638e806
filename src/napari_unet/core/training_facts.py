"""Facts about training data on which the doctor's rules are built, measured once.

A rule should be one comparison and two sentences; counting objects, their pieces and
their sizes is done here, when the first rule asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.label_axes import as_label_ids
from napari_unet.core.split import image_hash
from napari_unet.core.split_parts import Split
from napari_unet.errors import AxesError

_NAMED = 3

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """What a rule noticed, and what to do about it.

    Parameters
    ----------
    severity
        ``"error"``: training would be useless; ``"warning"``: probably a mistake;
        ``"info"``: worth knowing.
    found
        What was found, one sentence.
    remedy
        What to do, one sentence.
    images
        Names of the images that it is about; empty: the data, or the training.
    fix
        ``"components"`` if making one object per connected component helps.
    rule
        Name of the rule.
    """

    severity: Severity
    found: str
    remedy: str
    images: tuple[str, ...] = ()
    fix: Literal["", "components"] = ""
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {self.found} {self.remedy}"


@dataclass(frozen=True)
class Objects:
    """Objects of one label image, by id.

    Parameters
    ----------
    ids
        Their labels.
    areas
        Pixels of each.
    extents
        (objects, axes), length of the bounding box along each axis.
    pieces
        Connected pieces of each (diagonal neighbours are connected).
    """

    ids: NDArray[np.int64]
    areas: NDArray[np.int64]
    extents: NDArray[np.int64]
    pieces: NDArray[np.int64]

    @property
    def diameters(self) -> NDArray[np.float64]:
        """Diameters of discs (or balls) of the same size, pixels."""
        if self.extents.shape[1] == 3:
            return np.cbrt(6 * self.areas / np.pi)
        return np.sqrt(4 * self.areas / np.pi)


@dataclass(frozen=True, eq=False)
class Case:
    """One image (C, [Z,] Y, X), or without C, and its labels as they were given."""

    image: NDArray[Any]
    labels: NDArray[Any]
    name: str

    @property
    def fits(self) -> bool:
        """Whether image and labels have one size."""
        return self.labels.shape in (self.image.shape, self.image.shape[1:])

    @property
    def colour_labels(self) -> bool:
        """Whether labels have colour samples at their end that the image lacks."""
        shape = self.labels.shape
        return not self.fits and len(shape) > 2 and shape[-1] in (3, 4)

    @cached_property
    def ids(self) -> NDArray[np.int32] | None:
        """Labels as int32, -1 not annotated; None if they are not whole numbers."""
        try:
            return as_label_ids(self.labels)
        except AxesError:
            return None

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Values of the annotated pixels, ascending; empty if there are none."""
        if self.ids is None:
            return ()
        return tuple(value for value in np.unique(self.ids).tolist() if value >= 0)

    @cached_property
    def annotated(self) -> int:
        """Number of annotated pixels."""
        return 0 if self.ids is None else int((self.ids >= 0).sum())

    @cached_property
    def foreground(self) -> int:
        """Number of pixels of objects (or of classes above 0)."""
        return 0 if self.ids is None else int((self.ids > 0).sum())

    @cached_property
    def hash(self) -> bytes:
        """Equal for copies of an image."""
        return image_hash(self.image)

    @cached_property
    def objects(self) -> Objects:
        """Measured objects; none if labels are not whole numbers."""
        if self.ids is None:
            ids = np.zeros((1, 1), np.int32)
        else:
            ids = np.maximum(self.ids, 0)
        return measure_objects(ids)


@dataclass(frozen=True, eq=False)
class Data:
    """All that the rules about data see.

    Parameters
    ----------
    cases
        Every image with its labels.
    patch
        Size of the training patches per spatial axis; one number for all.
    split
        What is kept for validation, if that is decided.
    semantic
        Whether labels are classes.
    """

    cases: tuple[Case, ...]
    patch: tuple[int, ...]
    split: Split | None = None
    semantic: bool = False

    @cached_property
    def readable(self) -> tuple[Case, ...]:
        """Cases whose labels are whole numbers and fit the image."""
        return tuple(c for c in self.cases if c.fits and c.ids is not None)

    @cached_property
    def masks(self) -> tuple[Case, ...]:
        """Readable cases with a mask where object numbers are expected.

        255 is a mask in any image. 1 may well be the only object of an image; it is a
        mask if no image has a higher number and there are two pieces per image or more.
        """
        if self.semantic:
            return ()
        painted = [case for case in self.readable if case.foreground]
        black_white = [case for case in painted if set(case.values) <= {0, 255}]
        ones = [case for case in painted if case.values[-1] == 1]
        pieces = sum(int(case.objects.pieces.sum()) for case in ones)
        binary = len(black_white) + len(ones) == len(painted)
        many = binary and pieces >= 2 * len(ones)
        return (*black_white, *(ones if many else ()))

    @cached_property
    def numbered(self) -> tuple[Case, ...]:
        """Readable cases with one number per object."""
        if self.semantic:
            return ()
        return tuple(case for case in self.readable if case not in self.masks)

    @cached_property
    def copies(self) -> tuple[tuple[Case, ...], ...]:
        """Cases of equal images, two or more each."""
        found: dict[bytes, list[Case]] = {}
        for case in self.cases:
            found.setdefault(case.hash, []).append(case)
        return tuple(tuple(same) for same in found.values() if len(same) > 1)


def measure_objects(labels: NDArray[Any]) -> Objects:
    """Measure size, extent and number of pieces of each object.

    Parameters
    ----------
    labels
        Integers, 2-D or 3-D, 0 background.
    """
    ids, inverse = np.unique(labels, return_inverse=True)
    # 0 need not occur: ranks start at 1 then, so that rank 0 is always background.
    ranks = inverse.reshape(labels.shape).astype(np.int32) + int(ids[0] != 0)
    ids = ids[ids != 0].astype(np.int64)
    areas = np.bincount(ranks.ravel(), minlength=len(ids) + 1)[1:]
    boxes = [box for box in ndimage.find_objects(ranks) if box is not None]
    extents = [[side.stop - side.start for side in box] for box in boxes]
    shape = (len(ids), labels.ndim)
    return Objects(
        ids,
        areas.astype(np.int64),
        np.array(extents, np.int64).reshape(shape),
        _count_pieces(ranks, len(ids)),
    )


def _count_pieces(ranks: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the number of connected regions of equal rank, for ranks 1 to `count`."""
    from skimage import measure  # slow to load, and many only want `Finding`

    regions = measure.label(  # type: ignore[no-untyped-call]
        ranks, background=0, connectivity=ranks.ndim
    )
    first = np.unique(regions, return_index=True)[1]
    owners = ranks.ravel()[first]
    pieces = np.bincount(owners[owners > 0], minlength=count + 1)[1:]
    return pieces.astype(np.int64)


def about(
    cases: Sequence[Case], found: str, remedy: str, **more: Any
) -> Finding | None:
    """Return a finding about some cases, or None if there are none.

    Parameters
    ----------
    cases
        Images that it is about.
    found
        What was found; the names of the images are put before it.
    remedy
        What to do.
    more
        Other fields of `Finding`; without `severity` it is an error.
    """
    if not cases:
        return None
    names = ", ".join(case.name for case in cases[:_NAMED])
    more_names = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    every = tuple(case.name for case in cases)
    finding = Finding("error", f"{names}{more_names}: {found}", remedy, every)
    return replace(finding, **more)
