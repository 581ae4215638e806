"""Flooding one block: every pixel gets an object, or a pixel beyond that it hangs on.

Components within the block are flooded as they would be in memory. Those that go on
are flooded up to the pixels just beyond the block; see `core.block_forest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_unet.core.block_forest import (
    Edges,
    flood_block,
    outer_edges,
    priorities,
)
from napari_unet.core.overlap import label_runs
from napari_unet.core.seed_points import FAR, lower_distances
from napari_unet.core.seeds import height
from napari_unet.core.watershed import flood
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import Load, beyond, faces, grown
from napari_unet.engine.grounds import survey_ground
from napari_unet.engine.objects import FLOODED_HERE, FLOODED_TOGETHER, Objects
from napari_unet.engine.survey import Task, components, sizes_and_firsts

Array = npt.NDArray[Any]
Record = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Block:
    """One block and all that is known about the sample.

    Parameters
    ----------
    blocks, number
        All blocks, and which one this is.
    load
        Returns the survey of a block.
    objects
        What the surveys came to.
    task
        How stored probabilities become objects.
    """

    blocks: Blocks
    number: int
    load: Load
    objects: Objects
    task: Task

    @property
    def connectivity(self) -> int:
        """Which pixels are neighbours."""
        return min(self.task.separation.connectivity, len(self.blocks.shape))

    def labels_of(self, number: int) -> Array:
        """Return what is said of the mask components 0, 1, ... of a block."""
        return _with_zero(self.objects.label[self.objects.mask.of_block(number)])

    def components_of(self, number: int) -> Array:
        """Return the component of the sample, from 1, of each of a block's own."""
        part = self.objects.component[self.objects.mask.of_block(number)]
        return _with_zero(part + 1)

    def seeds_of(self, number: int) -> Array:
        """Return the object of the seed components 0, 1, ... of a block."""
        return _with_zero(self.objects.seed[self.objects.seeds.of_block(number)])


def _with_zero(values: Array) -> Array:
    return np.concatenate([np.zeros(1, values.dtype), values])


def flood_one(block: Block, stored: Array) -> tuple[npt.NDArray[np.int32], Record]:
    """Return the codes of a block's pixels and its record.

    Parameters
    ----------
    block
        Which one.
    stored
        Its probabilities (C, ...).

    Returns
    -------
    numpy.ndarray
        int32 codes; 0 is background.
    dict
        `object`: per code from 1 its object, or minus (1 + raster index) of the pixel
        beyond the block that it hangs on; `size` and `first` of each code; `shell_at`
        and `shell_code`: pixels that neighbours may hang on; `edge_*`; what
        `survey_ground` says; faces of codes.
    """
    mask, seeds = components(stored, block.task)
    what = block.labels_of(block.number)[mask]
    own_seeds = block.seeds_of(block.number)[seeds]
    surface = height(stored, block.task.channels)
    values = np.where(what > 0, what, 0)
    here = what == FLOODED_HERE
    if here.any():
        kinds, codes = _compressed(np.where(here, own_seeds, 0))
        flooded = flood(surface, codes, here, connectivity=block.connectivity)
        values[here] = kinds[flooded[here]]
    shared: Record = {}
    if (what == FLOODED_TOGETHER).any():
        shared = _flood_together(block, mask, own_seeds, surface, values)
    return _finish(block, values, shared)


def _compressed(values: Array) -> tuple[Array, npt.NDArray[np.int32]]:
    """Return the different values, 0 first, and for each pixel which of them it has."""
    (found,), lengths = label_runs(values)
    kinds, codes = np.unique(found, return_inverse=True)
    if 0 not in kinds:
        kinds, codes = np.concatenate([[0], kinds]), codes + 1
    # Pixels beyond the block have negative values; 0 still comes first.
    zero = int(np.flatnonzero(kinds == 0)[0])
    order = np.concatenate([[zero], np.delete(np.arange(kinds.size), zero)])
    place = np.empty(kinds.size, np.int32)
    place[order] = np.arange(kinds.size)
    return kinds[order], np.repeat(place[codes], lengths).reshape(values.shape)


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """A block with one more pixel on each side.

    `inner` is where the block lies, `component` numbers the components flooded
    together from 1 (0: none), `seed` is the object of each seed pixel.
    """

    corner: tuple[int, ...]
    inner: tuple[slice, ...]
    component: npt.NDArray[np.int32]
    names: Array
    seed: Array
    height: Array


def _look_around(
    block: Block, mask: Array, own_seeds: Array, surface: Array
) -> _Surroundings:
    outer, inner = grown(block.blocks, block.number)
    shape = tuple(part.stop - part.start for part in outer)

    def take(number: int, face: str, of: Any, name: str) -> Array:
        return np.asarray(of(number)[block.load(number)[f"{name}_{face}"]])

    def joint(number: int) -> Array:
        label = block.labels_of(number)
        return np.where(label == FLOODED_TOGETHER, block.components_of(number), 0)

    around = np.zeros(shape, np.int64)
    beyond(block.blocks, block.number, lambda n, f: take(n, f, joint, "mask"), around)
    around[inner] = joint(block.number)[mask]
    names, component = _compressed(around)
    seed = np.zeros(shape, np.int64)
    beyond(
        block.blocks,
        block.number,
        lambda n, f: take(n, f, block.seeds_of, "seed"),
        seed,
    )
    seed[inner] = own_seeds
    seed[component == 0] = 0
    high = np.zeros(shape, surface.dtype)
    beyond(block.blocks, block.number, lambda n, f: block.load(n)[f"height_{f}"], high)
    high[inner] = surface
    corner = tuple(part.start for part in outer)
    return _Surroundings(corner, inner, component, names, seed, high)


