"""Objects: which components of the mask hold which seeds, over the whole sample.

After this step a block knows of each of its mask components whether it is background,
one object as it stands, or must be flooded, alone or with other blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import Load
from napari_unet.engine.joining import Numbering, join, least, total
from napari_unet.settings import Separation

Array = npt.NDArray[Any]

# What is said of a mask component instead of its one object.
FLOODED_HERE = -1
FLOODED_TOGETHER = -2


@dataclass(frozen=True, eq=False)
class Objects:
    """What all blocks' components are in the whole sample.

    Parameters
    ----------
    mask, seeds
        Numbering of the blocks' components.
    label
        Per mask component: its object, 0, `FLOODED_HERE` or `FLOODED_TOGETHER`.
    component
        Per mask component: the component of the sample.
    seed
        Per seed component: its object, 0 if it is too small.
    rim_component, rim_block
        Which blocks know outlines of seeds in a component of the sample that is
        flooded together, ordered by component.
    """

    mask: Numbering
    seeds: Numbering
    label: npt.NDArray[np.int64]
    component: npt.NDArray[np.int64]
    seed: npt.NDArray[np.int64]
    rim_component: npt.NDArray[np.int64]
    rim_block: npt.NDArray[np.int64]

    def arrays(self) -> dict[str, Array]:
        """Return all as arrays to be written."""
        return {
            "mask": self.mask.offsets,
            "seeds": self.seeds.offsets,
            "label": self.label,
            "component": self.component,
            "seed": self.seed,
            "rim_component": self.rim_component,
            "rim_block": self.rim_block,
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> Objects:
        """Return what `arrays` were made from."""
        others = {name: arrays[name] for name in arrays if name not in _NUMBERINGS}
        return cls(
            mask=Numbering(arrays["mask"]), seeds=Numbering(arrays["seeds"]), **others
        )


_NUMBERINGS = ("mask", "seeds")


def find_objects(blocks: Blocks, load: Load, separation: Separation) -> Objects:
    """Join the surveys of all blocks.

    Parameters
    ----------
    blocks
        All of the sample.
    load
        Returns the survey of a block.
    separation
        Sizes and connectivity.
    """
    surveys = [_numbers(load(number)) for number in range(len(blocks))]
    mask = Numbering.of(len(s["mask_size"]) for s in surveys)
    seeds = Numbering.of(len(s["seed_size"]) for s in surveys)
    connectivity = min(separation.connectivity, len(blocks.shape))
    component = join(blocks, load, "mask", numbering=mask, connectivity=connectivity)
    region = join(blocks, load, "seed", numbering=seeds, connectivity=connectivity)
    seed = _kept(region, _all(surveys, "seed_size"), separation.min_seed_size)
    label = _label(surveys, mask, seeds, component, seed, separation)
    rim_component, rim_block = _rims(surveys, mask, seeds, label, component, seed)
    return Objects(mask, seeds, label, component, seed, rim_component, rim_block)


def _numbers(record: Any) -> dict[str, Array]:
    """Take what is needed of a survey, and no faces or coordinates."""
    rims = np.stack([record["rim_mask"], record["rim_seed"]], axis=1)
    kept = {name: record[name] for name in ("mask_size", "seed_size", "pairs")}
    return {**kept, "rims": np.unique(rims, axis=0)}


def _all(surveys: list[dict[str, Array]], name: str) -> Array:
    return np.concatenate([survey[name] for survey in surveys])


def _kept(region: Array, sizes: Array, min_size: int) -> npt.NDArray[np.int64]:
    """Return the object, from 1, that each seed component starts; 0: too small."""
    n = int(region.max(initial=-1)) + 1
    return np.where(total(region, sizes, n)[region] >= min_size, region + 1, 0)


def _label(
    surveys: list[dict[str, Array]],
    mask: Numbering,
    seeds: Numbering,
    component: Array,
    seed: Array,
    separation: Separation,
) -> npt.NDArray[np.int64]:
    n = int(component.max(initial=-1)) + 1
    inside, started = [], []
    for number, survey in enumerate(surveys):
        inside.append(component[mask.number(number, survey["pairs"][:, 0])])
        started.append(seed[seeds.number(number, survey["pairs"][:, 1])])
    groups, objects = np.concatenate(inside), np.concatenate(started)
    groups, objects = groups[objects > 0], objects[objects > 0]
    lowest = least(groups, objects, n)
    several = np.zeros(n, bool)
    several[groups[objects != lowest[groups]]] = True
    has_seed = np.zeros(n, bool)
    has_seed[groups] = True
    label = np.where(has_seed, lowest, 0)
    if separation.keep_unseeded:
        smallest = max(separation.min_size, separation.min_seed_size)
        large = total(component, _all(surveys, "mask_size"), n) >= smallest
        # Objects of their own, numbered after all those that a seed starts.
        own = np.arange(n) + 1 + seed.max(initial=0)
        label = np.where(~has_seed & large, own, label)
    in_one_piece = np.bincount(component, minlength=n) == 1
    label = np.where(
        several, np.where(in_one_piece, FLOODED_HERE, FLOODED_TOGETHER), label
    )
    return np.asarray(label[component], np.int64)


def _rims(
    surveys: list[dict[str, Array]],
    mask: Numbering,
    seeds: Numbering,
    label: Array,
    component: Array,
    seed: Array,
) -> tuple[Array, Array]:
    """Return which component has seeds in which block, ordered by component."""
    found = [np.empty((0, 2), np.int64)]
    for number, survey in enumerate(surveys):
        on_mask = mask.number(number, survey["rims"][:, 0])
        on_seed = seeds.number(number, survey["rims"][:, 1])
        kept = (label[on_mask] == FLOODED_TOGETHER) & (seed[on_seed] > 0)
        here = np.unique(component[on_mask[kept]])
        found.append(np.stack([here, np.full_like(here, number)], axis=1))
    pairs = np.concatenate(found)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return pairs[:, 0], pairs[:, 1]
