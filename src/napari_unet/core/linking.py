"""Give objects of neighbouring slices one id where they overlap.

A 2-D model numbers each slice or frame on its own. Linking follows an object along Z or
T by the overlap with its neighbour: one-to-one, so that two cells never become one and
a cell that divides keeps its id in one daughter only.

Only two slices are looked at together. The ids are planned first, slice by slice, and
then written in a second pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.matching import assign
from napari_unet.core.overlap import (
    label_array,
    label_runs,
    overlap_table,
    refuse_negative,
)
from napari_unet.errors import AxesError, SettingsError


@dataclass(frozen=True)
class _SliceObjects:
    """The objects of one slice.

    `ids` ascend; `first` is the position in the whole array of each one's first pixel,
    in raster order; `track` is the object along the axis that each belongs to.
    """

    ids: NDArray[Any]
    first: NDArray[np.int64]
    track: NDArray[np.intp]


def link_slices(
    labels: NDArray[Any], *, axis: int = 0, min_iou: float
) -> NDArray[np.int32]:
    """Return labels whose ids are shared by the overlapping objects along `axis`.

    Parameters
    ----------
    labels
        Label image of any number of axes, 0 = background, whose ids are unique within
        a slice (all other axes) and start afresh in the next. May be memory-mapped.
    axis
        Axis along which slices follow one another.
    min_iou
        Smallest IoU of two objects that are linked, 0 to 1. With 0 any shared pixel
        will do.

    Returns
    -------
    array of int32, the shape of `labels`
        Ids 1, 2, 3, ... in the raster order of their first pixels. Objects of
        neighbouring slices have one id if the assignment with the greatest sum of IoU,
        among pairs that reach `min_iou`, pairs them; of equal sums the one with lower
        ids counts. An object that is absent from one slice ends there.

    Raises
    ------
    AxesError
        If there is no such axis.
    SettingsError
        If `min_iou` is outside 0 to 1.
    UNetError
        If the labels are not integers or hold negative ids.
    """
    if not -labels.ndim <= axis < labels.ndim:
        raise AxesError(
            f"Labels with {labels.ndim} axes have no axis {axis}.",
            "Choose one of the axes of the labels.",
        )
    if not 0 <= min_iou <= 1:
        raise SettingsError(
            f"The smallest IoU of a link is {min_iou}, which is not in 0 to 1.",
            "Give a fraction between 0 and 1.",
        )
    linked = np.zeros(labels.shape, np.int32)
    written = np.moveaxis(linked, axis, 0)

    def write(at: int, section: NDArray[np.int32]) -> None:
        written[at] = section

    link_slices_into(write, labels, axis=axis, min_iou=min_iou)
    return linked


def link_slices_into(
    write: Callable[[int, NDArray[np.int32]], None],
    labels: Any,
    *,
    axis: int,
    min_iou: float,
) -> int:
    """Do as `link_slices`, with two slices in memory at a time.

    Parameters
    ----------
    write
        Takes each slice in turn: its index along `axis`, and its new labels.
    labels, axis, min_iou
        See `link_slices`; `labels` is indexed by one integer and full slices alone.

    Returns
    -------
    int
        Number of objects, which is the largest id.
    """
    axis %= labels.ndim
    slices = _plan_tracks(labels, axis, min_iou)
    new_ids = _number_tracks(slices)
    for at, objects in enumerate(slices):
        section = _slice(labels, at, axis)
        write(at, _replace(section, objects.ids, new_ids[objects.track]))
    return int(new_ids.max(initial=0))


def _plan_tracks(
    labels: NDArray[Any], axis: int, min_iou: float
) -> list[_SliceObjects]:
    """Go through the slices in pairs and carry the tracks along."""
    slices: list[_SliceObjects] = []
    previous = None
    n_tracks = 0
    for at in range(labels.shape[axis]):
        section = _slice(labels, at, axis)
        ids, first = _first_pixels(section, at, axis, labels.shape)
        track = np.arange(n_tracks, n_tracks + len(ids))
        if previous is not None:
            old, new = _links(previous, section, min_iou)
            track[new] = slices[-1].track[old]
        n_tracks += len(ids)
        slices.append(_SliceObjects(ids, first, track))
        previous = section
    return slices


def _slice(labels: NDArray[Any], at: int, axis: int) -> NDArray[Any]:
    """Read one slice; indexed so that a file or a lazy array gives no more."""
    return label_array(labels[(slice(None),) * axis + (at,)])


def _links(
    previous: NDArray[Any], section: NDArray[Any], min_iou: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the linked objects of two slices as positions among their ids."""
    table = overlap_table(previous, section, ignore=None)
    iou = table.iou()
    enough = np.flatnonzero(iou >= min_iou)
    rows, cols = table.rows[enough], table.cols[enough]
    chosen = assign(rows, cols, iou[enough])
    return rows[chosen], cols[chosen]


def _first_pixels(
    section: NDArray[Any], at: int, axis: int, shape: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the ids of a slice and where each begins in the whole array."""
    (values,), lengths = label_runs(section)
    ids, run = np.unique(values, return_index=True)
    refuse_negative(ids)
    starts = (np.cumsum(lengths) - lengths)[run]
    # The slice's own index goes between the axes before it and those after it.
    after = math.prod(shape[axis + 1 :])
    outer, inner = np.divmod(starts[ids != 0], max(after, 1))
    return ids[ids != 0], (outer * shape[axis] + at) * after + inner


def _number_tracks(slices: list[_SliceObjects]) -> NDArray[np.int32]:
    """Return the final id of each track; tracks that were joined to others have 0."""
    track = np.concatenate([np.zeros(0, np.intp), *(s.track for s in slices)])
    first = np.concatenate([np.zeros(0, np.int64), *(s.first for s in slices)])
    order = np.argsort(first)
    _, begin = np.unique(track[order], return_index=True)
    in_order = track[order][np.sort(begin)]
    new_ids = np.zeros(len(track), np.int32)
    new_ids[in_order] = np.arange(1, len(in_order) + 1)
    return new_ids


def _replace(
    section: NDArray[Any], ids: NDArray[Any], new_ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Put `new_ids` in the place of `ids`; the background stays 0."""
    (values,), lengths = label_runs(section)
    replaced = np.zeros(len(values), np.int32)
    objects = values != 0
    replaced[objects] = new_ids[np.searchsorted(ids, values[objects])]
    return np.repeat(replaced, lengths).reshape(section.shape)
