"""Images of touching fluorescent nuclei with known truth, drawn from a few numbers.

Real images with truth may rarely be passed on; these may. They serve as the embedded
sample, as fixtures and as training data, so realism and variety matter. Four files
share the work: `simulate_cells` draws nuclei, `simulate_layout` says what they are like
and where they lie, `simulate_motion` how they move, and `simulate_optics` what a
microscope makes of their light.
Every random choice comes from `Simulation.random_seed`, through independent streams:
a change of the camera leaves the truth as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.simulate_cells import Canvas, draw_light, draw_truth
from napari_unet.core.simulate_layout import place_cells
from napari_unet.core.simulate_motion import move_cells
from napari_unet.core.simulate_optics import Microscope
from napari_unet.core.simulate_settings import Simulation
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def simulate(
    simulation: Simulation | None = None,
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return one image and its truth.

    Parameters
    ----------
    simulation
        What to simulate; the defaults if None.

    Returns
    -------
    image
        Of `simulation.shape` and `simulation.dtype`, in counts.
    labels
        int32 of the same shape, 0 = background. Labels are 1..n in the order of their
        first pixel, each one connected component (corners count as connected). n is
        `simulation.cell_count` unless the field is so full that no room was found.
    """
    return next(_iter_frames(simulation or Simulation()))


def simulate_series(
    simulation: Simulation, n_frames: int
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return a time series of slowly moving nuclei and its truth.

    Parameters
    ----------
    simulation
        What to simulate; `motion` and `division_rate` matter here.
    n_frames
        Number of frames, at least 1. The first frame shows the truth that `simulate`
        returns.

    Returns
    -------
    images, labels
        With a leading time axis. A nucleus keeps its label; when it divides, its label
        ends and two new ones begin. Labels are numbered by frame, then first pixel.

    Raises
    ------
    SettingsError
        If `n_frames` is below 1.
    """
    if n_frames < 1:
        raise SettingsError(
            f"A series of {n_frames} frames cannot be simulated.",
            "Ask for one frame or more.",
        )
    frames = _iter_frames(simulation)
    pairs = [next(frames) for _ in range(n_frames)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def _iter_frames(
    simulation: Simulation,
) -> Iterator[tuple[NDArray[Any], NDArray[np.int32]]]:
    layout, motion, optics, camera = (
        np.random.default_rng(sequence)
        for sequence in np.random.SeedSequence(simulation.random_seed).spawn(4)
    )
    canvas = Canvas(simulation.shape, np.array(simulation.scale))
    microscope = Microscope.build(simulation, optics)
    cells = place_cells(simulation, layout)
    numbering = _Numbering()
    while True:
        truth = draw_truth(cells, canvas)
        light = draw_light(cells, truth, chromatin=microscope.chromatin)
        yield microscope.expose(light, camera), numbering.apply(truth.owners)
        cells = move_cells(cells, simulation, rng=motion)


@dataclass
class _Numbering:
    """Gives identities the next free label in the order in which they appear."""

    labels: dict[int, int] = field(default_factory=dict)

    def apply(self, owners: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return labels for `owners`, an image of identities where 0 is background."""
        for identity in _in_raster_order(owners):
            self.labels.setdefault(identity, len(self.labels) + 1)
        table = np.zeros(int(owners.max(initial=0)) + 1, np.int32)
        for identity, label in self.labels.items():
            if identity < len(table):
                table[identity] = label
        return table[owners]


def _in_raster_order(owners: NDArray[np.int32]) -> list[int]:
    flat = owners[owners > 0]
    values, first = np.unique(flat, return_index=True)
    return [int(value) for value in values[np.argsort(first)]]
