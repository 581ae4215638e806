"""Survey: what one block tells about the mask and the seeds of the whole sample.

Components are counted from 1 within the block; faces say which of them go on in a
neighbour. Of seeds that may lie in a component that goes on, the outline is noted:
distances in other blocks are measured to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.components import label_components
from napari_unet.core.fixed_point import scale_of, threshold_of
from napari_unet.core.overlap import label_runs
from napari_unet.core.seeds import height, mask_evidence, seed_evidence
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import faces
from napari_unet.settings import Separation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Task:
    """How stored probabilities become objects.

    Parameters
    ----------
    channels
        Meaning of the channels.
    separation
        Thresholds and the rest.
    """

    channels: tuple[str, ...]
    separation: Separation


def components(stored: Array, task: Task) -> tuple[Array, Array]:
    """Return the components of the mask and of all seeds within one block, from 1."""
    scale, settings = scale_of(stored.dtype), task.separation
    wanted = mask_evidence(stored, task.channels)
    mask = wanted > threshold_of(settings.mask_threshold, scale)
    evidence = seed_evidence(stored, task.channels)
    above = evidence > threshold_of(settings.seed_threshold, scale)
    connectivity = settings.connectivity
    return (
        label_components(mask, connectivity=connectivity),
        label_components(above, connectivity=connectivity),
    )


def survey_block(
    stored: Array, task: Task, blocks: Blocks, number: int
) -> dict[str, Array]:
    """Return the record of one block.

    Parameters
    ----------
    stored
        Probabilities (C, ...) of the block.
    task
        How they become objects.
    blocks
        All of the sample.
    number
        Which one this is.

    Returns
    -------
    dict
        `mask_size` and `mask_first` (raster index in the sample of the first pixel) of
        each component of the mask; `seed_size`; `pairs` (n, 2): components of mask and
        seeds that share pixels; faces of both and of the height; `rim` (n, axes):
        outline of seeds, with their `rim_mask` and `rim_seed`.
    """
    mask, seeds = components(stored, task)
    mask_size, first = sizes_and_firsts(mask)
    seed_size, _ = sizes_and_firsts(seeds)
    (on_mask, on_seed), _ = label_runs(mask, seeds)
    both = (on_mask > 0) & (on_seed > 0)
    pairs = np.unique(np.stack([on_mask[both], on_seed[both]], axis=1), axis=0)
    return {
        "mask_size": mask_size,
        "mask_first": blocks.global_index(number, first),
        "seed_size": seed_size,
        "pairs": pairs,
        **faces("mask", mask),
        **faces("seed", seeds),
        **faces("height", height(stored, task.channels)),
        **_rim(mask, seeds, blocks, number),
    }


def sizes_and_firsts(labels: Array) -> tuple[Array, Array]:
    """Return pixels and raster index of the first pixel of the labels 1, 2, ..."""
    (values,), lengths = label_runs(labels)
    n = int(values.max(initial=0)) + 1
    starts = np.cumsum(lengths) - lengths
    first = np.full(n, labels.size, np.int64)
    np.minimum.at(first, values, starts)
    sizes = np.zeros(n, np.int64)
    np.add.at(sizes, values, lengths)
    return sizes[1:], first[1:]


def _rim(mask: Array, seeds: Array, blocks: Blocks, number: int) -> dict[str, Array]:
    """Return the seed pixels with a neighbour that is none, where a mask goes on.

    The nearest seed of a pixel is always one of them.
    """
    goes_on = np.zeros(int(mask.max(initial=0)) + 1, bool)
    for step, _ in blocks.neighbours(number):
        sides = [(slice(None), slice(-1, None), slice(0, 1))[s] for s in step]
        goes_on[np.unique(mask[tuple(sides)])] = True
    goes_on[0] = False
    rim = (seeds > 0) & goes_on[mask]
    padded = np.pad((seeds > 0) & (mask > 0), 1)
    inner = np.ones(mask.shape, bool)
    for axis in range(mask.ndim):
        for first in (0, 2):
            part = [slice(1, -1)] * mask.ndim
            part[axis] = slice(first, first + mask.shape[axis])
            inner &= padded[tuple(part)]
    at = np.nonzero(rim & ~inner)
    points = np.stack(at, axis=1) + np.asarray(blocks.corner(number))
    return {
        "rim": points.astype(np.int32),
        "rim_mask": mask[at],
        "rim_seed": seeds[at],
    }
