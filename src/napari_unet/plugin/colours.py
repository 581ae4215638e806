"""Colours that stay with an object while its outline and its number change.

Labels are numbered afresh at every separation, so a colour that follows the number
would flicker. Here an object inherits the colour of what it covers most, and only a
new one gets a colour of its own, unlike those of its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.utils.colormaps import CyclicLabelColormap

Labels = npt.NDArray[np.int32]
Colours = npt.NDArray[np.uint8]

# Hues far apart, of equal lightness; 0 is background.
PALETTE = np.array(
    [
        (0.00, 0.00, 0.00, 0.0),
        (0.95, 0.35, 0.35, 1.0),
        (0.30, 0.75, 0.95, 1.0),
        (0.98, 0.80, 0.25, 1.0),
        (0.60, 0.50, 0.95, 1.0),
        (0.40, 0.85, 0.45, 1.0),
        (0.98, 0.55, 0.80, 1.0),
        (0.95, 0.60, 0.25, 1.0),
        (0.30, 0.85, 0.75, 1.0),
        (0.75, 0.85, 0.30, 1.0),
        (0.80, 0.45, 0.75, 1.0),
        (0.45, 0.60, 0.98, 1.0),
        (0.90, 0.75, 0.60, 1.0),
    ],
    np.float32,
)
N_COLOURS = len(PALETTE) - 1

# Napari's table of colours ends here; beyond, numbers share colours in turn.
LARGEST_TABLE = 2**16 - 1

# Neighbours are looked for at these distances along each axis.
NEAR = (1, 2, 4)


def paint(colours: Colours, labels: Labels) -> Colours:
    """Return the colour of each pixel, from the colour of each object."""
    return colours[labels]


def next_colours(labels: Labels, before: Colours | None) -> Colours:
    """Return a colour, 1 to `N_COLOURS`, for each label; 0 for background.

    Parameters
    ----------
    labels
        1, 2, ..., any number of axes.
    before
        Colour of each pixel until now, from `paint`; None at first.
    """
    count = int(labels.max(initial=0))
    colours = np.zeros(count + 1, np.uint8)
    if count == 0:
        return colours
    if before is not None:
        colours = _inherited(labels, before, count)
    pairs = _neighbours(labels, count)
    _separate_twins(colours, pairs)
    _colour_new(colours, pairs)
    return colours


def label_colormap(colours: Colours) -> CyclicLabelColormap:
    """Return napari's colormap for labels with these colours."""
    from napari.utils.colormaps import CyclicLabelColormap

    table = colours[: LARGEST_TABLE + 1]
    if len(table) < 2:
        table = np.arange(2, dtype=np.uint8)
    return CyclicLabelColormap(colors=PALETTE[table], background_value=0)


def _inherited(labels: Labels, before: Colours, count: int) -> Colours:
    """Return for each label the colour that most of its pixels had; 0 for none."""
    n = N_COLOURS + 1
    codes = labels.ravel().astype(np.intp) * n + before.ravel()
    votes = np.bincount(codes, minlength=(count + 1) * n).reshape(count + 1, n)
    votes[:, 0] = 0
    votes[0] = 0
    return np.where(votes.any(axis=1), votes.argmax(axis=1), 0).astype(np.uint8)


def _neighbours(labels: Labels, count: int) -> npt.NDArray[np.intp]:
    """Return pairs (n, 2) of labels that lie near each other, smaller first."""
    codes = [np.empty(0, np.int64)]
    for axis in range(labels.ndim):
        along = np.moveaxis(labels, axis, 0)
        for step in NEAR:
            one, other = along[:-step], along[step:]
            differ = (one != other) & (one > 0) & (other > 0)
            low, high = one[differ].astype(np.int64), other[differ].astype(np.int64)
            low, high = np.minimum(low, high), np.maximum(low, high)
            codes.append(np.unique(low * (count + 1) + high))
    pairs = np.unique(np.concatenate(codes))
    return np.stack(np.divmod(pairs, count + 1), axis=1).astype(np.intp)


def _separate_twins(colours: Colours, pairs: npt.NDArray[np.intp]) -> None:
    """Take the colour from the later of two neighbours that inherited the same."""
    for one, other in pairs:
        if colours[one] and colours[one] == colours[other]:
            colours[other] = 0


def _colour_new(colours: Colours, pairs: npt.NDArray[np.intp]) -> None:
    """Give each object without a colour one that its neighbours do not have."""
    near: dict[int, list[int]] = {}
    for one, other in pairs.tolist():
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    for label in np.flatnonzero(colours == 0).tolist():
        if label == 0:
            continue
        taken = {int(colours[other]) for other in near.get(label, ())}
        wanted = (label * 5) % N_COLOURS
        order = (1 + (wanted + i) % N_COLOURS for i in range(N_COLOURS))
        colours[label] = next((c for c in order if c not in taken), 1 + wanted)


def preview_labels(labels: Any, offset: int) -> Labels:
    """Return labels that cannot be mistaken for the final ones below `offset`."""
    return np.where(labels > 0, labels + offset, 0).astype(np.int32)
