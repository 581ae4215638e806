"""Nuclei from scratch on a few images: ours beside others, in the same minutes.

    python benchmarks/few_images.py DATA [--images 5,16,64,0] [--draws 3] [--minutes 10]
        [--methods ours,two-class,monai,stardist] [--stardist PYTHON]

DATA holds train and test, each with images and labels (dsb2018_fluo); 0 images are all
of them, once. For each draw the same images, patches of 256 px, batches, minutes and
threads are given to

- ours: the defaults of `nu.train`, part of the images kept to tune thresholds;
- two-class: the loss of 2015 (`Loss.ronneberger2015`) without border weights;
- monai: its U-Net, Dice and cross-entropy, flips, turns and intensities, all images for
  training, foreground above 0.5, connected components;
- stardist: its package, whose environment few_stardist.py tells how to make.

Test images are only scored. Rows lie in benchmarks/results/few, named by images, draw,
place of the method in this list, minutes and threads (OMP_NUM_THREADS sets them); what
is there is not measured again. A table holds what had the same minutes and threads.
benchmarks/accuracy.py puts them into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evidence_page import threads_of
from few_methods import METHODS, Labels, Task
from write_docs import processor

import napari_unet as nu
from napari_unet.core.touching import touching_recall
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import TrainingImage, load_pairs

RESULTS = Path(__file__).parent / "results" / "few"
SCORES = ("ap@0.5", "ap@0.75", "mean_ap_50_90", "touching")
NAMES = {name: key for key, (name, _) in METHODS.items()}
OURS = METHODS["ours"][0]
Row = dict[str, Any]


def read(folder: Path) -> list[TrainingImage]:
    """Images of a folder, by name."""
    return sorted(load_pairs(find_pairs(folder)), key=lambda image: image.name)


def score(labels: Labels, test: list[TrainingImage]) -> dict[str, float]:
    """Scores on the test images."""
    truth = [image.labels for image in test]
    found = nu.evaluate(labels, truth).summary()
    n_recalled, n_pairs = touching_recall(labels, truth)
    found["touching"] = n_recalled / n_pairs
    return {name: float(found[name]) for name in SCORES}


def tasks(arguments: argparse.Namespace) -> Iterator[tuple[str, Task]]:
    """Yield each draw: how its files are named, and what all methods are given.

    All numbers of images are drawn once before any is drawn again: a table that is
    not finished is even.
    """
    images, test = (read(arguments.data / part) for part in ("train", "test"))
    counts = [int(text) for text in arguments.images.split(",")]
    for draw, count in itertools.product(range(arguments.draws), counts):
        if draw and not count:
            continue  # all images are all images
        order = np.random.default_rng(draw).permutation(len(images))
        chosen = [images[i] for i in sorted(order[: count or None])]
        task = Task(chosen, test, arguments.minutes, draw, Path(), arguments.stardist)
        yield f"{count}_{draw}", task


def measure(task: Task, key: str) -> Row:
    """Train by one method, score, and note what it took."""
    name, method = METHODS[key]
    with tempfile.TemporaryDirectory() as folder:
        outcome = method(task._replace(folder=Path(folder)))
    return {
        "images": len(task.images),
        "draw": task.seed,
        "method": name,
        "minutes": task.minutes,
        "steps": outcome.steps,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        **score(outcome.labels, task.test),
    }


def rows(results: Path = RESULTS) -> list[Row]:
    """Return what is measured."""
    return [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]


def budget(row: Row) -> tuple[float, int]:
    """Return minutes and threads."""
    return row["minutes"], row["threads"]


def means(found: list[Row]) -> dict[str, Row]:
    """Means over the draws, as ``few-IMAGES-METHOD``; of the largest budget alone."""
    budgets = {budget(row) for row in found}
    largest = max(budgets, key=lambda given: (math.prod(given), given), default=None)
    groups: dict[str, list[Row]] = {}
    for row in (row for row in found if budget(row) == largest):
        key = f"few-{row['images']}-{NAMES[row['method']]}"
        groups.setdefault(key, []).append(row)
    return {
        key: {name: float(np.mean([row[name] for row in of])) for name in SCORES}
        for key, of in groups.items()
    }


def tables(results: Path = RESULTS) -> list[str]:
    """Return a table for each budget."""
    found = rows(results)
    lines: list[str] = []
    for given in sorted({budget(row) for row in found}, reverse=True):
        lines += _table([row for row in found if budget(row) == given])
    return lines


def _table(found: list[Row]) -> list[str]:
    where = {f"{threads_of(row)} of {row['processor']}" for row in found}
    lines = [
        f"{found[0]['minutes']:g} minutes each on {' or '.join(sorted(where))}; means "
        "over the draws:",
        "",
        "| images | method | AP@0.5 | lowest to highest (draws) | AP@0.75 | mean AP "
        "| touching | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in found:
        groups.setdefault((row["images"], row["method"]), []).append(row)
    order = list(NAMES)
    for images, method in sorted(groups, key=lambda k: (k[0], order.index(k[1]))):
        of = groups[images, method]
        mean = {name: np.mean([row[name] for row in of]) for name in SCORES}
        aps = [row["ap@0.5"] for row in of]
        steps = [row["steps"] for row in of if "steps" in row]
        lines.append(
            f"| {images} | {method} | {mean['ap@0.5']:.3f} "
            f"| {min(aps):.3f} to {max(aps):.3f} ({len(aps)}) "
            f"| {mean['ap@0.75']:.3f} | {mean['mean_ap_50_90']:.3f} "
            f"| {mean['touching']:.3f} | {f'{np.mean(steps):.0f}' if steps else '-'} |"
        )
    return [*lines, "", *_verdicts(groups), ""]


def _verdicts(groups: dict[tuple[int, str], list[Row]]) -> list[str]:
    """Say for each number of images whether ours is ahead of all others.

    Draws that every method has are compared.
    """
    lines = []
    for images in sorted({images for images, _ in groups}):
        of = {method: rows for (n, method), rows in groups.items() if n == images}
        shared = set.intersection(*({row["draw"] for row in r} for r in of.values()))
        aps, means = (
            {
                method: float(np.mean([r[score] for r in rows if r["draw"] in shared]))
                for method, rows in of.items()
            }
            for score in ("ap@0.5", "mean_ap_50_90")
        )
        if not shared or OURS not in aps or len(aps) == 1:
            continue
        best = max(aps.keys() - {OURS}, key=lambda method: aps[method])
        missing = [name for name in NAMES if name not in aps]
        lines.append(
            f"- {images} images, {len(shared)} draw(s) of all, ours against the best of "
            f"{len(aps) - 1} other(s), {best}: {_ahead(aps, best)} in AP@0.5, "
            f"{_ahead(means, best)} in mean AP."
            + (f" Not measured: {', '.join(missing)}." if missing else "")
        )
    return lines


def _ahead(scores: dict[str, float], best: str) -> str:
    word = "ahead" if scores[OURS] > scores[best] else "**behind**"
    return f"{word} ({scores[OURS]:.3f} against {scores[best]:.3f})"


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", default="5,16,64,0", help="numbers; 0 for all")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--methods", help="by comma; all that can run if not given")
    parser.add_argument("--stardist", type=Path, help="the Python that has StarDist")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    able = [key for key in METHODS if key != "stardist" or arguments.stardist]
    methods = arguments.methods.split(",") if arguments.methods else able
    if unable := set(methods) - set(able):
        parser.error(f"{', '.join(sorted(unable))}: unknown, or --stardist is missing")
    arguments.results.mkdir(parents=True, exist_ok=True)
    order = list(METHODS)
    for name, task in tasks(arguments):
        for key in methods:
            given = f"{arguments.minutes:g}_{torch.get_num_threads()}"
            record = arguments.results / f"{name}_{order.index(key)}_{given}.json"
            if not record.exists():
                record.write_text(json.dumps(measure(task, key), indent=1) + "\n")
            print(record.read_text(), flush=True)


if __name__ == "__main__":
    main()
