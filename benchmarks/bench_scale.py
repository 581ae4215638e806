"""Out of core: memory, speed, identity, and what others give; writes docs/scale.md.

    python benchmarks/bench_scale.py [--long] [--sections memory,workers] [--fresh]

Run it on idle cores. Every run is a fresh process, so that its peak memory is its own;
children count. A section that is measured is kept in --results and not measured again,
unless --fresh is given; the page is written anew after each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import zarr

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs" / "scale.md"
RESULTS = Path(tempfile.gettempdir()) / "napari-unet-scale.json"
TILE, BLOCK = 256, 512
STEPS = ("measure", "survey", "join", "flood", "number", "ground", "holes", "labels")


def write_image(path: Path, shape: tuple[int, ...]) -> None:
    """Repeat a simulated picture over a zarr array, chunk by chunk.

    Planes of a volume are moved against each other, so that cells have an end in Z.
    """
    tile, _ = simulate(Simulation(shape=(512, 512), random_seed=1))
    array = zarr.create_array(
        path, shape=shape, chunks=(*(1,) * (len(shape) - 2), 512, 512), dtype="uint16"
    )
    n_y, n_x = (-(-n // 512) for n in shape[-2:])
    for plane in np.ndindex(*shape[:-2]):
        moved = np.roll(tile, 37 * (sum(plane) // 8), axis=0)
        pixels = np.tile(moved, (n_y, n_x))[: shape[-2], : shape[-1]]
        array[plane] = pixels


def run(image: Path, out: Path, **given: object) -> dict[str, object]:
    """One run in a process of its own."""
    asked = {"axes": "YX", "tile": [TILE], "block": BLOCK, "threads": 1, "workers": 0}
    asked |= {"model": "nuclei", "keep_probabilities": True, "warm": "", "every": 0.1}
    asked |= {**given, "image": str(image), "out": str(out)}
    found = subprocess.run(
        [sys.executable, str(HERE / "scale_run.py"), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise SystemExit(found.stderr)
    return json.loads(found.stdout.splitlines()[-1])


def labels_of(out: Path) -> np.ndarray:
    """The labels of a run."""
    return np.asarray(zarr.open_array(out / "labels" / "cells" / "0", mode="r")[...])


def verdict(reached: bool) -> str:
    """Say whether a goal is reached."""
    return "reached" if reached else "**missed**"


def memory(folder: Path, long: bool) -> list[str]:
    """Time and peak memory against the number of blocks."""
    sides = (512, 1024, 2048, 5120) if long else (512, 1024, 1536)
    warm = folder / "warm.zarr"
    write_image(warm, (1024, 512))
    rows = []
    for side, block in [*((side, BLOCK) for side in sides), (sides[-1], sides[-1])]:
        image = folder / f"{side}.zarr"
        if not image.exists():
            write_image(image, (side, side))
        out = folder / f"{side}-{block}-out.zarr"
        row = run(image, out, warm=str(warm), block=block)
        rows.append((side, math.ceil(side / block) ** 2, row))
    whole, most = rows[-1][2], rows[-2][2]
    same = np.array_equal(
        *(labels_of(folder / f"{sides[-1]}-{b}-out.zarr") for b in (BLOCK, sides[-1]))
    )
    ratio = most["seconds"] / whole["seconds"]
    growth = most["peak_mib"] / rows[1][2]["peak_mib"]
    lines = [
        "## Memory and time against the number of blocks",
        "",
        f"Blocks of {BLOCK} x {BLOCK} px, tiles of {TILE}, one process, one thread, model `nuclei`.",
        "The last row is the image of the row before, in one block. A small image costs",
        "less a pixel for a reason that has nothing to do with blocks: its tiles have",
        "neighbours on fewer sides, so they read less.",
        "",
        "| blocks | pixels | time | time a megapixel | peak memory |",
        "|---|---|---|---|---|",
    ]
    for side, n_blocks, row in rows:
        pixels = side**2 / 1e6
        lines.append(
            f"| {n_blocks} | {pixels:.1f} M | {row['seconds']:.1f} s "
            f"| {row['seconds'] / pixels:.2f} s | {row['peak_mib']:.0f} MiB |"
        )
    n = rows[-2][1]
    return [
        *lines,
        "",
        f"{n} blocks against one block of the same image: {ratio:.2f}x the time (to reach: 1.15x): "
        f"{verdict(ratio <= 1.15)}; labels {'identical' if same else 'DIFFERENT'}.",
        f"Memory from {rows[1][1]} to {n} blocks: {growth:.2f}x (to reach: flat).",
        "",
    ]


def workers(folder: Path, long: bool) -> list[str]:
    """Two workers against one, and identical labels."""
    side = 4096 if long else 1024
    image, warm = folder / f"workers-{side}.zarr", folder / "warm-workers.zarr"
    write_image(image, (side, side))
    write_image(warm, (1024, 1024))
    rows, labels = {}, {}
    for n in (1, 2, 0):
        out = folder / f"workers-{n}-out.zarr"
        rows[n] = run(image, out, workers=n, warm=str(warm), every=1.0)
        labels[n] = labels_of(out)
    for block in (256, 2048):
        out = folder / f"workers-block-{block}.zarr"
        if long and block == 256:
            continue  # the suite has it; here it would cost a minute more
        run(image, out, block=block, every=1.0)
        labels[f"block {block}"] = labels_of(out)
    same = all(np.array_equal(labels[0], other) for other in labels.values())
    speed = rows[1]["seconds"] / rows[2]["seconds"]
    blocks = math.ceil(side / BLOCK) ** 2
    lines = [
        "## Workers",
        "",
        f"{side} x {side} px, {blocks} blocks of {BLOCK} px, model `nuclei`, one thread a process.",
        "",
        "| | time | |",
        "|---|---|---|",
        f"| in this process | {rows[0]['seconds']:.1f} s | |",
        f"| 1 worker | {rows[1]['seconds']:.1f} s | 1.00x |",
        f"| 2 workers | {rows[2]['seconds']:.1f} s | {speed:.2f}x |",
        "",
        f"To reach: 1.8x: {verdict(speed >= 1.8)}. Labels of {len(labels)} runs, one of them with "
        f"blocks of 2048 px: {'identical' if same else 'DIFFERENT'}, {labels[0].max()} objects.",
        "",
        "| step | 1 worker | 2 workers |",
        "|---|---|---|",
    ]
    for step in rows[1]["steps"]:
        one, two = (rows[n]["steps"].get(step, 0.0) for n in (1, 2))
        lines.append(f"| {step} | {one:.2f} s | {two:.2f} s |")
    return [*lines, ""]


EMPTY = SimpleNamespace(options=SimpleNamespace(device="cpu"))


def overhead(folder: Path, long: bool) -> list[str]:
    """What handing out a block costs."""
    from napari_unet.engine.local_workers import local_workers

    n, rows = 2000 if long else 200, []
    for n_workers in (1, 2):
        with (
            local_workers(n_workers) as cluster,
            cluster.sent(EMPTY) as each,
        ):
            list(each(isinstance, [int] * 100))  # an item that takes no time
            began = time.perf_counter()
            list(each(isinstance, [int] * n))
            rows.append(1e3 * (time.perf_counter() - began) / n)
    return [
        "## Scheduling",
        "",
        f"{n} items that do nothing, on workers of this machine: {rows[0]:.2f} ms an item on one "
        f"worker, {rows[1]:.2f} ms on two. To reach: 5 ms a block: {verdict(max(rows) <= 5)}. "
        "(A block is an item in each of five steps; what it costs in all stands in the "
        "tables above.)",
        "",
    ]


def volume(folder: Path, long: bool) -> list[str]:
    """A volume that is larger than the memory it is given."""
    shape = (240, 2048, 2048) if long else (4, 2048, 2048)
    image = folder / "volume.zarr"
    write_image(image, shape)
    given = {"axes": "ZYX", "model": "small", "keep_probabilities": False, "every": 0.5}
    given |= {"tile": [1024], "block": 1024, "workers": 2}
    row = run(image, folder / "volume-out.zarr", **given)
    size = math.prod(shape) * 2 / 1e9
    n_cores = len(os.sched_getaffinity(0))
    cores = "one core" if n_cores == 1 else f"{n_cores} cores"
    gib = row["peak_mib"] / 1024
    lines = [
        "## A large volume",
        "",
        f"{' x '.join(map(str, shape))} voxels, uint16, {size:.2f} GB, plane by plane in blocks of "
        "1024 px; a U-Net of depth 3 and base 4 with fixed random weights, which stands for a "
        "trained one (blocks, files and separation do not know the difference; one of base 16 "
        f"takes about ten times as long in the step *survey*); two workers of one thread on {cores}: "
        f"{row['seconds'] / 60:.1f} min, peak memory of all processes together {gib:.2f} GiB. "
        f"{row['n_objects']} objects. To reach: under 2 GB: {verdict(row['peak_mib'] * 2**20 < 2e9)}.",
        "",
        "| step | time |",
        "|---|---|",
    ]
    lines += [f"| {step} | {seconds:.1f} s |" for step, seconds in row["steps"].items()]
    return [*lines, ""]


def kills(folder: Path, long: bool) -> list[str]:
    """Killed and resumed."""
    script = HERE / "kill_and_resume.py"
    command = [sys.executable, str(script), "--kills", "50" if long else "12", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.stderr)
    facts = json.loads(found.stdout)
    return [
        "## Killed and resumed",
        "",
        f"`python benchmarks/kill_and_resume.py`: {facts['kills']} runs were ended by "
        f"SIGKILL, {facts['half_written']} of them in the middle of a write; "
        f"{facts['finished']} outputs were finished by resuming, each with the same "
        f"{facts['objects']} labels as an undisturbed run. What was done at each kill:",
        "",
        "```",
        *facts["states"],
        "```",
        "",
    ]


def others(folder: Path, long: bool) -> list[str]:
    """What dask-image and Cellpose make of the same blocks."""
    sys.path.insert(0, str(HERE))
    import scale_others

    return scale_others.measure(folder)


SECTIONS: dict[str, Callable[[Path, bool], list[str]]] = {
    "memory": memory,
    "workers": workers,
    "overhead": overhead,
    "volume": volume,
    "others": others,
    "kills": kills,
}


def write_page(results: dict[str, list[str]]) -> None:
    """Write what is measured so far."""
    sys.path.insert(0, str(HERE))
    from write_docs import processor

    head = [
        "# Scale: measured",
        "",
        "Written by `python benchmarks/bench_scale.py --long`, on "
        f"{processor()}, 2 cores; torch {torch.__version__}, one thread a process.",
        "",
    ]
    body = [line for name in SECTIONS for line in results.get(name, [])]
    TARGET.write_text("\n".join([*head, *body]).rstrip() + "\n")


def main() -> None:
    """Measure what is not measured yet, and write docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="100 blocks and 2 GB.")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="Measure again.")
    arguments = parser.parse_args()
    path: Path = arguments.results
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in arguments.sections.split(","):
        if name in results and not arguments.fresh:
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            results[name] = SECTIONS[name](Path(folder), arguments.long)
        path.write_text(json.dumps(results, indent=1))
        if arguments.long:
            write_page(results)
        print("\n".join(results[name]))
        print(f"({name}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
