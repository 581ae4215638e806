"""Peak memory of `nu.segment` against the size of the image, in fresh processes.

The image is a memory-mapped .npy file, which is never read whole. What must grow is the
result: 6 bytes of probabilities and 4 of labels a pixel, and the separation of one sample.

    python benchmarks/bench_memory.py [--sides 1024,2048,4096]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

SIDES = (1024, 2048, 4096, 8192)
CHILD = """
import json, resource, sys, time
import numpy as np
import napari_unet as nu

model = nu.load_model("nuclei")
small = np.load(sys.argv[1], mmap_mode="r")[:256, :256]
nu.segment(small, model, axes="YX")
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = np.load(sys.argv[1], mmap_mode="r")
started = time.perf_counter()
found = nu.segment(image, model, axes="YX")
print(json.dumps({
    "seconds": time.perf_counter() - started,
    "base_mib": base / 1024,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "tile": found.provenance["tile"],
    "result_mib": (found.labels.nbytes + found.probabilities.nbytes) / 2**20,
    "objects": int(found.labels.max()),
}))
"""


def write_image(path: Path, side: int) -> None:
    """Tile a simulated image of 1024 px over the file, block by block."""
    block, _ = simulate(Simulation(shape=(1024, 1024), random_seed=1))
    image = np.lib.format.open_memmap(path, "w+", np.uint16, (side, side))
    for y in range(0, side, 1024):
        for x in range(0, side, 1024):
            image[y : y + 1024, x : x + 1024] = block
    image.flush()


def measure(sides: tuple[int, ...] = SIDES) -> list[dict[str, float]]:
    """A row per size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            path = Path(folder) / f"{side}.npy"
            write_image(path, side)
            found = subprocess.run(
                [sys.executable, "-c", CHILD, str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
            rows.append({"side": side, **json.loads(found.stdout)})
            path.unlink()
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", default=",".join(map(str, SIDES)))
    arguments = parser.parse_args()
    sides = tuple(int(side) for side in arguments.sides.split(","))
    for row in measure(sides):
        print(
            "{side:6} px  {seconds:7.1f} s  peak {peak_mib:7.0f} MiB (small image: "
            "{base_mib:.0f}; result {result_mib:.0f})  tile {tile}".format(**row)
        )


if __name__ == "__main__":
    main()
