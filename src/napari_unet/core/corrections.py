"""Correct labels by a drawn line: cut an object along it, or join or drop what it hits.

Each correction is planned as the pixels that change and their new values, so that
whoever owns the labels applies it in one step, and can undo it in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.overlap import label_array
from napari_unet.errors import AxesError, SettingsError

Labels = NDArray[Any]
Box = tuple[slice, ...]

SMALLEST_PART = 0.02
"""Share of an object below which a piece is no part of its own but a splinter."""


@dataclass(frozen=True, eq=False)
class Edit:
    """Pixels to change and what they become.

    Parameters
    ----------
    indices
        One array of positions per axis, as NumPy's fancy indexing takes them.
    values
        New label of each pixel.
    ids
        Objects that were there and are changed, ascending.
    """

    indices: tuple[NDArray[np.intp], ...]
    values: Labels
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Stroke:
    """A line drawn in one plane of an object array ([Z,] Y, X).

    Parameters
    ----------
    points
        (n, ndim) in pixels, n >= 1; they differ along `plane` only.
    plane
        The two axes of the plane that it was drawn in.
    """

    points: NDArray[np.float64]
    plane: tuple[int, int]

    def pixels(self, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
        """Return the pixels under the line that are inside an array of `shape`."""
        from skimage.draw import line  # slow to load, for when nothing is drawn

        corners = np.rint(self.points).astype(np.intp)
        first, second = self.plane
        ends = [corners[[0]][:, [first, second]]]
        for start, stop in pairwise(corners):
            rows, cols = line(start[first], start[second], stop[first], stop[second])  # type: ignore[no-untyped-call]
            ends.append(np.stack([rows, cols], axis=1))
        places = np.unique(np.concatenate(ends), axis=0)
        found = np.repeat(corners[:1], len(places), axis=0)
        found[:, [first, second]] = places
        inside = ((found >= 0) & (found < np.array(shape))).all(axis=1)
        return tuple(found[inside].T)

    def lengthened(self, by: float) -> Stroke:
        """Return the line prolonged straight on at both ends, in pixels."""
        if len(self.points) < 2:
            return self
        head = self.points[0] + by * _direction(self.points)
        tail = self.points[-1] + by * _direction(self.points[::-1])
        return Stroke(np.concatenate([[head], self.points, [tail]]), self.plane)


def hit_objects(labels: Labels, stroke: Stroke) -> tuple[int, ...]:
    """Return the ids under a line, in the order of how much of it lies on each."""
    under = label_array(labels)[stroke.pixels(labels.shape)]
    ids, counts = np.unique(under[under > 0], return_counts=True)
    return tuple(ids[np.argsort(-counts, kind="stable")].tolist())


def delete_objects(labels: Labels, stroke: Stroke) -> Edit:
    """Return the edit that removes every object under a line.

    Raises
    ------
    SettingsError
        If there is none.
    """
    ids = hit_objects(labels, stroke)
    if not ids:
        raise _nothing_hit()
    return _relabel(labels, ids, 0, ids)


def merge_objects(labels: Labels, stroke: Stroke) -> Edit:
    """Return the edit that makes one object of all under a line; the smallest id stays.

    Raises
    ------
    SettingsError
        If there are fewer than two.
    """
    ids = sorted(hit_objects(labels, stroke))
    if len(ids) < 2:
        raise SettingsError(
            "The line touches fewer than two objects.",
            "Draw it from one object into the other.",
        )
    return _relabel(labels, ids[1:], ids[0], ids)


def split_objects(labels: Labels, stroke: Stroke, *, first_free: int) -> Edit:
    """Return the edit that cuts objects along a line; the largest part keeps the id.

    A line that ends inside an object is prolonged straight on. Through a volume the cut
    goes on in both directions, perpendicular to the plane of the line. The pixels of
    the cut go to the nearest part, so that no gap opens.

    Parameters
    ----------
    labels
        ([Z,] Y, X); 0 is background.
    stroke
        The line.
    first_free
        Id from which on no id is in use.

    Raises
    ------
    SettingsError
        If no object is cut in two, or the dtype of `labels` has no further ids.
    """
    free, edits = first_free, []
    for label in sorted(hit_objects(labels, stroke)):
        edit = _split_one(labels, label, stroke, first_free=free)
        if edit is not None:
            edits.append(edit)
            free = max(free, int(edit.values.max()) + 1)
    if not edits:
        raise SettingsError(
            "The line cuts no object in two.", "Draw it right through the object."
        )
    if free - 1 > np.iinfo(labels.dtype).max:
        raise SettingsError(
            f"Labels of the type {labels.dtype} have no further ids.",
            "Convert the layer to int32 first (right click on it).",
        )
    return Edit(
        _joined([edit.indices for edit in edits]),
        np.concatenate([edit.values for edit in edits]).astype(labels.dtype),
        tuple(label for edit in edits for label in edit.ids),
    )


def _split_one(
    labels: Labels, label: int, stroke: Stroke, *, first_free: int
) -> Edit | None:
    """Return the edit that cuts one object; None if the line does not."""
    box = _bounding_box(labels, label)
    mask = labels[box] == label
    for line_drawn in (stroke, stroke.lengthened(float(sum(mask.shape)))):
        parts = _cut(mask, _curtain(line_drawn, box, labels.shape))
        if parts is None:
            continue
        moved = np.nonzero(parts > 1)
        values = first_free + parts[moved].astype(np.int64) - 2
        start = [part.start for part in box]
        indices = tuple(at + s for at, s in zip(moved, start, strict=True))
        return Edit(indices, values, (label,))
    return None


def _cut(
    mask: NDArray[np.bool_], curtain: NDArray[np.bool_]
) -> NDArray[np.int32] | None:
    """Return parts of a mask, 1 the largest; None if the curtain leaves one."""
    pieces, count = ndimage.label(mask & ~curtain)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(areas >= max(1.0, SMALLEST_PART * mask.sum()))
    if len(large) < 2:
        return None
    order = large[np.argsort(-areas[large], kind="stable")]
    number = np.zeros(count + 1, np.int32)
    number[order + 1] = np.arange(1, len(order) + 1)
    parts = number[pieces]
    # The cut and splinters belong to the part that is nearest.
    nearest = ndimage.distance_transform_edt(
        parts == 0, return_distances=False, return_indices=True
    )
    return np.where(mask, parts[tuple(nearest)], 0)


def _curtain(stroke: Stroke, box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels of a box under the line, or above or below it."""
    sizes = tuple(part.stop - part.start for part in box)
    curtain = np.zeros([n if a in stroke.plane else 1 for a, n in enumerate(sizes)])
    start = np.array([part.start for part in box])
    found = np.stack(stroke.pixels(shape), axis=1) - start
    found[:, [a for a in range(len(shape)) if a not in stroke.plane]] = 0
    inside = ((found >= 0) & (found < curtain.shape)).all(axis=1)
    curtain[tuple(found[inside].T)] = 1
    return np.broadcast_to(curtain > 0, sizes)


