"""Say of every object whether it was found, missed, split, merged or invented.

A score tells how bad a result is; this table tells where, object by object, so that it
can be shown and corrected.

The kinds. A pair is *matched* by the one-to-one assignment at an IoU of 0.5. An object
lies *mainly in* another if that one holds more than half of its pixels; it lies mainly
in at most one. Each object has the first kind that fits:

=========== ========== ==========================================================
truth       prediction meaning
=========== ========== ==========================================================
matched     matched    in a pair with IoU >= 0.5
split       merged     two or more objects of the other side lie mainly in it
merged      split      lies mainly in one of the other side, together with others
missed      false      none of these
=========== ========== ==========================================================

Hence a prediction is called split only if its truth object is split, or is matched to
a sibling; a truth object is called merged only if its prediction is merged, or is
matched to a sibling. Exchanging truth and prediction exchanges split with merged and
missed with false.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_unet.core.overlap import OverlapTable

Side = Literal["truth", "prediction"]
Kind = Literal["matched", "missed", "split", "merged", "false"]


@dataclass(frozen=True)
class ObjectRow:
    """One object of one side.

    Attributes
    ----------
    image : int
        Position of its image in the dataset.
    side : {"truth", "prediction"}
        The image that it belongs to.
    id : int
        Its label.
    kind : {"matched", "missed", "split", "merged", "false"}
        See the module.
    partners : tuple of int
        Ids on the other side: its match, the objects that lie mainly in it, or the
        one that it lies mainly in. Empty for missed and false.
    iou : float
        Greatest IoU with any object of the other side (a match has it), 0 without.
    area : int
        Pixels, ignored ones left out.
    """

    image: int
    side: Side
    id: int
    kind: Kind
    partners: tuple[int, ...]
    iou: float
    area: int


@dataclass(frozen=True)
class _View:
    """One side of an overlap table: its objects, and its object of each pair."""

    side: Side
    ids: NDArray[Any]
    areas: NDArray[np.int64]
    index: NDArray[np.intp]


# What it is called on each side: others lie in it, it lies in another, neither.
_NAMES: dict[Side, tuple[Kind, Kind, Kind]] = {
    "truth": ("split", "merged", "missed"),
    "prediction": ("merged", "split", "false"),
}


def describe_objects(
    table: OverlapTable, pairs: NDArray[np.intp], *, image: int = 0
) -> tuple[ObjectRow, ...]:
    """Return one row per object: the truth's by id, then the prediction's by id.

    Parameters
    ----------
    table
        Overlaps of truth and prediction.
    pairs
        Positions in `table.rows` of the pairs matched at an IoU of 0.5.
    image
        Number that the rows carry.
    """
    truth = _View("truth", table.truth_ids, table.truth_areas, table.rows)
    prediction = _View(
        "prediction", table.prediction_ids, table.prediction_areas, table.cols
    )
    return (
        *_describe_side(truth, prediction, table, pairs, image=image),
        *_describe_side(prediction, truth, table, pairs, image=image),
    )


def _describe_side(
    own: _View,
    other: _View,
    table: OverlapTable,
    pairs: NDArray[np.intp],
    *,
    image: int,
) -> list[ObjectRow]:
    """Describe the objects of `own`."""
    found = _kinds_and_partners(own, other, table.counts, pairs)
    # No other IoU is above that of a match, which is at least 0.5.
    best = np.zeros(len(own.ids))
    np.maximum.at(best, own.index, table.iou())
    iou = best.tolist()
    none: tuple[Kind, list[int]] = (_NAMES[own.side][2], [])
    rows = []
    for at, label in enumerate(own.ids.tolist()):
        kind, partners = found.get(at, none)
        ids = tuple(other.ids[partners].tolist())
        area = int(own.areas[at])
        rows.append(ObjectRow(image, own.side, label, kind, ids, iou[at], area))
    return rows


def _kinds_and_partners(
    own: _View, other: _View, counts: NDArray[np.int64], pairs: NDArray[np.intp]
) -> dict[int, tuple[Kind, list[int]]]:
    """Return kind and partners by position in `own`, of all that have partners."""
    divided, shared, _ = _NAMES[own.side]
    inside = np.flatnonzero(2 * counts > other.areas[other.index])
    around = np.flatnonzero(2 * counts > own.areas[own.index])
    n_held = np.bincount(other.index[around], minlength=len(other.ids))
    around = around[n_held[other.index[around]] >= 2]
    found: dict[int, tuple[Kind, list[int]]] = {}
    # The last word wins: matched before divided before shared.
    for at, holders in _partners(own, other, around).items():
        found[at] = (shared, holders)
    for at, parts in _partners(own, other, inside).items():
        if len(parts) >= 2:
            found[at] = (divided, parts)
    for at, match in _partners(own, other, pairs).items():
        found[at] = ("matched", match)
    return found


def _partners(
    own: _View, other: _View, entries: NDArray[np.intp]
) -> dict[int, list[int]]:
    """Collect the positions in `other` by position in `own` over some entries."""
    partners: dict[int, list[int]] = {}
    keys, values = own.index[entries].tolist(), other.index[entries].tolist()
    for key, value in zip(keys, values, strict=True):
        partners.setdefault(key, []).append(value)
    return partners
