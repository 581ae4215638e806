"""Colours that stay with an object while its outline and its number change.

Labels are numbered afresh at every separation, so a colour that follows the number
would flicker. Here an object inherits the colour of what it covers most, and only a
new one gets a colour of its own, unlike those of its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.components import as_volume, compiled, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Neighbours are looked for at these distances along each axis, and so many are kept
# of each object: a cell has about six.
_NEAR = (1, 2, 4)
_N_NEAR = 24

# Numbers follow each other in space; this step gives those that do unlike colours.
_STEP = 5


def next_colours(
    labels: NDArray[np.int32], before: NDArray[np.uint8] | None, *, n_colours: int
) -> NDArray[np.uint8]:
    """Return a colour, 1 to `n_colours`, for each label; 0 for background.

    Parameters
    ----------
    labels
        0 background, 1, 2, ..., any number of axes.
    before
        Colour of each pixel until now, same shape; 0 is none. None at first.
    n_colours
        Colours to choose from.
    """
    count = int(labels.max(initial=0))
    colours = np.zeros(count + 1, np.uint8)
    if count == 0:
        return colours
    if before is not None:
        votes = np.zeros((count + 1, n_colours + 1), np.int32)
        _vote(frozen(labels.ravel()), frozen(before.ravel()), votes)
        colours = np.where(votes.any(axis=1), votes.argmax(axis=1), 0).astype(np.uint8)
    near = np.zeros((count + 1, _N_NEAR), np.int32)
    n_near = np.zeros(count + 1, np.int32)
    # Of more than three axes the first ones are laid one after the other.
    stacked = labels.reshape(-1, *labels.shape[-2:]) if labels.ndim > 3 else labels
    _find_near(frozen(as_volume(stacked)), near, n_near)
    _choose(colours, near, n_near, n_colours)
    return colours


@compiled
def _vote(
    labels: NDArray[np.int32], before: NDArray[np.uint8], votes: NDArray[np.int32]
) -> None:
    """Count for each label how many of its pixels have had each colour."""
    for i in range(labels.size):
        if labels[i] > 0 and before[i] > 0:
            votes[labels[i], before[i]] += 1


@compiled
def _note(
    near: NDArray[np.int32], n_near: NDArray[np.int32], one: int, other: int
) -> None:
    n = n_near[one]
    for i in range(n):
        if near[one, i] == other:
            return
    if n < near.shape[1]:
        near[one, n] = other
        n_near[one] = n + 1


@compiled
def _find_near(
    volume: NDArray[np.int32], near: NDArray[np.int32], n_near: NDArray[np.int32]
) -> None:
    """Note which labels lie near each other, for both."""
    planes, lines, columns = volume.shape
    for z in range(planes):
        for y in range(lines):
            for x in range(columns):
                one = volume[z, y, x]
                if one <= 0:
                    continue
                for step in _NEAR:
                    for axis in range(3):
                        v = z + step * (axis == 0)
                        u = y + step * (axis == 1)
                        t = x + step * (axis == 2)
                        if v >= planes or u >= lines or t >= columns:
                            continue
                        other = volume[v, u, t]
                        if other > 0 and other != one:
                            _note(near, n_near, one, other)
                            _note(near, n_near, other, one)


@compiled
def _choose(
    colours: NDArray[np.uint8],
    near: NDArray[np.int32],
    n_near: NDArray[np.int32],
    n_colours: int,
) -> None:
    """Give a colour that its neighbours do not have to each object without one.

    Of two neighbours that inherited the same, the later one gets another.
    """
    for one in range(1, colours.size):
        for i in range(n_near[one]):
            other = near[one, i]
            if other > one and colours[other] == colours[one]:
                colours[other] = 0
    for one in range(1, colours.size):
        if colours[one]:
            continue
        wanted = one * _STEP % n_colours
        colours[one] = 1 + wanted
        for turn in range(n_colours):
            colour = 1 + (wanted + turn) % n_colours
            is_free = True
            for i in range(n_near[one]):
                is_free = is_free and colours[near[one, i]] != colour
            if is_free:
                colours[one] = colour
                break
