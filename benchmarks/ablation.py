"""Which target and which border weights: an ablation that writes docs/ablation.md.

    python benchmarks/ablation.py DATA [--steps 800] [--runs runs/ablation] [--only NAME;..]

DATA is a folder `train` with images and labels (dsb2018_fluo/train); no test image is
read. Every `HOLD_OUT`-th image by name is held out for judging; on the others each
variant trains with the same seed, patches and number of steps (so that a busy machine
changes nothing), and tunes its thresholds on a part of them. A run that was interrupted
goes on; rows lie in benchmarks/results/ablation, and what is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import napari_unet as nu
from napari_unet.core.events import Note
from napari_unet.core.touching import touching_recall
from napari_unet.core.training_events import Validated
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import load_pairs
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.training import iter_train
from napari_unet.nn.training_state import state_path
from napari_unet.training_settings import Loss, Training

TARGET = Path(__file__).parents[1] / "docs" / "ablation.md"
RESULTS = Path(__file__).parent / "results" / "ablation"
HOLD_OUT = 6
VARIANTS = {
    "two-class, w0 = 0": Loss.ronneberger2015().replace(w0=0.0),
    "two-class, w0 = 10 (2015)": Loss.ronneberger2015(),
    "two-class, w0 = 50 (2019)": Loss.falk2019(),
    "three-class, w0 = 0": Loss(target="three_class", w0=0.0),
    "three-class, w0 = 10": Loss(target="three_class", w0=10.0),
    "three-class + distance, w0 = 10": Loss(target="distance", w0=10.0),
}


def load(folder: Path) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Images to train on, and those held out."""
    images = sorted(load_pairs(find_pairs(folder)), key=lambda image: image.name)
    kept = [image for i, image in enumerate(images) if i % HOLD_OUT]
    return kept, images[::HOLD_OUT]


def train(images: list[TrainingImage], loss: Loss, steps: int, out: Path) -> None:
    """Train one variant, or go on with it."""
    settings = Training(steps=steps, loss=loss, validate_every=0.25)
    begun = state_path(out).exists()
    job = iter_train(images, out, training=settings, resume=begun, overwrite=not begun)
    for event in job:
        if isinstance(event, Validated):
            print(
                f"  step {event.step}: AP@0.5 {event.scores['ap@0.5']:.3f}", flush=True
            )
        elif isinstance(event, Note):
            print(f"  {event.text}", flush=True)


def judge(path: Path, images: list[TrainingImage]) -> dict[str, float]:
    """Score a model on the held-out images."""
    model = nu.load_model(path)
    labels = [nu.segment(i.image, model, axes="CYX").labels for i in images]
    truth = [i.labels for i in images]
    scores = nu.evaluate(labels, truth).summary()
    n_recalled, n_pairs = touching_recall(labels, truth)
    kept = ("ap@0.5", "ap@0.75", "mean_ap_50_90", "n_merged", "n_split", "n_missed")
    return {
        **{name: float(scores[name]) for name in kept},
        "touching": n_recalled / n_pairs,
        "n_pairs": n_pairs,
        "n_images": len(images),
        "n_truth": float(scores["n_truth"]),
    }


def measure(data: Path, steps: int, runs: Path, only: list[str]) -> dict[str, dict]:
    """A row per variant, from disk where it is there."""
    for folder in (runs, RESULTS):
        folder.mkdir(parents=True, exist_ok=True)
    images, held_out = load(data)
    rows = {}
    for index, (name, loss) in enumerate(VARIANTS.items()):
        if only and name not in only:
            continue
        record = RESULTS / f"{index}_{steps}.json"
        if not record.exists():
            print(name, flush=True)
            out = runs / f"{index}_{steps}.safetensors"
            train(images, loss, steps, out)
            trained = nu.load_model(out).recipe.training
            row = {
                **judge(out, held_out),
                "n_training": len(images),
                "batch": trained["settings"]["batch"],
                "base_channels": trained["settings"]["base_channels"],
            }
            record.write_text(json.dumps(row, indent=1) + "\n")
        rows[name] = json.loads(record.read_text())
        print(f"{name}: {rows[name]}", flush=True)
    return rows


def table(rows: dict[str, dict], steps: int) -> list[str]:
    """The page."""
    first = next(iter(rows.values()))
    lines = [
        "# Ablation: target and border weights",
        "",
        f"Written by `python benchmarks/ablation.py DATA --steps {steps}` with DATA the",
        "training part of dsb2018_fluo; the test part was not read. Of its images, "
        f"{first['n_images']:.0f} ({first['n_truth']:.0f} nuclei,",
        f"{first['n_pairs']:.0f} touching pairs) were held out for the scores below; the "
        f"other {first['n_training']:.0f} served for training and",
        "for tuning the thresholds. Every variant: a padded network (depth 4, "
        f"base {first['base_channels']}), batch {first['batch']},",
        f"256 px patches, {steps} steps, the same seed and so the same patches. *Touching* "
        "is the share of pairs of",
        "touching nuclei of which both are found (IoU 0.5).",
        "",
        "| variant | AP@0.5 | AP@0.75 | mean AP 0.5..0.9 | touching | merged | split | missed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['ap@0.5']:.3f} | {row['ap@0.75']:.3f} "
        f"| {row['mean_ap_50_90']:.3f} | {row['touching']:.3f} | {row['n_merged']:.0f} "
        f"| {row['n_split']:.0f} | {row['n_missed']:.0f} |"
        for name, row in rows.items()
    ]
    best = max(rows, key=lambda name: rows[name]["mean_ap_50_90"])
    weighted = {n: r for n, r in rows.items() if "w0 = 0" not in n}
    best_weighted = max(weighted, key=lambda name: weighted[name]["mean_ap_50_90"])
    return [
        *lines,
        "",
        f"Best mean AP: *{best}*; best with w0 > 0: *{best_weighted}*. One run each: a "
        "difference of",
        "one point may be chance. Thresholds as tuned, without the restraint of decision 8.",
    ]


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--only", default="", help="names of variants; no page then")
    arguments = parser.parse_args()
    only = [name.strip() for name in arguments.only.split(";") if name.strip()]
    began = time.perf_counter()
    rows = measure(arguments.data, arguments.steps, arguments.runs, only)
    minutes = (time.perf_counter() - began) / 60
    print(
        f"{minutes:.1f} minutes on {torch.get_num_threads()} threads, {np.__version__}"
    )
    if not only:
        TARGET.write_text("\n".join(table(rows, arguments.steps)) + "\n")
        print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
