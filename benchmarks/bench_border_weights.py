"""Border weights at 2048 x 2048 with 5,000 cells, against the loop over the cells.

The loop is the usual way: one SciPy distance transform of the whole image per cell, and
a running minimum and second minimum. It would take many minutes, so a few cells are
timed and the time is multiplied by the number of cells (extrapolated, and said so).
Whether the weights agree is checked with the whole loop on a window that it can finish.

Run on idle cores: ``python benchmarks/bench_border_weights.py``; both use one thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_unet.core.border_weights import SIGMA, W0, border_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ids = NDArray[np.int32]
    Doubles = NDArray[np.float64]

SIDE = 2048
N_CELLS = 5000
SAMPLE = 8
WINDOW = 512
REPEATS = 5


def draw_cells(side: int, n_cells: int) -> Ids:
    """Ellipses on a jittered grid: about half of the image, many of them touching."""
    rng = np.random.default_rng(0)
    per_side = int(np.ceil(np.sqrt(n_cells)))
    pitch = side / per_side
    labels = np.zeros((side, side), np.int32)
    for cell in range(1, n_cells + 1):
        at = np.array(divmod(cell - 1, per_side)) + 0.5 + rng.uniform(-0.15, 0.15, 2)
        centre, radius = at * pitch, rng.uniform(0.3, 0.52, 2) * pitch
        low = np.maximum(np.floor(centre - radius), 0).astype(int)
        high = np.ceil(centre + radius).astype(int) + 1
        box = labels[low[0] : high[0], low[1] : high[1]]
        places = np.moveaxis(np.indices(box.shape), 0, -1) + low
        inside = (((places - centre) / radius) ** 2).sum(-1) <= 1
        box[inside & (box == 0)] = cell
    return labels


def two_distances_by_loop(labels: Ids, cells: Ids) -> tuple[Doubles, Doubles]:
    """Distances to the two nearest of `cells`, one transform each."""
    d1 = np.full(labels.shape, np.inf)
    d2 = np.full(labels.shape, np.inf)
    for cell in cells:
        distance = distance_transform_edt(labels != cell)
        np.minimum(d2, np.maximum(d1, distance), out=d2)
        np.minimum(d1, distance, out=d1)
    return d1, d2


def weights_by_loop(labels: Ids) -> Doubles:
    """The paper's formula with w_c = 1 from the loop's distances."""
    d1, d2 = two_distances_by_loop(labels, np.unique(labels[labels > 0]))
    return np.asarray(1.0 + W0 * np.exp(-((d1 + d2) ** 2) / (2 * SIGMA**2)))


def fastest(job: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest run."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure() -> dict[str, float]:
    """Seconds of both, the speed-up, and the largest difference of the weights."""
    labels = draw_cells(SIDE, N_CELLS)
    cells = np.unique(labels[labels > 0])
    window = labels[:WINDOW, :WINDOW]
    difference = np.abs(border_weights(window) - weights_by_loop(window)).max()
    ours = fastest(lambda: border_weights(labels), REPEATS)
    sample = cells[:: len(cells) // SAMPLE][:SAMPLE]
    per_cell = fastest(lambda: two_distances_by_loop(labels, sample), 1) / SAMPLE
    return {
        "cells": len(cells),
        "seconds": ours,
        "loop_seconds_per_cell": per_cell,
        "loop_seconds_extrapolated": per_cell * len(cells),
        "speed_up": per_cell * len(cells) / ours,
        "max_difference": float(difference),
        "window_cells": len(np.unique(window[window > 0])),
    }


def main() -> None:
    """Print the comparison."""
    found = measure()
    print(f"{SIDE} x {SIDE}, {found['cells']} cells, one thread")
    print(f"border_weights        {found['seconds']:10.3f} s (best of {REPEATS})")
    print(
        f"loop over the cells   {found['loop_seconds_extrapolated']:10.0f} s "
        f"(extrapolated from {SAMPLE} cells, "
        f"{found['loop_seconds_per_cell']:.3f} s each)"
    )
    print(f"speed-up              {found['speed_up']:10.0f} x (to reach: 500)")
    print(
        f"largest difference    {found['max_difference']:10.1e}   (to reach: 1e-5; "
        f"{WINDOW} x {WINDOW}, {found['window_cells']} cells, whole loop)"
    )


if __name__ == "__main__":
    main()
