"""Joining: components of single blocks become those of the whole sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import Load, touching

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Numbering:
    """One number for each thing that blocks count from 1.

    Parameters
    ----------
    offsets
        (blocks + 1); thing `i` of block `b` has the number ``offsets[b] + i - 1``.
    """

    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, counts: Iterable[int]) -> Numbering:
        """Number things, given how many each block has."""
        return cls(np.concatenate([[0], np.cumsum(list(counts))]).astype(np.int64))

    @property
    def total(self) -> int:
        """Things in all blocks."""
        return int(self.offsets[-1])

    def of_block(self, number: int) -> slice:
        """Return where the things of one block lie in an array of all."""
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))

    def number(self, block: int, things: Array) -> npt.NDArray[np.int64]:
        """Return the numbers of `things` of a block, counted there from 1."""
        return np.asarray(things + (self.offsets[block] - 1), np.int64)


def join(
    blocks: Blocks, load: Load, name: str, *, numbering: Numbering, connectivity: int
) -> npt.NDArray[np.int64]:
    """Return the component of the sample, from 0, that each block's component is in.

    Parameters
    ----------
    blocks, load
        All blocks and how to read their records.
    name
        What the faces show.
    numbering
        Of the blocks' components.
    connectivity
        Which pixels are neighbours.
    """
    pairs = [np.empty((2, 0), np.int64)]
    for a, left, b, right in touching(blocks, load, (name, name), connectivity):
        pairs.append(np.stack([numbering.number(a, left), numbering.number(b, right)]))
    return unite(np.concatenate(pairs, axis=1), numbering.total)


def unite(pairs: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Return the connected component, from 0, of each of `n` nodes."""
    ones = np.ones(pairs.shape[1], bool)
    graph = coo_array((ones, (pairs[0], pairs[1])), shape=(n, n))
    _, found = connected_components(graph, directed=False)
    return np.asarray(found, np.int64)


def total(groups: Array, values: Array, n: int) -> npt.NDArray[np.int64]:
    """Return the sum of `values` per group."""
    result = np.zeros(n, np.int64)
    np.add.at(result, groups, values)
    return result


def least(groups: Array, values: Array, n: int) -> npt.NDArray[np.int64]:
    """Return the smallest of `values` per group; the largest integer for none."""
    result = np.full(n, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(result, groups, values)
    return result
