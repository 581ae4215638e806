"""The forest between blocks: which object hangs on which pixel of another block.

A block leaves some pixels hanging on a pixel just beyond it (`core.block_forest`). Most
chains of such links end at an object. Where two blocks hang on each other, a minimum of
the surface lies across their face: it is joined to its surroundings by the lightest
edges, as within a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.components import compiled, find_root
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import Load
from napari_unet.engine.joining import Numbering, unite

Array = npt.NDArray[Any]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Things that hang together: objects of the sample, and pixels beyond a block.

    `block` and `pixel` are ordered pairs, each a node; `n_objects` nodes come first.
    """

    n_objects: int
    block: Index
    pixel: Index

    def find(self, block: int, values: Index) -> Index:
        """Return the node of each value: an object, or minus (1 + pixel)."""
        first, last = np.searchsorted(self.block, [block, block + 1])
        at = first + np.searchsorted(self.pixel[first:last], -1 - values)
        return np.where(values > 0, values - 1, self.n_objects + at)


def resolve(blocks: Blocks, load: Load, codes: Numbering) -> Index:
    """Return the object of each code of each block.

    Parameters
    ----------
    blocks, load
        All blocks of the sample, and how to read the record of one, see `flood_one`.
    codes
        Numbering of the blocks' codes.
    """
    objects = np.empty(codes.total, np.int64)
    hanging = [np.empty((2, 0), np.int64)]
    for number in range(len(blocks)):
        record = load(number)
        objects[codes.of_block(number)] = record["object"]
        hanging.append(_hanging(record, number))
    pairs = np.unique(np.concatenate(hanging, axis=1), axis=1)
    if not pairs.size:
        return objects
    nodes = _Nodes(int(objects.max(initial=0)), pairs[0], pairs[1])
    root = _follow(blocks, load, nodes)
    label = _labels(root, nodes.n_objects)
    if (label[root[nodes.n_objects :]] == 0).any():
        _span(blocks, load, nodes, root=root, label=label)
    for number in range(len(blocks)):
        part = objects[codes.of_block(number)]
        part[...] = label[root[nodes.find(number, part)]] if part.size else part
    return objects


def _hanging(record: Any, number: int) -> Index:
    """Return (2, n): the block and each pixel beyond it that its record names."""
    named = [record[name] for name in ("object", "edge_first", "edge_second")]
    beyond = np.unique(np.concatenate(named))
    pixels = -1 - beyond[beyond < 0]
    return np.stack([np.full_like(pixels, number), pixels])


def _follow(blocks: Blocks, load: Load, nodes: _Nodes) -> Index:
    """Unite each node beyond a block with what its own block made of the pixel."""
    at = np.unravel_index(nodes.pixel, blocks.shape)
    position = [axis // size for axis, size in zip(at, blocks.size, strict=True)]
    home = np.ravel_multi_index(position, blocks.counts)
    target = np.empty(nodes.pixel.size, np.int64)
    for number in np.unique(home):
        record = load(int(number))
        here = home == number
        found = np.searchsorted(record["shell_at"], nodes.pixel[here])
        target[here] = nodes.find(int(number), record["shell_object"][found])
    own = nodes.n_objects + np.arange(nodes.pixel.size)
    return unite(np.stack([own, target]), nodes.n_objects + nodes.pixel.size)


def _labels(root: Index, n_objects: int) -> Index:
    """Return the object of each group of nodes, 0 if it has none."""
    label = np.zeros(int(root.max()) + 1, np.int64)
    label[root[:n_objects]] = np.arange(n_objects) + 1
    return label


def _span(
    blocks: Blocks, load: Load, nodes: _Nodes, *, root: Index, label: Index
) -> None:
    """Give the groups without an object theirs, in place, by Kruskal's algorithm."""
    edges = [np.empty((6, 0), np.int64)]
    for number in range(len(blocks)):
        record = load(number)
        ends = [
            root[nodes.find(number, record[name])]
            for name in ("edge_first", "edge_second")
        ]
        keys = [
            -record["edge_later"],
            record["edge_later_at"],
            -record["edge_earlier"],
            record["edge_earlier_at"],
        ]
        useful = (ends[0] != ends[1]) & ((label[ends[0]] == 0) | (label[ends[1]] == 0))
        edges.append(np.stack([*keys, *ends])[:, useful])
    every = np.concatenate(edges, axis=1)
    first, second = every[4:, np.lexsort(every[3::-1])]
    _unite_in_order(first, second, label)


@compiled
def _unite_in_order(first: Index, second: Index, label: Index) -> None:
    """Unite groups over edges, the lightest first; two labelled ones never meet."""
    parent = np.arange(label.size).astype(np.int32)
    for i in range(first.size):
        a, b = find_root(parent, first[i]), find_root(parent, second[i])
        if a != b and (label[a] == 0 or label[b] == 0):
            parent[b] = a
            label[a] = max(label[a], label[b])
    for i in range(label.size):
        label[i] = label[find_root(parent, i)]
