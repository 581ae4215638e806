"""One simulated nucleus: its outline, its chromatin, and how nuclei share an image.

This file turns a list of nuclei into truth (which pixel belongs to whom) and into
light per focal layer. Each nucleus is drawn in its own bounding box.

An outline is an ellipsoid whose surface is moved by a few low-order ripples, with the
same formula in 2-D and 3-D: relative to the radius, the ripple of order k adds towards
the unit vector u ``a_k T_k(d_k . u)``, with T_k a Chebyshev polynomial and d_k a
direction of its own: in 2-D the Fourier series ``a_k cos(k (angle - angle_k))``.

Where two nuclei would overlap, a pixel belongs to the one in which it lies deeper: they
flatten against each other, as pressed nuclei do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    Box = tuple[slice, ...]

Floats = NDArray[np.float64]

RIPPLE_ORDERS = (2, 3, 4, 5)
# Boxes reach this far beyond an outline, so that neighbours know of each other.
MARGIN_PX = 2.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """Shape of the image in pixels, and pixel size per axis."""

    shape: tuple[int, ...]
    scale: Floats

    def box(self, centre: Floats, half_extent: Floats) -> Box:
        """Return the pixels of the image within `half_extent` of `centre`."""
        low = np.floor((centre - half_extent) / self.scale - MARGIN_PX).astype(int)
        high = np.ceil((centre + half_extent) / self.scale + MARGIN_PX).astype(int) + 1
        low, high = np.clip(low, 0, self.shape), np.clip(high, 0, self.shape)
        return tuple(
            slice(start, stop)
            for start, stop in zip(low.tolist(), high.tolist(), strict=True)
        )

    def offsets(self, box: Box, centre: Floats) -> Floats:
        """Return ``(ndim, *box)``: vectors from `centre` to the pixel centres."""
        axes = [
            np.arange(part.start, part.stop) * step - middle
            for part, step, middle in zip(box, self.scale, centre, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True, eq=False)
class Outline:
    """Where a nucleus ends: a rotated ellipsoid with ripples on it.

    `rotation` has the body's axes as columns; `ripples` is ``(orders, ndim)``: unit
    directions times amplitudes, relative to the radius.
    """

    centre: Floats
    semi_axes: Floats
    rotation: Floats
    ripples: Floats

    def unit_coordinates(self, offsets: Floats) -> Floats:
        """Return body coordinates in which the plain ellipsoid is the unit ball."""
        axes = self.rotation.T / self.semi_axes[:, None]
        return np.stack([_dot(axis, offsets) for axis in axes])

    def swelling(self, directions: Floats) -> Floats:
        """Return radius over plain ellipsoid towards unit `directions` of the body."""
        total = np.ones(directions.shape[1:])
        for order, ripple in zip(RIPPLE_ORDERS, self.ripples, strict=True):
            amplitude = float(np.linalg.norm(ripple))
            if amplitude > 0:
                cosine = _dot(ripple / amplitude, directions)
                total += amplitude * _chebyshev(order, cosine)
        return np.maximum(total, 0.5)

    def radius(self, direction: Floats) -> float:
        """Return the distance from the centre to the outline along a unit vector."""
        unit = self.unit_coordinates(direction)
        length = np.linalg.norm(unit)
        return float(self.swelling(unit / length) / length)

    def extent(self, direction: Floats) -> float:
        """Return how far the nucleus reaches along a unit vector, at most."""
        plain = np.linalg.norm(self.semi_axes * (self.rotation.T @ direction))
        return float(plain * self._largest_swelling)

    def moved_to(self, centre: Floats) -> Outline:
        """Return the same outline elsewhere."""
        return replace(self, centre=centre)

    @property
    def reach(self) -> float:
        """No point of the outline is farther from the centre than this."""
        return float(self.semi_axes.max() * self._largest_swelling)

    @property
    def half_extent(self) -> Floats:
        """Half of a bounding box, per axis."""
        plain = np.sqrt(((self.rotation * self.semi_axes) ** 2).sum(axis=1))
        return np.asarray(plain * self._largest_swelling)

    @property
    def _largest_swelling(self) -> float:
        return float(1 + np.linalg.norm(self.ripples, axis=1).sum())

    def depth(self, unit: Floats) -> NDArray[np.float32]:
        """Return the distance to the outline at unit coordinates, positive inside.

        To first order: the unit ball's value over its slope, exact near the outline.
        """
        length = np.maximum(np.sqrt((unit**2).sum(axis=0)), 1e-9)
        directions = unit / length
        slope = np.sqrt(
            ((directions / _column(self.semi_axes, unit.ndim)) ** 2).sum(axis=0)
        )
        # At the very centre no direction is defined, and none is needed.
        slope = np.maximum(slope, 1 / self.semi_axes.max())
        depth = (1 - length / self.swelling(directions)) / slope
        return np.asarray(depth, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Look:
    """How a nucleus shines: all that is not its outline.

    `spots` is ``(n, ndim + 2)``: place in unit coordinates, radius, darkness (negative:
    bright). `layer` is the focal layer; a `stacked` nucleus shines through neighbours.
    """

    brightness: float
    texture: float
    texture_origin: Floats
    spots: Floats
    layer: int
    stacked: bool


@dataclass(frozen=True, eq=False)
class Cell:
    """A nucleus; `identity` counts from 1 and is never used again."""

    identity: int
    outline: Outline
    look: Look
    velocity: Floats
    # Frames since division, for the size and brightness of young nuclei.
    age: int = 1000
    # This frame is the nucleus's last: it divides.
    dividing: bool = False

    def with_outline(self, outline: Outline) -> Cell:
        """Return the same nucleus with another outline."""
        return replace(self, outline=outline)


@dataclass(frozen=True, eq=False)
class Truth:
    """Who owns each pixel, and how deep it lies in the two deepest nuclei there."""

    canvas: Canvas
    owners: NDArray[np.int32]
    deepest: NDArray[np.float32]
    second: NDArray[np.float32]

    def rival(self, box: Box, identity: int) -> NDArray[np.float32]:
        """Return the depth in the deepest nucleus other than `identity`."""
        own = self.owners[box] == identity
        return np.where(own, self.second[box], self.deepest[box])


def draw_truth(cells: Sequence[Cell], canvas: Canvas) -> Truth:
    """Give each pixel to the nucleus in which it lies deepest, if any."""
    owners = np.zeros(canvas.shape, np.int32)
    deepest = np.full(canvas.shape, -np.inf, np.float32)
    second = deepest.copy()
    for cell in cells:
        box = canvas.box(cell.outline.centre, cell.outline.half_extent)
        depth = cell.outline.depth(_unit_coordinates(cell, canvas, box=box))
        second[box] = np.maximum(second[box], np.minimum(depth, deepest[box]))
        owners[box][(depth > deepest[box]) & (depth > 0)] = cell.identity
        deepest[box] = np.maximum(deepest[box], depth)
    for cell in cells:
        box = canvas.box(cell.outline.centre, cell.outline.half_extent)
        _keep_largest_part(owners[box], cell.identity)
    return Truth(canvas, owners, deepest, second)


def draw_light(
    cells: Sequence[Cell], truth: Truth, *, chromatin: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``(layers, *shape)``: the light sent out in each focal layer.

    `chromatin` is a periodic random field of mean 0 and standard deviation 1.
    """
    n_layers = 1 + max((cell.look.layer for cell in cells), default=0)
    light = np.zeros((n_layers, *truth.canvas.shape), np.float32)
    for cell in cells:
        box = truth.canvas.box(cell.outline.centre, cell.outline.half_extent)
        unit = _unit_coordinates(cell, truth.canvas, box=box)
        depth = cell.outline.depth(unit)
        # Parts that were cut off, and belong to nobody, do not shine.
        depth[(depth > 0) & (truth.owners[box] == 0)] = -1
        if not cell.look.stacked:
            rival = truth.rival(box, cell.identity)
            depth = np.minimum(depth, (depth - rival) / 2)
        glow = _rim(depth, float(cell.outline.semi_axes.mean()))
        glow *= _chromatin_light(cell, unit, chromatin=chromatin)
        light[cell.look.layer][box] += np.float32(cell.look.brightness) * glow
    return light


