"""Seeded watershed at 2048 x 2048 with 5,000 cells, against scikit-image.

Cells are discs of random size at random places, many of them touching or overlapping;
the height is the complement of a smooth interior probability, stored as uint16. Three
cases: *cells* (the mask is the cells), *sheet* (the mask is everything, one component),
*8 bit* (the sheet with 256 heights, full of plateaus). Both functions get the same
seeds and mask and are timed in turn; scikit-image is given float64 heights and, once
more, the stored integers. Times are those of the whole call, after compilation.

Run on idle cores: ``python benchmarks/bench_watershed.py``; both use one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from skimage.segmentation import watershed

from napari_unet.core.watershed import flood

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE = 2048
N_CELLS = 5000
REPEATS = 5
MASK_THRESHOLD = 0.02


class Case(NamedTuple):
    """Arguments of a watershed."""

    height: NDArray[Any]
    seeds: NDArray[np.int32]
    mask: NDArray[np.bool_]


def draw_cells(side: int, n_cells: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Interior probability of discs, and a seed of up to 5 x 5 pixels in each."""
    rng = np.random.default_rng(0)
    pitch = side / np.sqrt(n_cells)
    interior = np.zeros((side, side), np.float32)
    seeds = np.zeros((side, side), np.int32)
    for cell in range(1, n_cells + 1):
        centre, radius = rng.random(2) * side, rng.uniform(0.27, 0.55) * pitch
        low = np.maximum(centre - radius - 4, 0).astype(int)
        high = np.minimum(centre + radius + 5, side).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        y, x = np.ogrid[box]
        distance = np.hypot(y - centre[0], x - centre[1])
        profile = 1 / (1 + np.exp(1.2 * (distance - 0.75 * radius)))
        np.maximum(interior[box], profile, out=interior[box])
        core = (np.abs(y - centre[0]) <= 2) & (np.abs(x - centre[1]) <= 2)
        seeds[box][core & (seeds[box] == 0)] = cell
    return interior, seeds


def make_cases(side: int, n_cells: int) -> dict[str, Case]:
    """The three cases that the module describes."""
    interior, seeds = draw_cells(side, n_cells)
    height = 65535 - np.rint(interior * 65535).astype(np.uint16)
    everywhere = np.ones(height.shape, bool)
    return {
        "cells": Case(height, seeds, interior > MASK_THRESHOLD),
        "sheet": Case(height, seeds, everywhere),
        "8 bit": Case((height >> 8).astype(np.uint8), seeds, everywhere),
    }


def timed(job: Callable[[], NDArray[Any]]) -> tuple[float, NDArray[Any]]:
    """Seconds of one run, and its result."""
    start = time.perf_counter()
    result = job()
    return time.perf_counter() - start, result


def compare(case: Case, repeats: int) -> dict[str, float]:
    """Median seconds of each, ratios, and the share of mask pixels labelled alike."""
    as_float = case.height.astype(np.float64)
    reference: Any = watershed
    jobs: dict[str, Callable[[], NDArray[Any]]] = {
        "seconds": lambda: flood(*case),
        "skimage_float": lambda: reference(as_float, case.seeds, mask=case.mask),
        "skimage_integer": lambda: reference(case.height, case.seeds, mask=case.mask),
    }
    flood(*case)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    labels = {}
    for _ in range(repeats):
        for name, job in jobs.items():
            seconds, labels[name] = timed(job)
            times[name].append(seconds)
    found = {name: statistics.median(seconds) for name, seconds in times.items()}
    alike = labels["seconds"] == labels["skimage_float"]
    return found | {
        "seeds": int(np.unique(case.seeds[case.seeds > 0]).size),
        "mask_share": float(case.mask.mean()),
        "speed_up_float": found["skimage_float"] / found["seconds"],
        "speed_up_integer": found["skimage_integer"] / found["seconds"],
        "agreement": float(alike[case.mask].mean()),
    }


def measure(
    side: int = SIDE, n_cells: int = N_CELLS, repeats: int = REPEATS
) -> dict[str, dict[str, float]]:
    """Figures per case; see `compare`."""
    cases = make_cases(side, n_cells)
    return {name: compare(case, repeats) for name, case in cases.items()}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=SIDE, help="pixels per axis")
    parser.add_argument("--cells", type=int, default=N_CELLS, help="number of cells")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of each")
    options = parser.parse_args()
    print(f"{options.side} x {options.side}, {options.cells} cells, one thread, median")
    print("                 ours   skimage float   skimage integer   same label")
    for name, row in measure(options.side, options.cells, options.repeats).items():
        print(
            f"{name:8} {1e3 * row['seconds']:9.0f} ms "
            f"{1e3 * row['skimage_float']:6.0f} ms {row['speed_up_float']:4.1f}x "
            f"{1e3 * row['skimage_integer']:7.0f} ms {row['speed_up_integer']:4.1f}x "
            f"{100 * row['agreement']:11.2f} %   "
            f"({row['seeds']} seeds, mask {100 * row['mask_share']:.0f} %)"
        )
    print("to reach: 5x in case cells")


if __name__ == "__main__":
    main()
