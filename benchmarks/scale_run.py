"""One run of `segment_to` in a process of its own, for bench_scale.py.

Takes one JSON argument; prints one line of JSON: seconds, seconds of each step, and the
peak memory of this process and its children together (each page counted once, where
the system tells).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.engine.executors import Here
from napari_unet.engine.local_workers import local_workers
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe

NAMES = ("background", "interior", "boundary")


def small_network() -> Model:
    """A network of depth 3 and base 4: fixed random weights, no class wins."""
    architecture = Architecture(base_channels=4, depth=3)
    torch.manual_seed(0)
    network = UNet(architecture).eval().requires_grad_(False)
    *_, head = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    image, _ = simulate(Simulation(shape=(512, 512), random_seed=1))
    low, high = np.percentile(image, (1, 99.8))
    pixels = torch.from_numpy((image - low) / (high - low)).float()[None, None]
    with torch.no_grad():
        logits = network(pixels)[0].flatten(1)
        factor = 1.5 / logits.std(dim=1)
        head.weight.mul_(factor.reshape(-1, 1, 1, 1))
        head.bias.sub_(logits.mean(dim=1)).mul_(factor)
    return Model(network, Recipe(architecture=architecture, channels=NAMES))


def load(name: str) -> Model:
    """A bundled model, or the small network."""
    return small_network() if name == "small" else nu.load_model(name)


def thresholds(model: Model, path: Path, options: dict) -> nu.Separation:
    """Thresholds at quantiles of what the network says of a corner of the image."""
    import zarr

    corner = np.asarray(zarr.open_array(path, mode="r")[0, :512, :512])
    seen = nu.segment(corner, model, axes="YX", tiling=options["tiling"])
    p = seen.probabilities.astype(np.int64)
    return nu.Separation(
        seed_threshold=float(np.quantile(p[1] - p[2], 0.9)) / 65535,
        mask_threshold=float(np.quantile(p[1] + p[2], 0.7)) / 65535,
        min_seed_size=3,
        min_size=16,
    )


class Watch:
    """Peak memory of this process and its children, in MiB."""

    def __init__(self, every: float) -> None:
        self.peak, self._every, self._me = 0, every, psutil.Process()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return the peak."""
        self._stopped.set()
        self._thread.join()
        return self.peak / 2**20

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            everyone = [self._me, *self._me.children(recursive=True)]
            self.peak = max(self.peak, sum(map(self._bytes, everyone)))

    @staticmethod
    def _bytes(process: psutil.Process) -> int:
        """Memory of a process; a page that n share counts 1/n for each of them."""
        try:
            path = Path(f"/proc/{process.pid}/smaps_rollup")
            if not path.exists():
                return process.memory_info().rss
            line = next(x for x in path.read_text().splitlines() if x[:4] == "Pss:")
            return int(line.split()[1]) * 1024
        except (OSError, StopIteration, psutil.Error):
            return 0


def follow(job: object) -> tuple[dict[str, float], int]:
    """Exhaust a job; return the seconds of each step, and the number of objects."""
    steps: dict[str, float] = {}
    step, began = "measure", time.perf_counter()
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            n_objects = stop.value.n_objects
            break
        now = time.perf_counter()
        if event.step != step:
            steps[step] = steps.get(step, 0.0) + now - began
            step, began = event.step, now
    steps[step] = steps.get(step, 0.0) + time.perf_counter() - began
    return steps, n_objects


def main() -> None:
    """Run what is asked for."""
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    model = load(given["model"])
    options = {"axes": given["axes"], "tiling": nu.Tiling(tile=tuple(given["tile"]))}
    if given["model"] == "small":
        options["separation"] = thresholds(model, Path(given["image"]), options)
    names = ("block", "threads", "keep_probabilities")
    options |= {name: given[name] for name in names}
    watch = Watch(given["every"])
    workers = local_workers(given["workers"]) if given["workers"] else None
    executor = workers or Here()
    if given["warm"]:
        out = given["out"] + ".warm"
        nu.segment_to(given["warm"], out, model, executor=executor, **options)
    began = time.perf_counter()
    steps, n_objects = follow(
        nu.iter_segment_to(
            given["image"], given["out"], model, executor=executor, **options
        )
    )
    seconds = time.perf_counter() - began
    if workers is not None:
        workers.close()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "steps": steps,
                "n_objects": n_objects,
                "peak_mib": watch.stop(),
            }
        )
    )


if __name__ == "__main__":
    main()
