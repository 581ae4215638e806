"""Boxes: parts of a plane or volume as slices, and what of an image a view shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Box = tuple[slice, ...]

# Pixels around the view that are separated with it, and at most in one preview.
MARGIN = 32
LARGEST_PREVIEW = 2**22


def n_pixels(box: Box) -> int:
    """Return how many pixels a box has."""
    return math.prod(part.stop - part.start for part in box)


def grown(box: Box, by: int = MARGIN) -> Box:
    """Return a box with so many pixels more on each side, from 0 on."""
    return tuple(slice(max(0, part.start - by), part.stop + by) for part in box)


def around(one: Box, other: Box) -> Box:
    """Return the smallest box that holds two boxes."""
    pairs = zip(one, other, strict=True)
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)


def common(one: Box, other: Box) -> Box:
    """Return the pixels that two boxes share, which do meet."""
    pairs = zip(one, other, strict=True)
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs)


def within(box: Box, area: Box) -> Box:
    """Return a box as it lies in the area that holds it."""
    pairs = zip(box, area, strict=True)
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in pairs)


def box_in_view(spans: Mapping[str, Any], spatial: str, shape: tuple[int, ...]) -> Box:
    """Return the slices of a view with its margin; the middle of one that is large."""
    box = []
    for axis, n in zip(spatial, shape, strict=True):
        value = spans.get(axis, (0, n))
        start, stop = (0, n) if isinstance(value, int) else value
        box.append([max(0, start - MARGIN), min(n, stop + MARGIN)])
    while math.prod(stop - start for start, stop in box) > LARGEST_PREVIEW:
        longest = max(box, key=lambda span: span[1] - span[0])
        quarter = (longest[1] - longest[0]) // 8
        longest[0], longest[1] = longest[0] + quarter, longest[1] - quarter
    return tuple(slice(start, stop) for start, stop in box)
