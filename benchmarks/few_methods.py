"""What few_images.py compares: four ways to learn nuclei from a few images.

Each is given the same images, minutes and threads, patches of 256 px and batches of 4.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage.measure import label as connected_components
from torch import nn

import napari_unet as nu
from napari_unet.io.training_data import TrainingImage
from napari_unet.nn.samples import normalised
from napari_unet.nn.training import train
from napari_unet.settings import Normalization
from napari_unet.training_settings import Loss, Training

PATCH, BATCH = 256, 4
# Of MONAI's own examples.
CHANNELS = (16, 32, 64, 128, 256)
SMALLEST = 15
STARDIST = Path(__file__).parent / "few_stardist.py"
Labels = list[np.ndarray]


class Task(NamedTuple):
    """What every method is given.

    Parameters
    ----------
    images, test
        To learn from; to find nuclei in.
    minutes
        Of training.
    seed
        Number of the draw.
    folder
        For files that may be deleted afterwards.
    stardist
        The Python that has StarDist.
    """

    images: list[TrainingImage]
    test: list[TrainingImage]
    minutes: float
    seed: int
    folder: Path
    stardist: Path | None = None


class Outcome(NamedTuple):
    """Labels of the test images, and the optimiser's steps."""

    labels: Labels
    steps: int


def ours(task: Task, loss: Loss | None = None) -> Outcome:
    """`nu.train` with its defaults, or with another loss."""
    settings = Training(minutes=task.minutes, random_seed=task.seed, batch=BATCH)
    if loss is not None:
        settings = settings.replace(loss=loss)
    out = task.folder / "ours.safetensors"
    report = train(task.images, settings, out=out, overwrite=True)
    model = nu.load_model(out)
    labels = [nu.segment(i.image, model, axes="CYX").labels for i in task.test]
    return Outcome(labels, report.steps)


def two_class(task: Task) -> Outcome:
    """The loss of 2015 without border weights."""
    return ours(task, Loss.ronneberger2015().replace(w0=0.0))


def monai(task: Task) -> Outcome:
    """A plain MONAI U-Net with Dice and cross-entropy, all images for training."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    torch.manual_seed(task.seed)
    rng = np.random.default_rng(task.seed)
    network = UNet(2, 1, 2, CHANNELS, [2] * 4, num_res_units=2)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    settings = Normalization()
    images = [normalised(i.image, settings) for i in task.images]
    truth = [(i.labels > 0)[None] for i in task.images]
    steps, started = 0, time.perf_counter()
    while (used := (time.perf_counter() - started) / (60 * task.minutes)) < 1:
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * used))
        pairs = [_patch(images, truth, rng) for _ in range(BATCH)]
        x, y = (
            torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True)
        )
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()
        steps += 1
    network.eval()
    return Outcome([_by_components(network, i, settings) for i in task.test], steps)


def stardist(task: Task) -> Outcome:
    """StarDist by its own package, in its own process; see few_stardist.py."""
    given, found = task.folder / "task.npz", task.folder / "labels.npz"
    arrays = {f"image_{i}": image.image[0] for i, image in enumerate(task.images)}
    arrays |= {f"labels_{i}": image.labels for i, image in enumerate(task.images)}
    arrays |= {f"test_{i}": image.image[0] for i, image in enumerate(task.test)}
    np.savez_compressed(given, **arrays)
    numbers = {"minutes": task.minutes, "seed": task.seed}
    numbers["threads"] = torch.get_num_threads()
    options = [f"--{name}={number}" for name, number in numbers.items()]
    subprocess.run([task.stardist, STARDIST, given, found, *options], check=True)
    with np.load(found) as file:
        labels = [file[f"labels_{i}"] for i in range(len(task.test))]
        return Outcome(labels, int(file["steps"]))


METHODS: dict[str, tuple[str, Callable[[Task], Outcome]]] = {
    "ours": ("ours", ours),
    "two-class": ("two-class, w0 = 0", two_class),
    "monai": ("MONAI U-Net, Dice-CE, components", monai),
    "stardist": ("StarDist", stardist),
}
"""By the name on the command line: the name in the table, and the function."""


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
    """Return the components of the pixels that are more likely nuclei than not."""
    pixels = normalised(image.image, settings)
    short = [-n % 16 for n in pixels.shape[1:]]
    padded = np.pad(pixels, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    with torch.inference_mode():
        foreground = network(torch.from_numpy(padded)[None]).softmax(1)[0, 1] > 0.5
    mask = foreground.numpy()[: pixels.shape[1], : pixels.shape[2]]
    labels = connected_components(mask, connectivity=1)
    small = np.bincount(labels.ravel()) < SMALLEST
    return np.where(small[labels], 0, labels).astype(np.int32)
