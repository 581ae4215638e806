"""What exact tiles cost on an accelerator, and whether training waits for patches.

    python benchmarks/bench_accelerator.py [--side 2048] [--write]

The network is that of bench_tiling.py (padded, depth 4, base 16, random weights). All
begin with an image in the computer's memory and end with probabilities there; runs of
all candidates alternate; medians are compared. A step learns from random patches of 256
px; patches are made of a simulated image by as many threads as in training, meanwhile
nothing else runs. `--write` writes docs/accelerator.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench_tiling import errors, random_network, tiled
from torch import nn
from write_docs import processor

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.training_data import from_arrays
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.batches import iter_batches, n_cores
from napari_unet.nn.kernels import exact_arithmetic
from napari_unet.nn.optimisation import choose_precision
from napari_unet.nn.predict import make_predictor
from napari_unet.nn.preparation import prepare
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.step import take_step
from napari_unet.nn.training_setup import make_samples, make_state
from napari_unet.settings import Prediction, Recipe
from napari_unet.training_settings import Training

TARGET = Path(__file__).parents[1] / "docs" / "accelerator.md"
TILES = (512, 1024, 2048)
NETWORKS = ((8, 4), (16, 4), (16, 16), (22, 16), (32, 8))
# More batches than threads have made ahead.
WARM, STEPS = 40, 100
Job = Callable[[], np.ndarray]


def whole(
    network: nn.Module, image: np.ndarray, device: torch.device, precision: str
) -> np.ndarray:
    """Softmax of the network on the whole image (C, Y, X)."""
    with exact_arithmetic(device, precision):
        pixels = torch.from_numpy(image)[None].to(device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return network(pixels).float().softmax(1)[0].cpu().numpy()


def tiling(side: int, device: torch.device, repeats: int = 5) -> list[str]:
    """A row of a table per candidate."""
    network = random_network()
    recipe = Recipe(
        architecture=network.architecture,
        channels=("background", "interior", "boundary"),
    )
    geometry = network_geometry(network, ndim=2, in_channels=1)
    image = np.random.default_rng(0).random((1, side, side), np.float32)
    jobs: dict[str, Job] = {}
    for precision in ("float32", "bfloat16"):
        predict = make_predictor(
            network, recipe, Prediction.parse({"precision": precision}), device
        )
        jobs[f"net(image), {precision}"] = lambda p=predict, how=precision: whole(
            p.network, image, device, how
        )
        for tile in (tile for tile in TILES if tile <= side):
            jobs[f"ours, {tile} px tiles, {precision}"] = lambda p=predict, t=tile: (
                tiled(p, image, t, workers=1, geometry=geometry)
            )
    found = {name: job() for name, job in jobs.items()}  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - began)
    times = {name: statistics.median(values) for name, values in seconds.items()}
    reference, halo = found["net(image), float32"], geometry[0].aligned_halo[0]
    lines = []
    for name, value in times.items():
        base = times[f"net(image), {name.rsplit(', ', 1)[1]}"]
        worst, _ = errors(found[name], reference, halo)
        lines.append(
            f"| {name} | {value * 1e3:.0f} ms | {value / base:.2f}x | {worst:.1e} |"
        )
    return lines


def training(device: torch.device) -> list[str]:
    """A row of a table per network."""
    image, labels = simulate(Simulation(shape=(512, 512)))
    images = from_arrays([(image, labels)] * 5)
    return [_training(images, base, size, device) for base, size in NETWORKS]


def _training(
    images: list[TrainingImage], base: int, size: int, device: torch.device
) -> str:
    """Time steps on one batch, and the making of batches."""
    precision = choose_precision("auto", device)
    settings = Training(base_channels=base, batch=size, patch=(256,))
    ready = prepare(images, settings, None, name="bench")
    start = ready.start
    state = make_state(start, device, precision)
    patches, _ = make_samples(ready.images, start, ready.split, device)
    batches = iter_batches(patches, size, device)
    batch = next(batches)
    how = {"precision": precision, "rate": 1e-3}
    step = _mean_ms(lambda: take_step(state, batch, start.objective, settings, **how))
    making = _mean_ms(lambda: next(batches))
    batches.close()
    rate = 1e3 * size / max(step, making)
    return f"| {base} | {size} | {step:.1f} ms | {making:.1f} ms | {rate:.0f} |"


def _mean_ms(job: Callable[[], object]) -> float:
    """Milliseconds per call, after some that compile and choose kernels."""
    for _ in range(WARM):
        job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(STEPS):
        job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / STEPS * 1e3


def page(side: int, device: torch.device) -> list[str]:
    """Measure, and return the page."""
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    )
    rows = tiling(side, device)
    steps = training(device)
    return [
        "# On an accelerator",
        "",
        f"Written by `benchmarks/bench_accelerator.py --write` on {name}, with {n_cores()} "
        f"cores of {processor()}; torch {torch.__version__}.",
        "",
        f"## Exact tiles, {side} x {side} px",
        "",
        "From an image in the computer's memory to probabilities there. To reach: at most",
        "1.20x the whole image at once. The error is the largest difference of a softmax",
        "probability from the whole image in float32; ours are stored in 16 bits.",
        "",
        "| what | time | relative | error |",
        "|---|---|---|---|",
        *rows,
        "",
        "## Training, patches of 256 x 256 px",
        "",
        "A step on patches that are there already, and the time in which all threads make",
        "as many patches: the larger of both is what a step of training takes at least.",
        "",
        "| base channels | patches a step | step | making its patches | patches a second |",
        "|---|---|---|---|---|",
        *steps,
    ]


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    text = "\n".join(page(arguments.side, torch.device(arguments.device))) + "\n"
    print(text)
    if arguments.write:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
