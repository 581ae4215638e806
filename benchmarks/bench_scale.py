"""Out of core: identity, memory, speed, and what others give; writes docs/scale.md.

    python benchmarks/bench_scale.py [--long]       run it on idle cores

Every run is a fresh process, so that its peak memory is its own; children count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

TARGET = Path(__file__).parent.parent / "docs" / "scale.md"
TILE = 256
CHILD = """
import json, resource, sys, threading, time
from pathlib import Path
import psutil, torch
import napari_unet as nu
from napari_unet.engine.local_workers import local_workers

given = json.loads(sys.argv[1])
torch.set_num_threads(given["threads"])
model = nu.load_model("nuclei")
tiling = nu.Tiling(tile=given["tile"])
options = {"axes": given["axes"], "tiling": tiling, "block": given["block"],
           "threads": given["threads"], "keep_probabilities": given["keep"]}
peak, stopped, me = [0], threading.Event(), psutil.Process()

def watch():
    while not stopped.wait(0.05):
        total = 0
        for process in [me, *me.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass
        peak[0] = max(peak[0], total)

def run():
    started = time.perf_counter()
    if given["workers"]:
        with local_workers(given["workers"]) as cluster:
            if given["warm"]:
                nu.segment_to(given["warm"], given["out"] + ".w", model, executor=cluster, **options)
            started = time.perf_counter()
            nu.segment_to(given["image"], given["out"], model, executor=cluster, **options)
            return time.perf_counter() - started
    if given["warm"]:
        nu.segment_to(given["warm"], given["out"] + ".w", model, **options)
    started = time.perf_counter()
    nu.segment_to(given["image"], given["out"], model, **options)
    return time.perf_counter() - started

thread = threading.Thread(target=watch, daemon=True)
thread.start()
seconds = run()
stopped.set()
print(json.dumps({"seconds": seconds, "peak_mib": peak[0] / 2**20}))
"""


def write_image(path: Path, shape: tuple[int, ...]) -> None:
    """Repeat a simulated picture over a zarr array, chunk by chunk."""
    tile, _ = simulate(Simulation(shape=(512, 512), random_seed=1))
    array = zarr.create_array(
        path, shape=shape, chunks=(*(1,) * (len(shape) - 2), 512, 512), dtype="uint16"
    )
    for plane in np.ndindex(*shape[:-2]):
        for y in range(0, shape[-2], 512):
            for x in range(0, shape[-1], 512):
                part = tile[: shape[-2] - y, : shape[-1] - x]
                array[(*plane, slice(y, y + 512), slice(x, x + 512))] = part


def run(image: Path, out: Path, **given: object) -> dict[str, float]:
    """One run in a process of its own."""
    defaults = {"axes": "YX", "tile": TILE, "block": 512, "threads": 1, "workers": 0}
    asked = {**defaults, "keep": True, "warm": "", **given}
    asked |= {"image": str(image), "out": str(out)}
    found = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise SystemExit(found.stderr)
    return json.loads(found.stdout)


def flat_memory(folder: Path, sides: tuple[int, ...]) -> list[str]:
    """Time and peak memory against the number of blocks."""
    lines = [
        "## Memory and time against the number of blocks",
        "",
        "Blocks of 512 x 512 px, tiles of 256, one process, one thread, model `nuclei`.",
        "To reach: flat memory; at 100 blocks at most 1.15 times the time a pixel of one.",
        "",
        "| blocks | pixels | time | time a megapixel | | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    warm = folder / "warm.zarr"
    write_image(warm, (1024, 512))
    first = None
    for side in sides:
        image = folder / f"{side}.zarr"
        write_image(image, (side, side))
        row = run(image, folder / f"{side}-out.zarr", warm=str(warm))
        pixels = side**2 / 1e6
        first = first or row["seconds"] / pixels
        lines.append(
            f"| {(side // 512) ** 2} | {pixels:.1f} M | {row['seconds']:.1f} s "
            f"| {row['seconds'] / pixels:.2f} s | {row['seconds'] / pixels / first:.2f}x "
            f"| {row['peak_mib']:.0f} MiB |"
        )
    return [*lines, ""]


def workers(folder: Path, side: int) -> list[str]:
    """Two workers against one, and identical labels."""
    image, warm = folder / f"{side}.zarr", folder / "warm.zarr"
    rows, labels = {}, {}
    for n in (0, 1, 2):
        out = folder / f"workers-{n}.zarr"
        rows[n] = run(image, out, workers=n, warm=str(warm))
        labels[n] = zarr.open_array(out / "labels" / "cells" / "0", mode="r")[...]
    for block in (256, 2048):
        out = folder / f"block-{block}.zarr"
        run(image, out, block=block)
        labels[f"block {block}"] = zarr.open_array(out / "labels/cells/0", mode="r")[
            ...
        ]
    same = all(np.array_equal(labels[0], other) for other in labels.values())
    n_objects = int(labels[0].max())
    blocks = (side // 512) ** 2
    overhead = (rows[1]["seconds"] - rows[0]["seconds"]) / (blocks * 4)
    return [
        "## Workers",
        "",
        f"{side} x {side} px, {blocks} blocks, one thread a process.",
        f"To reach: two workers 1.8 times as fast as one (on idle cores), {len(labels)} "
        "runs with the same labels, at most 5 ms a task.",
        "",
        "| | time | |",
        "|---|---|---|",
        f"| in this process | {rows[0]['seconds']:.1f} s | |",
        f"| 1 worker | {rows[1]['seconds']:.1f} s | 1.00x |",
        f"| 2 workers | {rows[2]['seconds']:.1f} s "
        f"| {rows[1]['seconds'] / rows[2]['seconds']:.2f}x |",
        "",
        f"Labels of all runs, also with blocks of 256 and 2048 px: "
        f"{'identical' if same else 'DIFFERENT'}, {n_objects} objects. One worker takes "
        f"{1e3 * overhead:.1f} ms a task more than no worker ({blocks * 4} tasks).",
        "",
    ]


def large(folder: Path, gigabytes: float) -> list[str]:
    """A volume that is larger than the memory it is given."""
    planes = max(1, round(gigabytes * 1e9 / 2 / 2048**2))
    image = folder / "large.zarr"
    write_image(image, (planes, 2048, 2048))
    given = {"axes": "ZYX", "block": 1024, "tile": 1024, "workers": 2, "keep": False}
    row = run(image, folder / "large-out.zarr", **given)
    return [
        "## A large volume",
        "",
        f"{planes} x 2048 x 2048 px, uint16, {planes * 2048**2 * 2 / 1e9:.2f} GB, plane by "
        f"plane, two workers of one thread: {row['seconds'] / 60:.1f} min, peak memory of "
        f"all processes together {row['peak_mib'] / 1024:.2f} GiB. To reach: 2 GB of "
        "pixels under 2 GB of memory.",
        "",
    ]


def kills(n: int) -> list[str]:
    """Killed and resumed."""
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, str(script), "--kills", str(n), "--json"]
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


def others(side: int = 1024) -> list[str]:
    """Labelling across blocks as dask-image does it, beside ours, on one mask."""
    try:
        import dask.array as da
        from dask_image.ndmeasure import label
    except ImportError:
        return []
    from napari_unet.core.components import label_components
    from napari_unet.engine.blocks import Blocks
    from napari_unet.engine.records import Records
    from napari_unet.engine.separating import SampleSeparation, separate_blocks
    from napari_unet.engine.survey import Task
    from napari_unet.settings import Separation

    image, _ = simulate(Simulation(shape=(side, side), random_seed=1))
    mask = image > np.percentile(image, 80)
    whole = label_components(mask)
    started = time.perf_counter()
    labelled, _ = label(da.from_array(mask, chunks=256))
    theirs = labelled.compute()
    their_time = time.perf_counter() - started
    stored = np.where(mask, 65535, 0).astype(np.uint16)[None]
    settings = Separation(
        seed_threshold=0.5, min_seed_size=1, min_size=0, fill_holes=False
    )
    ours = np.zeros(mask.shape, np.int32)
    with tempfile.TemporaryDirectory() as folder:
        steps = SampleSeparation(
            Blocks(mask.shape, (256, 256)),
            Task(("interior",), settings),
            Records(Path(folder)),
        )
        started = time.perf_counter()
        for region, found in separate_blocks(stored, steps):
            ours[region] = found
        our_time = time.perf_counter() - started
    pairs = np.unique(np.stack([theirs[mask], whole[mask]]), axis=1).shape[1]
    partition = pairs == whole.max() == theirs.max()
    return [
        "## Beside others",
        "",
        f"Connected components of one mask of {side} x {side} px in blocks of 256 px, "
        f"against those of the whole image ({whole.max()} components):",
        "",
        "| | same objects | same numbers | time |",
        "|---|---|---|---|",
        f"| dask-image `label` | {'yes' if partition else 'no'} "
        f"| {'yes' if np.array_equal(theirs, whole) else 'no'} | {their_time:.2f} s |",
        f"| ours, all steps of separation | {'yes' if np.array_equal(ours, whole) else 'no'} "
        f"| {'yes' if np.array_equal(ours, whole) else 'no'} | {our_time:.2f} s |",
        "",
        "dask-image labels; it has no step that tells touching cells apart. Cellpose's "
        "distributed mode merges objects by their overlap at block faces, which cannot "
        "equal the whole image; it does not install beside this package's pinned torch "
        "and was not measured.",
        "",
    ]


def main() -> None:
    """Measure and write docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="5120 px and 2 GB.")
    arguments = parser.parse_args()
    sides = (512, 1024, 2048, 5120) if arguments.long else (512, 1024, 1536)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = [
            *flat_memory(folder, sides),
            *workers(folder, sides[-2]),
            *large(folder, 2.0 if arguments.long else 0.05),
            *kills(50 if arguments.long else 12),
            *others(),
        ]
    head = [
        "# Scale: measured",
        "",
        "Written by `python benchmarks/bench_scale.py"
        + (" --long`." if arguments.long else "` (short form)."),
        "",
    ]
    TARGET.write_text("\n".join([*head, *parts]).rstrip() + "\n")
    print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
