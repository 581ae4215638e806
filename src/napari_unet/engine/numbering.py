"""Numbering: the last step over all blocks, from objects to labels.

Holes are given to what encloses them, small objects are dropped, and the others are
numbered in raster order of their first pixel, as in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import Load, touching
from napari_unet.engine.forest import resolve
from napari_unet.engine.joining import Numbering, join, least, total
from napari_unet.settings import Separation

Array = npt.NDArray[Any]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """The label of every code and of every piece of background.

    Parameters
    ----------
    codes, grounds
        Numbering of the blocks' codes and pieces of background.
    code_label, ground_label
        Their labels; 0 is background.
    n_labels
        Objects in the sample.
    dropped
        Whether an object was too small.
    """

    codes: Numbering
    grounds: Numbering
    code_label: npt.NDArray[np.int32]
    ground_label: npt.NDArray[np.int32]
    n_labels: int
    dropped: bool

    def arrays(self) -> dict[str, Array]:
        """Return all as arrays to be written."""
        return {
            "codes": self.codes.offsets,
            "grounds": self.grounds.offsets,
            "code_label": self.code_label,
            "ground_label": self.ground_label,
            "n_labels": np.array(self.n_labels),
            "dropped": np.array(self.dropped),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> Labels:
        """Return what `arrays` were made from."""
        return cls(
            Numbering(arrays["codes"]),
            Numbering(arrays["grounds"]),
            arrays["code_label"],
            arrays["ground_label"],
            int(arrays["n_labels"]),
            bool(arrays["dropped"]),
        )


def number_labels(blocks: Blocks, load: Load, separation: Separation) -> Labels:
    """Join the records of all flooded blocks.

    Parameters
    ----------
    blocks
        All of the sample.
    load
        Returns the record of a block, see `flood_one`.
    separation
        Sizes, holes and connectivity.
    """
    names = ("size", "first", "ground_size", "ground_first", "ground_open")
    records = [_take(load(number), names) for number in range(len(blocks))]
    codes = Numbering.of(len(r["size"]) for r in records)
    grounds = Numbering.of(len(r["ground_size"]) for r in records)
    objects = resolve(blocks, load, codes)
    owner = np.zeros(grounds.total, np.int64)
    if separation.fill_holes:
        component = _join_grounds(blocks, load, grounds, separation.connectivity)
        is_open = _all(records, "ground_open")
        touched = _touched(blocks, load, grounds, codes)
        owner = _owners(component, is_open, touched, objects)
    every = np.concatenate([objects, owner])
    sizes = np.concatenate([_all(records, "size"), _all(records, "ground_size")])
    first = np.concatenate([_all(records, "first"), _all(records, "ground_first")])
    number = _number(every, sizes, first, separation.min_size)
    return Labels(
        codes,
        grounds,
        number[objects],
        number[owner],
        int(number.max(initial=0)),
        bool((number[every[(every > 0) & (sizes > 0)]] == 0).any()),
    )


def _take(record: Any, names: tuple[str, ...]) -> dict[str, Array]:
    empty = np.empty(0, np.int64)
    return {name: record.get(name, empty) for name in names}


def _all(records: list[dict[str, Array]], name: str) -> Index:
    return np.concatenate([record[name] for record in records]).astype(np.int64)


def _join_grounds(
    blocks: Blocks, load: Load, grounds: Numbering, connectivity: int
) -> Index:
    outside = len(blocks.shape) if connectivity == 1 else 1
    return join(blocks, load, "ground", numbering=grounds, connectivity=outside)


def _touched(
    blocks: Blocks, load: Load, grounds: Numbering, codes: Numbering | None
) -> Index:
    """Return the pairs (2, n) of background and what shares a face with it.

    Codes are numbered over all blocks; without a numbering they are labels.
    """

    def named(number: int, values: Array) -> Array:
        return values if codes is None else codes.number(number, values)

    pairs = [np.empty((2, 0), np.int64)]
    for number in range(len(blocks)):
        ground, code = load(number)["ground_touch"]
        pairs.append(np.stack([grounds.number(number, ground), named(number, code)]))
    for a, left, b, right in touching(blocks, load, ("ground", "code"), 1):
        pairs.append(np.stack([grounds.number(a, left), named(b, right)]))
    for a, left, b, right in touching(blocks, load, ("code", "ground"), 1):
        pairs.append(np.stack([grounds.number(b, right), named(a, left)]))
    return np.concatenate(pairs, axis=1)


def fill_again(
    blocks: Blocks, load: Load, separation: Separation
) -> tuple[Numbering, npt.NDArray[np.int32]]:
    """Return the label of every piece of background once small objects are dropped.

    Parameters
    ----------
    blocks
        All of the sample.
    load
        Returns what `survey_ground` says of the labels of a block.
    separation
        For its connectivity.
    """
    records = [_take(load(number), ("ground_open",)) for number in range(len(blocks))]
    grounds = Numbering.of(len(r["ground_open"]) for r in records)
    component = _join_grounds(blocks, load, grounds, separation.connectivity)
    touched = _touched(blocks, load, grounds, None)
    names = np.arange(int(touched[1].max(initial=0)) + 1)
    owner = _owners(component, _all(records, "ground_open"), touched, names)
    return grounds, owner.astype(np.int32)


def _owners(component: Index, is_open: Index, touched: Index, objects: Index) -> Index:
    """Return the object that encloses each piece of background, 0 for none."""
    n = int(component.max(initial=-1)) + 1
    closed = total(component, is_open, n) == 0
    ground, met = component[touched[0]], objects[touched[1]]
    lowest = least(ground, met, n)
    single = np.zeros(n, bool)
    single[ground] = True
    single[ground[met != lowest[ground]]] = False
    owner = np.where(closed & single, lowest, 0)
    return np.asarray(owner[component], np.int64)


def _number(
    objects: Index, sizes: Index, first: Index, min_size: int
) -> npt.NDArray[np.int32]:
    """Return the label of object 0, 1, ...: raster order of their first pixels."""
    n = int(objects.max(initial=0)) + 1
    pixels = total(objects, sizes, n)
    pixels[0] = 0
    wanted = np.flatnonzero((pixels > 0) & (pixels >= min_size))
    order = np.argsort(least(objects, first, n)[wanted])
    number = np.zeros(n, np.int32)
    number[wanted[order]] = np.arange(1, wanted.size + 1)
    return number
