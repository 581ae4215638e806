"""What each simulated nucleus is like, where it lies, and which of them touch.

Two nuclei touch for certain when their centres are nearer than the sum of their radii
along the line between them, and are apart for certain when that line is longer than the
sum of their extents along it. Lone nuclei are put apart from all others. A cluster
grows from one nucleus: each further one goes beside a member, in a random direction and
a little nearer than touching. So `Simulation.crowding` is the fraction of nuclei that
touch another, unless the field is too full for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.simulate_cells import RIPPLE_ORDERS, Cell, Look, Outline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from napari_unet.core.simulate_settings import Simulation

    Floats = NDArray[np.float64]

ATTEMPTS = 120
# Touching nuclei are put nearer by this, so that their pixels touch too.
TOUCH_PX = 0.75


def place_cells(simulation: Simulation, rng: Generator) -> list[Cell]:
    """Return nuclei at their places, fewer than asked for only if no room is found."""
    field = _Field(simulation)
    for size in _cluster_sizes(simulation, rng):
        members: list[int] = []
        for _ in range(size):
            cell = draw_cell(simulation, rng, identity=len(field.cells) + 1)
            outline = _find_place(cell.outline, field, members=members, rng=rng)
            if outline is not None:
                members.append(len(field.cells))
                field.add(cell.with_outline(outline))
    return field.cells


def draw_cell(simulation: Simulation, rng: Generator, *, identity: int) -> Cell:
    """Return a random nucleus, still at the origin."""
    condensed = rng.random() < simulation.condensed
    outline = _draw_outline(simulation, rng, condensed=condensed)
    look = _draw_look(simulation, rng, glow=2.2 if condensed else 1.0)
    return Cell(identity, outline, look, velocity=np.zeros(len(simulation.shape)))


def contact_distance(first: Outline, second: Outline, *, direction: Floats) -> float:
    """Return the distance of centres below which two nuclei overlap for certain."""
    return first.radius(direction) + second.radius(-direction)


def touching_distance(
    first: Outline,
    second: Outline,
    *,
    direction: Floats,
    simulation: Simulation,
    pressure: float = 1.0,
) -> float:
    """Return the distance of the centres of two touching nuclei.

    `pressure` is the part of the allowed overlap that is used; 1 is the nearest.
    """
    contact = contact_distance(first, second, direction=direction)
    pixel = float(np.linalg.norm(direction * np.array(simulation.scale)))
    return contact * (1 - simulation.overlap * pressure) - TOUCH_PX * pixel


def _cluster_sizes(simulation: Simulation, rng: Generator) -> list[int]:
    """Return sizes that add up to the number of nuclei, lone ones as 1, shuffled."""
    n_left = round(simulation.crowding * simulation.cell_count)
    sizes = []
    while n_left >= 2:
        size = min(2 + rng.geometric(1 / (1 + 3 * simulation.crowding)) - 1, n_left)
        # A rest of one would be alone: it joins this cluster.
        size += n_left - size == 1
        sizes.append(int(size))
        n_left -= size
    sizes += [1] * (simulation.cell_count - sum(sizes))
    return [sizes[i] for i in rng.permutation(len(sizes))]


def _draw_outline(
    simulation: Simulation, rng: Generator, *, condensed: bool
) -> Outline:
    ndim = len(simulation.shape)
    factor = np.exp(simulation.diameter_spread * rng.standard_normal())
    radius = simulation.diameter / 2 * np.clip(factor, 0.5, 2)
    ratio = simulation.elongation ** rng.uniform(0.2, 1.8)
    amplitudes = simulation.irregularity * rng.standard_normal(len(RIPPLE_ORDERS))
    if condensed:
        radius, ratio, amplitudes = 0.6 * radius, 1.3 * ratio, 2 * amplitudes
    # Semi-axes whose product is that of a ball: elongation does not change the size.
    powers = np.sort([0.0, 1.0, *rng.random(ndim - 2)])
    powers -= powers.mean()
    # Curvature grows with the square of the order: high orders would make corners.
    amplitudes = np.clip(amplitudes * (2 / np.array(RIPPLE_ORDERS)) ** 1.5, -0.15, 0.15)
    ripples = _draw_directions(len(RIPPLE_ORDERS), ndim, rng=rng)
    return Outline(
        centre=np.zeros(ndim),
        semi_axes=radius * ratio**powers,
        rotation=_draw_rotation(ndim, rng),
        ripples=ripples * amplitudes[:, None],
    )


def _draw_look(simulation: Simulation, rng: Generator, *, glow: float) -> Look:
    ndim = len(simulation.shape)
    spread = simulation.brightness_spread
    out_of_focus = rng.random() < simulation.defocus and ndim == 2
    return Look(
        brightness=glow * float(np.exp(spread * rng.standard_normal() - spread**2 / 2)),
        texture=simulation.texture * rng.uniform(0.5, 1.5),
        texture_origin=rng.uniform(0, 1000, ndim),
        spots=_draw_spots(simulation, rng),
        layer=int(rng.integers(1, 3)) if out_of_focus else 0,
        stacked=bool(rng.random() < simulation.stacked and ndim == 2),
    )


def _draw_spots(simulation: Simulation, rng: Generator) -> Floats:
    n_spots = rng.poisson(simulation.nucleoli)
    places = _draw_directions(n_spots, len(simulation.shape), rng=rng)
    places *= rng.uniform(0, 0.6, (n_spots, 1))
    # One spot in four is a bright clump of chromatin, not a nucleolus.
    darkness = rng.uniform(0.15, 0.5, n_spots) * rng.choice([1, 1, 1, -1], n_spots)
    return np.column_stack([places, rng.uniform(0.12, 0.28, n_spots), darkness])


def _draw_directions(n: int, ndim: int, *, rng: Generator) -> Floats:
    vectors = rng.standard_normal((n, ndim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _draw_rotation(ndim: int, rng: Generator) -> Floats:
    """Return an orthogonal matrix, all orientations alike."""
    orthogonal, triangular = np.linalg.qr(rng.standard_normal((ndim, ndim)))
    return np.asarray(orthogonal * np.sign(np.diag(triangular)))


def _find_place(
    outline: Outline, field: _Field, *, members: list[int], rng: Generator
) -> Outline | None:
    """Return `outline` beside a member or apart from all, else in any gap, else None.

    A full field leaves only gaps in which nuclei touch others uninvited.
    """
    for _ in range(ATTEMPTS):
        trial = field.draw_trial(outline, members=members, rng=rng)
        if field.has_room(trial, members):
            return trial
    everyone = list(range(len(field.cells)))
    for _ in range(ATTEMPTS):
        trial = field.draw_trial(outline, members=everyone, rng=rng)
        if field.has_room(trial, everyone):
            return trial
    return None


class _Field:
    """The nuclei placed so far, and whether there is room for the next."""

    def __init__(self, simulation: Simulation) -> None:
        self.cells: list[Cell] = []
        self.simulation = simulation
        self.scale = np.array(simulation.scale)
        self.size = (np.array(simulation.shape) - 1) * self.scale
        self._centres = np.empty((simulation.cell_count, self.size.size))
        self._reaches = np.empty(simulation.cell_count)

    def add(self, cell: Cell) -> None:
        self._centres[len(self.cells)] = cell.outline.centre
        self._reaches[len(self.cells)] = cell.outline.reach
        self.cells.append(cell)

    def draw_trial(
        self, outline: Outline, *, members: list[int], rng: Generator
    ) -> Outline:
        """Put `outline` beside one of `members`; if there are none, anywhere."""
        if not members:
            return outline.moved_to(rng.random(self.size.size) * self.size)
        host = self.cells[members[rng.integers(len(members))]].outline
        direction = _draw_directions(1, self.size.size, rng=rng)[0]
        distance = touching_distance(
            host,
            outline,
            direction=direction,
            simulation=self.simulation,
            pressure=rng.uniform(0.2, 1),
        )
        return outline.moved_to(host.centre + distance * direction)

    def has_room(self, outline: Outline, members: Iterable[int]) -> bool:
        """Tell whether `outline` lies inside, apart from all but `members`.

        Members may touch it, but are overlapped by no more than the setting says.
        """
        if np.any(outline.centre < 0) or np.any(outline.centre > self.size):
            return False
        centres, reaches = self._centres[: len(self.cells)], self._reaches
        away = np.linalg.norm(centres - outline.centre, axis=1)
        limit = reaches[: len(self.cells)] + outline.reach + 2 * self.scale.max()
        allowed = set(members)
        return all(
            away[i] > self._least_distance(outline, int(i), touching=i in allowed)
            for i in np.flatnonzero(away < limit)
        )

    def _least_distance(self, outline: Outline, index: int, *, touching: bool) -> float:
        other = self.cells[index].outline
        step = other.centre - outline.centre
        direction = step / max(float(np.linalg.norm(step)), 1e-9)
        if touching:
            return touching_distance(
                outline, other, direction=direction, simulation=self.simulation
            )
        # Neighbouring pixels are at most this far apart along the direction.
        pixel = float(np.abs(direction) @ self.scale)
        return outline.extent(direction) + other.extent(direction) + 1.05 * pixel