def _flood_together(
    block: Block, mask: Array, own_seeds: Array, surface: Array, values: Array
) -> Record:
    """Write to `values` the objects and the pixels beyond; return shell and edges."""
    around = _look_around(block, mask, own_seeds, surface)
    joint = around.component > 0
    inside = np.zeros(joint.shape, bool)
    inside[around.inner] = joint[around.inner]
    squared = _distances(block, around)
    priority = priorities(around.height, around.seed > 0, joint, squared)
    del squared
    index = _indices(block.blocks, around.corner, joint.shape)
    outside = joint & ~inside
    root = np.where(inside, around.seed, 0)
    root[outside] = -1 - index(np.flatnonzero(outside))
    kinds, roots = _compressed(root)
    basin = flood_block(priority, roots, inside, connectivity=block.connectivity)
    result = kinds[basin]
    values[inside[around.inner]] = result[inside]
    open_pixels = inside & (result < 0)
    edges = outer_edges(priority, basin, open_pixels, connectivity=block.connectivity)
    shell = np.zeros(joint.shape, bool)
    shell[around.inner] = _shell(block.blocks, block.number)
    shell &= inside
    return {
        "shell_at": index(np.flatnonzero(shell)),
        "shell_object": result[shell],
        **_edge_record(edges, kinds, index),
    }


def _indices(blocks: Blocks, corner: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """Return a function: raster index in the grown block -> in the sample."""

    def index(flat: Array) -> npt.NDArray[np.int64]:
        at = np.unravel_index(flat, shape)
        moved = [a + c for a, c in zip(at, corner, strict=True)]
        return np.asarray(np.ravel_multi_index(moved, blocks.shape), np.int64)

    return index


def _edge_record(edges: Edges, kinds: Array, index: Any) -> Record:
    return {
        "edge_first": kinds[edges.first],
        "edge_second": kinds[edges.second],
        "edge_later": edges.later,
        "edge_later_at": index(edges.later_at),
        "edge_earlier": edges.earlier,
        "edge_earlier_at": index(edges.earlier_at),
    }


def _shell(blocks: Blocks, number: int) -> npt.NDArray[np.bool_]:
    """Mark the pixels of a block that have a neighbour in another block."""
    shell = np.zeros(blocks.block_shape(number), bool)
    for step, _ in blocks.neighbours(number):
        shell[tuple((slice(None), slice(-1, None), slice(0, 1))[s] for s in step)] = (
            True
        )
    return shell


def _distances(block: Block, around: _Surroundings) -> npt.NDArray[np.int64]:
    """Return the squared distance to the nearest seed of each pixel's component.

    Blocks with seeds are asked in the order of their distance, until no farther one
    can hold a nearer seed.
    """
    best = np.full(around.component.shape, FAR, np.int64)
    for wanted, box in enumerate(find_objects(around.component), start=1):
        corner = tuple(c + b.start for c, b in zip(around.corner, box, strict=True))
        component = around.names[wanted] - 1
        for gap, number in _blocks_with_seeds(block, component):
            farthest = lower_distances(
                best[box],
                around.component[box],
                wanted,
                corner=corner,
                points=_rim_points(block, number, component),
            )
            if farthest <= gap:
                break
    best[around.seed > 0] = 0
    best[around.component == 0] = 0
    return best


def _blocks_with_seeds(block: Block, component: int) -> list[tuple[int, int]]:
    """Return how far the next one is, squared, and blocks with a component's seeds."""
    objects = block.objects
    ends = np.searchsorted(objects.rim_component, [component, component + 1])
    known = [int(n) for n in objects.rim_block[slice(*ends)]]
    ordered = sorted((block.blocks.squared_gap(block.number, n), n) for n in known)
    next_gaps = [gap for gap, _ in ordered[1:]] + [FAR]
    return [(gap, n) for gap, (_, n) in zip(next_gaps, ordered, strict=True)]


def _rim_points(block: Block, number: int, component: int) -> Array:
    record = block.load(number)
    in_component = block.components_of(number)[record["rim_mask"]] == component + 1
    kept = in_component & (block.seeds_of(number)[record["rim_seed"]] > 0)
    return np.asarray(record["rim"][kept], np.int64)


def _finish(
    block: Block, values: Array, shared: Record
) -> tuple[npt.NDArray[np.int32], Record]:
    kinds, codes = _compressed(values)
    sizes, first = sizes_and_firsts(codes)
    record: Record = {
        "object": kinds[1:],
        "size": sizes,
        "first": block.blocks.global_index(block.number, first),
        **(shared or _NOTHING_SHARED),
        **faces("code", codes),
    }
    if block.task.separation.fill_holes:
        connectivity = block.task.separation.connectivity
        record |= survey_ground(codes, block.blocks, block.number, connectivity)
    return codes, record


_NOTHING_SHARED: Record = {
    name: np.empty(0, np.int64)
    for name in (
        "shell_at",
        "shell_object",
        "edge_first",
        "edge_second",
        "edge_later",
        "edge_later_at",
        "edge_earlier",
        "edge_earlier_at",
    )
}
