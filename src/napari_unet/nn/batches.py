"""Batches: patches made by a few threads while the network computes.

The kernels that make a patch release the interpreter's lock, so threads do, and there
is no second process whose death or start-up a user would notice. Patch i depends on i
alone; which thread makes it, and when, changes nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
MOST_THREADS = 8


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
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, "patch")
    waiting: deque[list[Future[Sample]]] = deque()
    number = first
    try:
        while True:
            while len(waiting) <= AHEAD:
                indices = range(number * size, (number + 1) * size)
                waiting.append([pool.submit(patch, index) for index in indices])
                number += 1
            yield collate([future.result() for future in waiting.popleft()], device)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def collate(samples: Sequence[Sample], device: torch.device) -> Batch:
    """Stack patches of one shape, with targets and weights, and move them."""
    image = _stack([sample.image for sample in samples], device)
    layout = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
    distances = [s.distance for s in samples if s.distance is not None]
    return Batch(
        image=image.contiguous(memory_format=layout),
        target=_stack([s.target for s in samples], device).long(),
        weight=_stack([s.weight for s in samples], device),
        distance=_stack(distances, device) if distances else None,
    )


def _stack(arrays: Sequence[object], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(a) for a in arrays])).to(device)