def _bounding_box(labels: Labels, label: int) -> Box:
    places = np.nonzero(labels == label)
    return tuple(slice(int(p.min()), int(p.max()) + 1) for p in places)


def _relabel(labels: Labels, ids: Any, value: int, changed: Any) -> Edit:
    indices = np.nonzero(np.isin(labels, ids))
    values = np.full(len(indices[0]), value, labels.dtype)
    return Edit(indices, values, tuple(sorted(changed)))


def _joined(
    indices: list[tuple[NDArray[np.intp], ...]],
) -> tuple[NDArray[np.intp], ...]:
    return tuple(np.concatenate(axis) for axis in zip(*indices, strict=True))


def _direction(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit vector that leads out of the beginning of a line."""
    # A hand trembles: the direction is that of the first few pixels, not of one.
    away = next((p for p in points if np.linalg.norm(p - points[0]) >= 3), points[-1])
    out = points[0] - away
    length = float(np.linalg.norm(out))
    return np.asarray(out / length if length else np.zeros_like(out))


def _nothing_hit() -> SettingsError:
    return SettingsError("The line touches no object.", "Draw it across an object.")


def sample_at(array: NDArray[Any], position: tuple[int, ...]) -> NDArray[Any]:
    """Return one sample of an array.

    Parameters
    ----------
    array
        Samples along its leading axes.
    position
        Index along these, which may lie outside.

    Raises
    ------
    AxesError
        If the array has no sample there.
    """
    inside = (0 <= at < n for at, n in zip(position, array.shape, strict=False))
    if not all(inside):
        at = ", ".join(map(str, position))
        raise AxesError(
            f"There are no labels at ({at}), which is shown.",
            "Move the slider to a frame that has labels.",
        )
    return np.asarray(array[position])


def in_whole_array(edit: Edit, position: tuple[int, ...]) -> Edit:
    """Return an edit of one sample as an edit of the array that it is part of.

    Parameters
    ----------
    edit
        Of ``sample_at(array, position)``.
    position
        Index along the leading axes.
    """
    n = len(edit.values)
    leading = tuple(np.full(n, at, np.intp) for at in position)
    return Edit((*leading, *edit.indices), edit.values, edit.ids)
