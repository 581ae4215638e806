"""From scratch on a few images: ours against a plain MONAI U-Net, in the same minutes.

    python benchmarks/few_images.py DATA --minutes 10 [--images 16] [--draws 1]

DATA holds train and test, each with images and labels (dsb2018_fluo). For each draw the
same images, patches of 256 px, batch, network width, minutes and threads are given to

- ours: the defaults of `nu.train`, part of the images kept to tune thresholds;
- two-class: the loss of 2015 (`Loss.ronneberger2015`) without border weights;
- MONAI: its U-Net, Dice and cross-entropy, flips, turns and intensities, all images for
  training, foreground above 0.5, connected components.

Test images are only scored. Rows are kept in `--runs` and not measured again; the page
docs/few-images.md is written from them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage.measure import label as connected_components
from torch import nn

import napari_unet as nu
from napari_unet.core.touching import touching_recall
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import TrainingImage, load_pairs
from napari_unet.nn.samples import normalised
from napari_unet.nn.training import train
from napari_unet.settings import Normalization
from napari_unet.training_settings import Loss, Training

TARGET = Path(__file__).parents[1] / "docs" / "few-images.md"
PATCH, BATCH, WIDTH = 256, 4, 16
SMALLEST = 15
Labels = list[np.ndarray]


class Task(NamedTuple):
    """What every method is given."""

    images: list[TrainingImage]
    test: list[TrainingImage]
    minutes: float
    seed: int
    folder: Path


def read(folder: Path) -> list[TrainingImage]:
    """Images of a folder, by name."""
    return sorted(load_pairs(find_pairs(folder)), key=lambda image: image.name)


def ours(task: Task, loss: Loss | None = None) -> Labels:
    """`nu.train` with its defaults, or with another loss."""
    settings = Training(
        minutes=task.minutes, random_seed=task.seed, batch=BATCH, base_channels=WIDTH
    )
    if loss is not None:
        settings = settings.replace(loss=loss)
    out = task.folder / "ours.safetensors"
    train(task.images, settings, out=out, overwrite=True)
    model = nu.load_model(out)
    return [nu.segment(i.image, model, axes="CYX").labels for i in task.test]


def without_weights(task: Task) -> Labels:
    """The two-class form without border weights."""
    return ours(task, Loss.ronneberger2015().replace(w0=0.0))


def monai(task: Task) -> Labels:
    """A plain MONAI U-Net with Dice and cross-entropy."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    torch.manual_seed(task.seed)
    rng = np.random.default_rng(task.seed)
    network = UNet(2, 1, 2, [WIDTH * 2**i for i in range(5)], [2] * 4, num_res_units=2)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    settings = Normalization()
    images = [normalised(i.image, settings) for i in task.images]
    truth = [(i.labels > 0)[None] for i in task.images]
    started = time.perf_counter()
    while (used := (time.perf_counter() - started) / (60 * task.minutes)) < 1:
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * used))
        pairs = [_patch(images, truth, rng) for _ in range(BATCH)]
        x, y = (
            torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True)
        )
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()
    return [_by_components(network.eval(), i, settings) for i in task.test]


def _patch(
    images: Labels, truth: Labels, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random crop, mirrored, turned, brighter or darker."""
    index = rng.integers(len(images))
    both = np.concatenate([images[index], truth[index].astype(np.float32)])
    short = [max(0, PATCH - n) for n in both.shape[1:]]
    both = np.pad(both, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    y, x = (rng.integers(n - PATCH + 1) for n in both.shape[1:])
    patch = both[:, y : y + PATCH, x : x + PATCH]
    patch = np.rot90(patch, rng.integers(4), (1, 2))
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    image = patch[:1] * rng.uniform(0.7, 1.3) + rng.uniform(-0.1, 0.1)
    return np.ascontiguousarray(image, np.float32), np.ascontiguousarray(patch[1:])


def _by_components(
    network: nn.Module, image: TrainingImage, settings: Normalization
) -> np.ndarray:
    pixels = normalised(image.image, settings)
    short = [-n % 16 for n in pixels.shape[1:]]
    padded = np.pad(pixels, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    with torch.inference_mode():
        foreground = network(torch.from_numpy(padded)[None]).softmax(1)[0, 1] > 0.5
    mask = foreground.numpy()[: pixels.shape[1], : pixels.shape[2]]
    labels = connected_components(mask, connectivity=1)
    small = np.bincount(labels.ravel()) < SMALLEST
    return np.where(small[labels], 0, labels).astype(np.int32)


METHODS: dict[str, Callable[[Task], Labels]] = {
    "ours": ours,
    "two-class, w0 = 0": without_weights,
    "MONAI U-Net, Dice-CE, components": monai,
}


def score(labels: Labels, test: list[TrainingImage]) -> dict[str, float]:
    """Scores on the test images."""
    truth = [image.labels for image in test]
    found = nu.evaluate(labels, truth).summary()
    n_recalled, n_pairs = touching_recall(labels, truth)
    kept = ("ap@0.5", "ap@0.75", "mean_ap_50_90")
    return {
        **{name: float(found[name]) for name in kept},
        "touching": n_recalled / n_pairs,
    }


def measure(arguments: argparse.Namespace) -> list[dict]:
    """A row per number of images, draw and method, from disk where it is there."""
    arguments.runs.mkdir(parents=True, exist_ok=True)
    train_images = read(arguments.data / "train")
    test = read(arguments.data / "test")
    rows = []
    for count in (int(text) for text in arguments.images.split(",")):
        for draw in range(arguments.draws):
            chosen = np.random.default_rng(draw).permutation(len(train_images))
            images = [train_images[i] for i in sorted(chosen[: count or None])]
            task = Task(images, test, arguments.minutes, draw, arguments.runs)
            for index, (name, method) in enumerate(METHODS.items()):
                key = f"{count}_{draw}_{index}_{arguments.minutes:g}.json"
                record = arguments.runs / key
                if not record.exists():
                    row = {"images": len(images), "draw": draw, "method": name}
                    row |= score(method(task), test)
                    record.write_text(json.dumps(row))
                rows.append(json.loads(record.read_text()))
                print(rows[-1], flush=True)
    return rows


def page(rows: list[dict], minutes: float) -> list[str]:
    """The page: means over the draws, and the spread of AP@0.5."""
    threads = torch.get_num_threads()
    lines = [
        "# From scratch on a few images",
        "",
        "Written by `python benchmarks/few_images.py DATA` on dsb2018_fluo: training images",
        f"drawn at random, {minutes:g} minutes each on {threads} CPU threads, scored on the "
        "27 test images",
        "(AP pooled; *touching*: pairs of touching nuclei of which both are found).",
        "",
        "| images | method | AP@0.5 | lowest to highest | mean AP 0.5..0.9 | touching |",
        "|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((row["images"], row["method"]) for row in rows)
    for images, method in keys:
        of = [r for r in rows if (r["images"], r["method"]) == (images, method)]
        mean = {
            name: np.mean([row[name] for row in of])
            for name in ("ap@0.5", "mean_ap_50_90", "touching")
        }
        aps = [row["ap@0.5"] for row in of]
        lines.append(
            f"| {images} | {method} | {mean['ap@0.5']:.3f} "
            f"| {min(aps):.3f} to {max(aps):.3f} ({len(aps)}) "
            f"| {mean['mean_ap_50_90']:.3f} | {mean['touching']:.3f} |"
        )
    return lines


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--images", default="16", help="numbers; 0 for all")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/few"))
    arguments = parser.parse_args()
    rows = measure(arguments)
    TARGET.write_text("\n".join(page(rows, arguments.minutes)) + "\n")
    print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
