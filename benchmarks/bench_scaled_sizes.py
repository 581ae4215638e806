"""Sizes of a model, converted where an image is scaled to it, or taken as they are.

python benchmarks/bench_scaled_sizes.py
"""

from __future__ import annotations

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

DIAMETERS = (7, 10, 14, 40, 60)
N_CELLS, RANDOM_SEEDS = 90, (101, 102, 103)


def main() -> None:
    """Print a row for each diameter."""
    model = nu.load_model("nuclei")
    print("diameter  sizes      AP@0.5  found")
    for diameter in DIAMETERS:
        side = 16 * diameter + 32
        shape = (side, side)
        pairs = [
            simulate(
                Simulation(
                    shape=shape, n_cells=N_CELLS, diameter=diameter, random_seed=seed
                )
            )
            for seed in RANDOM_SEEDS
        ]
        for name, separation in (
            ("as they are", model.recipe.separation),
            ("converted", nu.Separation()),
        ):
            found = [
                nu.segment(
                    image, model, axes="YX", diameter=diameter, separation=separation
                ).labels
                for image, _ in pairs
            ]
            ap = nu.evaluate(found, [truth for _, truth in pairs]).ap[0]
            n_found = sum(int(labels.max()) for labels in found)
            print(f"{diameter:8}  {name:11}  {ap:.3f}  {n_found}")


if __name__ == "__main__":
    main()
