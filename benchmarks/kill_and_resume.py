"""Kill runs at random moments, resume each, and compare labels with an undisturbed run.

A child process is forked for every attempt and ended by SIGKILL: at a random moment, or
(every third) in the middle of a write, when half of a file's bytes are on the disk. The
same output is resumed until it is finished; then the next one begins.

    python benchmarks/kill_and_resume.py [--kills 50] [--seed 0] [--model nuclei] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr.storage._local as local_store
from scipy.ndimage import gaussian_filter

import napari_unet as nu
from napari_unet.engine import records
from napari_unet.engine.journal import Journal
from napari_unet.engine.segment_to import segment_to

STEPS = ("survey", "join", "flood", "number", "ground", "holes", "labels")
SHAPE, BLOCK = (2, 220, 200), 64


def make_image() -> np.ndarray:
    """Smooth noise in few levels: plateaus, and cells across every face."""
    values = gaussian_filter(np.random.default_rng(0).random(SHAPE), (0, 3, 3))
    values = (values - values.min()) / (values.max() - values.min())
    return (np.round(values * 40) * 100).astype(np.uint16)


def options() -> dict[str, object]:
    """Small tiles, and thresholds that leave large connected regions."""
    separation = nu.Separation(seed_threshold=0.3, mask_threshold=0.2, min_seed_size=2)
    tiling = nu.Tiling(tile=64)
    return {"axes": "TYX", "tiling": tiling, "separation": separation, "block": BLOCK}


def die_half_written(countdown: int) -> None:
    """Make the write number `countdown` end the process when half of it is written."""
    left = [countdown]

    def cut(file: object, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    put = local_store._put

    def dying_put(path: Path, value: object, exclusive: bool = False) -> int:
        left[0] -= 1
        if left[0] <= 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".dying.partial").open("wb") as file:
                cut(file, bytes(value.as_buffer_like()))
        return put(path, value, exclusive)

    local_store._put = dying_put
    save = records.save

    def dying_save(*given: object) -> bytes:
        data = save(*given)
        left[0] -= 1
        return HalfWritten(data) if left[0] <= 0 else data

    records.save = dying_save
    write_bytes = Path.write_bytes

    def dying_write(path: Path, data: bytes) -> int:
        if isinstance(data, HalfWritten):
            with path.open("wb") as file:
                cut(file, data)
        return write_bytes(path, data)

    Path.write_bytes = dying_write


class HalfWritten(bytes):
    """What ends the process that writes it."""


def attempt(
    image: np.ndarray, out: Path, model: nu.Model, how: tuple[str, float]
) -> bool:
    """Resume in a child, which is killed; return whether it was finished before that."""
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        if how[0] == "write":
            die_half_written(int(how[1]))
        segment_to(image, out, model, resume=True, **options())
        os._exit(0)
    if how[0] == "moment":
        time.sleep(how[1])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"an attempt failed by itself: {status}")
    return os.WIFEXITED(status)


def state(out: Path) -> str:
    """What the journal says is done, of both frames."""
    part = out.with_name(out.name + ".part")
    if out.exists():
        return "finished"
    journal = Journal(part)
    if not journal.path.exists():
        return "no journal yet"
    done = {
        s: sum(len(journal.records(t).done(s)) for t in range(SHAPE[0])) for s in STEPS
    }
    leftovers = len([*part.rglob("*.partial"), *part.rglob("*.part")])
    return (
        " ".join(f"{s} {n}" for s, n in done.items()) + f" (half written: {leftovers})"
    )


def measure(
    n_kills: int, seed: int = 0, *, name: str = "nuclei", show: bool = True
) -> dict[str, object]:
    """Kill and resume until there were `n_kills`; return what was seen."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    model, image = nu.load_model(name), make_image()
    states, half_written, finished = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        whole = segment_to(image, Path(folder) / "whole.zarr", model, **options())
        seconds = time.perf_counter() - start
        expected = whole.labels[...]
        while len(states) < n_kills:
            out = Path(folder) / f"{finished}.zarr"
            while True:
                if len(states) % 3 == 2:
                    how = "write", float(rng.integers(1, 60))
                else:
                    how = "moment", rng.uniform(0.02, 0.6) * seconds
                if len(states) >= n_kills:
                    how = "none", 0.0
                if attempt(image, out, model, how):
                    break
                states.append(f"{how[0]:6} {how[1]:6.2f}: {state(out)}")
                half_written += how[0] == "write"
                if show:
                    print(len(states), states[-1], flush=True)
            found = segment_to(image, out, model, resume=True, **options())
            if not np.array_equal(found.labels[...], expected):
                raise SystemExit(f"the labels of {out} differ")
            finished += 1
    return {
        "kills": len(states),
        "half_written": half_written,
        "finished": finished,
        "objects": whole.n_objects,
        "states": states,
    }


def main() -> None:
    """Print the journal's state at every kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.kills, given.seed, name=given.model, show=not given.json)
    if given.json:
        json.dump(found, sys.stdout)
        return
    print(
        "{kills} kills, {half_written} of them in the middle of a write; {finished} runs "
        "finished, each with the same {objects} labels".format(**found)
    )


if __name__ == "__main__":
    main()
