"""Kill trainings from the shell, resume each, and compare weights bit by bit.

    python benchmarks/kill_training.py [--kills 6] [--seed 0]

A training of simulated cells is run once undisturbed. Then the same command is ended by
SIGKILL again and again, at random moments, and every third time while a file is being
written; it is resumed with `--resume` until it is finished, and then the next one begins.
The table goes into docs/training.md. About two minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from write_docs import processor, replaced

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.nn.training_state import state_path

TARGET = Path(__file__).parents[1] / "docs" / "training.md"
STEPS = 200
NETWORK = ["--depth", "3", "--base-channels", "4", "--patch", "96", "--batch", "2"]
FLAGS = [*NETWORK, "--steps", str(STEPS), "--device", "cpu"]
N_IMAGES, SIDE = 6, 160
# A run that is told to die while it writes has this long to begin.
LONGEST = 120.0


def write_data(folder: Path) -> None:
    """Simulated cells in images/, their labels in labels/."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for seed in range(N_IMAGES):
        image, labels = simulate(Simulation(shape=(SIDE, SIDE), random_seed=seed))
        tifffile.imwrite(folder / "images" / f"{seed}.tif", image)
        tifffile.imwrite(folder / "labels" / f"{seed}.tif", labels.astype(np.uint16))


@dataclass(frozen=True)
class Moment:
    """When a training is killed: after so many validations, and a pause in seconds.

    Parameters
    ----------
    n, pause
        Validations of this run, and what is waited after them.
    writing
        Whether to go on until a file is being written.
    """

    n: int
    pause: float
    writing: bool

    def __str__(self) -> str:
        after = (
            f"after {self.n} validation{'s' * (self.n != 1)}, {self.pause:.1f} s later"
        )
        return f"{after}, while writing" if self.writing else after


class Run:
    """The shell command in a process of its own.

    Parameters
    ----------
    folder
        Of the data.
    out
        The model.
    """

    def __init__(self, folder: Path, out: Path, *flags: str) -> None:
        self.screen = out.with_suffix(".txt")
        command = [sys.executable, "-m", "napari_unet.cli", "train"]
        data = [str(folder / name) for name in ("images", "labels")]
        with self.screen.open("w") as screen:
            self.process = subprocess.Popen(
                [*command, *data, "-o", str(out), *FLAGS, *flags],
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
                stdout=screen,
                stderr=screen,
            )

    def said(self, pattern: str) -> list[str]:
        """What is on the screen so far."""
        return re.findall(pattern, self.screen.read_text())

    def wait_for_training(self) -> None:
        """Return when the first step is about to be made."""
        while self.process.poll() is None and not self.said("to train on"):
            time.sleep(0.01)

    def end(self) -> bool:
        """Kill, unless it is over; return whether it was killed."""
        self.process.send_signal(signal.SIGKILL)
        code = self.process.wait()
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"a training failed: {self.screen.read_text()}")
        return code != 0


def half_written(folder: Path) -> list[Path]:
    """Files that have no name yet."""
    return [*folder.glob(".*.part*")]


def kill(run: Run, folder: Path, moment: Moment) -> bool:
    """Kill at a moment; return whether there was still something to kill."""
    before = set(half_written(folder))
    while run.process.poll() is None and len(run.said("validation loss")) < moment.n:
        time.sleep(0.01)
    run.wait_for_training()
    time.sleep(moment.pause)
    deadline = time.monotonic() + LONGEST
    while moment.writing and run.process.poll() is None:
        if set(half_written(folder)) - before or time.monotonic() > deadline:
            break
    out = folder / "mine.safetensors"
    return run.end() and not (out.exists() and not state_path(out).exists())


def same(first: Path, second: Path) -> bool:
    """Whether weights are equal bit by bit, and thresholds and scores as well."""
    a, b = nu.load_model(first), nu.load_model(second)
    weights = a.network.state_dict(), b.network.state_dict()
    equal = [torch.equal(weights[0][name], weights[1][name]) for name in weights[0]]
    recipes = a.recipe.separation == b.recipe.separation
    return all(equal) and recipes and a.recipe.scores == b.recipe.scores


def measure(n_kills: int, seed: int) -> dict[str, object]:
    """Kill and resume until there were `n_kills`, and finish the last one."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        whole = folder / "whole.safetensors"
        undisturbed = Run(folder, whole)
        undisturbed.wait_for_training()
        began = time.perf_counter()
        if undisturbed.process.wait():
            raise SystemExit(undisturbed.screen.read_text())
        seconds = time.perf_counter() - began
        finished = equal = 0
        over = False
        while len(rows) < n_kills or not over:
            place = folder / str(finished)
            place.mkdir(exist_ok=True)
            out = place / "mine.safetensors"
            n_before = len(half_written(place))
            run = Run(folder, out, *(["--resume"] if any(place.iterdir()) else []))
            moment = Moment(
                int(rng.integers(0, 4)),
                rng.uniform(0, 0.1) * seconds,
                writing=len(rows) % 3 == 2,
            )
            if len(rows) < n_kills:
                over = not kill(run, place, moment)
            else:
                over = not run.process.wait()
            if rows and "resumed" not in rows[-1]:
                rows[-1]["resumed"] = int(
                    (run.said(r"Resumed at step (\d+)") or [0])[0]
                )
            if over:
                finished += 1
                equal += same(whole, out)
                continue
            validated = run.said(r"step (\d+), [\d.]+ min: validation")
            row = {
                "training": finished + 1,
                "moment": moment,
                "validated": int((validated or [0])[-1]),
                "half": len(half_written(place)) - n_before,
            }
            rows.append(row)
            print(row, flush=True)
    return {"rows": rows, "finished": finished, "equal": equal, "seconds": seconds}


def section(found: dict[str, object]) -> list[str]:
    """The section of the page."""
    rows, finished = found["rows"], found["finished"]
    same_all = "all of them" if found["equal"] == finished else "**NOT all of them**"
    lines = [
        "## Killed and resumed",
        "",
        "```bash",
        f"napari-unet train images/ labels/ -o mine.safetensors --steps {STEPS}",
        "# the machine goes down; afterwards, the same command and",
        f"napari-unet train images/ labels/ -o mine.safetensors --steps {STEPS} --resume",
        "```",
        "",
        "`python benchmarks/kill_training.py` does that, on simulated cells with a small network",
        f"(`{' '.join(NETWORK)}`), one thread of {processor()}: the training, which takes",
        f"{found['seconds']:.0f} s without a kill, was ended by SIGKILL {len(rows)} times, every third "
        "time while it",
        f"wrote a file. Finished by resuming: {finished}. Of these have the same weights, bit by bit, "
        "the same",
        "thresholds and the same scores as the one that was not killed: "
        f"{found['equal']}, {same_all}.",
        "",
        "| kill | training | killed, of this run | last validation on the screen | files half written "
        "| resumed at step |",
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(rows, 1):
        shown = f"step {row['validated']}" if row["validated"] else "none"
        lines.append(
            f"| {number} | {row['training']} | {row['moment']} | {shown} "
            f"| {row['half']} | {row['resumed'] or 'none: it began afresh'} |"
        )
    return [*lines, ""]


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = measure(arguments.kills, arguments.seed)
    TARGET.write_text(replaced(TARGET.read_text(), section(found)))
    print(f"{found['equal']} of {found['finished']} are the same; {TARGET} is written")


if __name__ == "__main__":
    main()