def _unit_coordinates(cell: Cell, canvas: Canvas, *, box: Box) -> Floats:
    offsets = canvas.offsets(box, cell.outline.centre)
    return cell.outline.unit_coordinates(offsets)


def _rim(depth: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Nuclei are thinner at their rim; pixels on the outline are covered in part."""
    covered = np.clip(depth + 0.5, 0, 1)
    thick = 1 - 0.5 * np.exp(-np.maximum(depth, 0) / (0.16 * radius))
    return np.asarray(covered * thick, dtype=np.float32)


def _chromatin_light(
    cell: Cell, unit: Floats, *, chromatin: NDArray[np.float32]
) -> NDArray[np.float32]:
    # The field is read in coordinates of the body, so that it moves and turns with it.
    look = cell.look
    # One radius of the mean nucleus is 11 pixels of the field, whatever its size.
    places = unit * 11 + _column(look.texture_origin, unit.ndim)
    field = ndimage.map_coordinates(chromatin, places, order=1, mode="grid-wrap")
    light = 1 + look.texture * field
    for *place, radius, darkness in look.spots:
        distance = ((unit - _column(np.array(place), unit.ndim)) ** 2).sum(axis=0)
        light *= 1 - darkness * np.exp(-((distance / radius**2) ** 2))
    return np.asarray(np.maximum(light, 0.05), dtype=np.float32)


def _keep_largest_part(owners: NDArray[np.int32], identity: int) -> None:
    """Erase all but the largest connected part of a nucleus, in place."""
    structure = np.ones((3,) * owners.ndim)
    parts, n_parts = ndimage.label(owners == identity, structure)
    if n_parts > 1:
        sizes = np.bincount(parts.ravel())[1:]
        owners[(parts > 0) & (parts != sizes.argmax() + 1)] = 0


def _chebyshev(order: int, cosine: Floats) -> Floats:
    """Return ``T_order``, order >= 1, by its recurrence."""
    before, value = np.ones_like(cosine), cosine
    for _ in range(order - 1):
        before, value = value, 2 * cosine * value - before
    return value


def _dot(vector: Floats, vectors: Floats) -> Floats:
    """Multiply along the first axis, term by term: the same on every machine."""
    total = vector[0] * vectors[0]
    for i in range(1, len(vector)):
        total = total + vector[i] * vectors[i]
    return np.asarray(total)


def _column(vector: Floats, ndim: int) -> Floats:
    return vector.reshape(-1, *(1,) * (ndim - 1))
