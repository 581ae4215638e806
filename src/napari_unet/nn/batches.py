"""Batches: patches made by a few threads while the network computes.

The kernels that make a patch release the interpreter's lock, so threads do, and there
is no second process whose death or start-up a user would notice. Patch i depends on i
alone; which thread makes it, and when, changes nothing.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.core.patches import PatchSampler
from napari_unet.nn.losses import Batch
from napari_unet.training_settings import Augmentation

# Batches made ahead: enough to hide an uneven pace.
AHEAD = 2
MOST_THREADS = 16


@dataclass(frozen=True)
class Patches:
    """The patches of a run, by number; make it with `build`.

    Parameters
    ----------
    samples
        Prepared images, without labels.
    spacings
        Pixel size of each, per axis.
    sampler
        Says where each patch lies.
    augmentation
        How patches are varied.
    """

    samples: tuple[Sample, ...]
    spacings: tuple[tuple[float, ...], ...]
    sampler: PatchSampler
    augmentation: Augmentation

    @classmethod
    def build(
        cls,
        samples: Sequence[Sample],
        spacings: Sequence[tuple[float, ...]],
        patch: tuple[int, ...],
        *,
        augmentation: Augmentation,
        foreground: float,
        random_seed: int,
    ) -> Self:
        """Choose places by objects or classes; labels are needed for nothing else."""
        sampler = PatchSampler.build(
            samples, patch, foreground=foreground, random_seed=random_seed
        )
        bare = tuple(replace(sample, labels=None) for sample in samples)
        return cls(bare, tuple(spacings), sampler, augmentation)

    def __call__(self, index: int) -> Sample:
        """Return patch `index`; safe to ask from several threads."""
        place = self.sampler.place(index)
        sample = self.samples[place.image]
        plan = plan_patch(
            self.sampler.rng(index),
            sample.image.shape,
            self.sampler.patch_shape,
            centre=place.centre,
            augmentation=self.augmentation,
            spacing=self.spacings[place.image],
        )
        return apply_patch(plan, sample)


def iter_batches(
    patch: Callable[[int], Sample], size: int, device: torch.device, *, first: int = 0
) -> Generator[Batch, None, None]:
    """Yield batches without end; batch b holds the patches b * size and following.

    Parameters
    ----------
    patch
        Number -> patch; asked from several threads at once.
    size
        Patches in a batch.
    device
        Where the batch lies.
    first
        Number of the first batch.
    """
    threads = min(MOST_THREADS, n_cores())
    pinned = device.type == "cuda"

    def make(number: int) -> Batch:
        indices = range(number * size, (number + 1) * size)
        return stack([patch(index) for index in indices], pinned=pinned)

    pool = ThreadPoolExecutor(threads, "patch")
    try:
        numbers = itertools.count(first)
        waiting = deque(
            pool.submit(make, next(numbers)) for _ in range(max(AHEAD, threads))
        )
        while True:
            batch = waiting.popleft().result()
            waiting.append(pool.submit(make, next(numbers)))
            yield move(batch, device)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def n_cores() -> int:
    """Return how many cores this process may use; a cluster's job has some of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def collate(samples: Sequence[Sample], device: torch.device) -> Batch:
    """Stack patches of one shape, with targets and weights, and move them."""
    return move(stack(samples), device)


def stack(samples: Sequence[Sample], *, pinned: bool = False) -> Batch:
    """Stack patches on the CPU; `pinned` memory can be moved while others compute."""
    distances = [s.distance for s in samples if s.distance is not None]
    return Batch(
        image=_stack([sample.image for sample in samples], pinned=pinned),
        target=_stack([s.target for s in samples], pinned=pinned),
        weight=_stack([s.weight for s in samples], pinned=pinned),
        distance=_stack(distances, pinned=pinned) if distances else None,
    )


def move(batch: Batch, device: torch.device) -> Batch:
    """Bring a batch to the device, in the layout and types that training wants."""
    layout = torch.channels_last if batch.image.ndim == 4 else torch.channels_last_3d

    def to(x: Tensor) -> Tensor:
        return x.to(device, non_blocking=True)

    return Batch(
        image=to(batch.image).contiguous(memory_format=layout),
        target=to(batch.target).long(),
        weight=to(batch.weight),
        distance=None if batch.distance is None else to(batch.distance),
    )


def _stack(arrays: Sequence[object], *, pinned: bool) -> Tensor:
    stacked = torch.from_numpy(np.stack([np.asarray(a) for a in arrays]))
    return stacked.pin_memory() if pinned else stacked
