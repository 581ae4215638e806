"""How simulated nuclei move, turn, grow and divide from one frame to the next.

Slow enough that a nucleus overlaps itself in the next frame, which makes the truth
usable for linking. Nuclei that come too close push each other away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_unet.core.simulate_layout import contact_distance, touching_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from napari_unet.core.simulate_cells import Cell
    from napari_unet.core.simulate_settings import Simulation

    Floats = NDArray[np.float64]

# How much of its velocity a nucleus keeps per frame.
PERSISTENCE = 0.8
# Chromatin condenses before a division: smaller and brighter by these factors.
CONDENSED_SIZE, CONDENSED_GLOW = 0.85, 1.6
# Daughters start with this fraction of their mother's radius and grow.
DAUGHTER_SIZE = 0.72
GROWTH_FRAMES = 12


def move_cells(
    cells: Sequence[Cell], simulation: Simulation, *, rng: Generator
) -> list[Cell]:
    """Return the nuclei of the next frame; daughters get identities of their own."""
    last = max((cell.identity for cell in cells), default=0)
    moved: list[Cell] = []
    for cell in cells:
        if cell.dividing:
            moved += _divide(cell, last)
            last += 2
        else:
            moved.append(_step(cell, simulation, rng=rng))
    return _settle(moved, simulation)


def _step(cell: Cell, simulation: Simulation, *, rng: Generator) -> Cell:
    pace = simulation.motion * simulation.diameter * np.sqrt(1 - PERSISTENCE**2)
    velocity = PERSISTENCE * cell.velocity + pace * rng.standard_normal(
        cell.velocity.size
    )
    outline = replace(
        cell.outline,
        centre=cell.outline.centre + velocity,
        rotation=_turn(simulation.motion * rng.standard_normal(), velocity.size)
        @ cell.outline.rotation,
    )
    moved = replace(cell, outline=outline, velocity=velocity, age=cell.age + 1)
    if moved.age <= GROWTH_FRAMES:
        return _grow(moved)
    if rng.random() < simulation.division_rate:
        return replace(
            _resized(moved, CONDENSED_SIZE, glow=CONDENSED_GLOW), dividing=True
        )
    return moved


def _turn(angle: float, ndim: int) -> Floats:
    """Return a rotation in the plane of the last two axes."""
    matrix = np.eye(ndim)
    matrix[-2:, -2:] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    return matrix


def _grow(cell: Cell) -> Cell:
    share = 1 / GROWTH_FRAMES
    return _resized(cell, DAUGHTER_SIZE**-share, glow=CONDENSED_GLOW**-share)


def _resized(cell: Cell, size: float, *, glow: float) -> Cell:
    return replace(
        cell,
        outline=replace(cell.outline, semi_axes=cell.outline.semi_axes * size),
        look=replace(cell.look, brightness=cell.look.brightness * glow),
    )


def _divide(mother: Cell, last_identity: int) -> list[Cell]:
    """Return two daughters side by side along the mother's longest axis."""
    young = _resized(mother, DAUGHTER_SIZE / CONDENSED_SIZE, glow=1.0)
    axis = mother.outline.rotation[:, mother.outline.semi_axes.argmax()]
    contact = contact_distance(young.outline, young.outline, direction=axis)
    return [
        replace(
            young,
            identity=last_identity + number,
            outline=young.outline.moved_to(
                young.outline.centre + side * 0.5 * contact * axis
            ),
            look=replace(young.look, texture_origin=mother.look.texture_origin + side),
            velocity=side * 0.05 * contact * axis,
            age=0,
            dividing=False,
        )
        for number, side in ((1, -1), (2, 1))
    ]


def _settle(cells: list[Cell], simulation: Simulation) -> list[Cell]:
    """Push apart nuclei that overlap more than the setting, and keep them inside."""
    size = (np.array(simulation.shape) - 1) * simulation.scale
    for _ in range(3):
        shifts = _pushes(cells, simulation)
        cells = [
            replace(
                cell,
                outline=cell.outline.moved_to(
                    np.clip(cell.outline.centre + shift, 0, size)
                ),
            )
            for cell, shift in zip(cells, shifts, strict=True)
        ]
    return cells


def _pushes(cells: Sequence[Cell], simulation: Simulation) -> Floats:
    shifts = np.zeros((len(cells), len(simulation.shape)))
    if len(cells) < 2:
        return shifts
    centres = np.array([cell.outline.centre for cell in cells])
    reach = max(cell.outline.reach for cell in cells)
    for i, j in sorted(cKDTree(centres).query_pairs(2 * reach)):
        step = centres[j] - centres[i]
        distance = float(np.linalg.norm(step))
        direction = step / max(distance, 1e-9)
        first, second = cells[i].outline, cells[j].outline
        if distance < first.reach + second.reach:
            least = touching_distance(
                first, second, direction=direction, simulation=simulation
            )
            missing = max(least - distance, 0.0)
            shifts[i] -= missing / 2 * direction
            shifts[j] += missing / 2 * direction
    return shifts
