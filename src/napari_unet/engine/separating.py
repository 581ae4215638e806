"""Separating stored probabilities block by block: the steps, and where they meet.

======  ===========  =========================================================
step    over         result
======  ===========  =========================================================
survey  each block   components of mask and seeds
join    all          `Objects`: what each component is in the sample
flood   each block   codes: objects, or pixels beyond the block
number  all          `Labels`: the label of every code
ground  each block   background that is left, if small objects were dropped
holes   all          what encloses it
labels  each block   labels
======  ===========  =========================================================
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.run_lengths import RunLengths, encode
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import faces
from napari_unet.engine.flooding import Block, flood_one
from napari_unet.engine.grounds import background, survey_ground
from napari_unet.engine.joining import Numbering
from napari_unet.engine.numbering import Labels, fill_again, number_labels
from napari_unet.engine.objects import Objects, find_objects
from napari_unet.engine.records import Records
from napari_unet.engine.survey import Task, survey_block

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class SampleSeparation:
    """The steps for one sample; records are kept in a folder between them.

    Parameters
    ----------
    blocks
        Of the sample.
    task
        How stored probabilities become objects.
    records
        Where the steps leave what they found.
    """

    blocks: Blocks
    task: Task
    records: Records

    @functools.cached_property
    def _objects(self) -> Objects:
        return Objects.from_arrays(self.records.read("join", 0))

    @functools.cached_property
    def _labels(self) -> Labels:
        return Labels.from_arrays(self.records.read("number", 0))

    @functools.cached_property
    def _holes(self) -> dict[str, Array]:
        return self.records.read("holes", 0)

    def survey(self, number: int, stored: Array, **facts: Array) -> None:
        """First step for one block, given its probabilities (C, ...); notes `facts`."""
        found = survey_block(stored, self.task, self.blocks, number)
        self.records.write("survey", number, {**found, **facts})

    def join(self) -> None:
        """Second step, over all blocks."""
        load = functools.partial(self.records.read, "survey")
        objects = find_objects(self.blocks, load, self.task.separation)
        self.records.write("join", 0, objects.arrays())

    def flood(self, number: int, stored: Array) -> None:
        """Third step for one block, given its probabilities (C, ...)."""
        cached = functools.lru_cache(64)(functools.partial(self.records.read, "survey"))
        block = Block(self.blocks, number, cached, self._objects, self.task)
        codes, record = flood_one(block, stored)
        runs = encode(codes)
        kept = {"values": runs.values, "lengths": runs.lengths}
        self.records.write("codes", number, kept)
        self.records.write("flood", number, record)

    def number(self) -> int:
        """Fourth step, over all blocks; return the number of objects."""
        load = functools.partial(self.records.read, "flood")
        labels = number_labels(self.blocks, load, self.task.separation)
        self.records.write("number", 0, labels.arrays())
        return labels.n_labels

    def ground(self, number: int) -> None:
        """Fifth step for one block: a dropped speck may have left a hole."""
        labels = self._labels
        found: dict[str, Array] = {}
        if labels.dropped and self.task.separation.fill_holes:
            values = self._numbered(labels, number)
            connectivity = self.task.separation.connectivity
            found = survey_ground(values, self.blocks, number, connectivity)
            found |= faces("code", values)
        self.records.write("ground", number, found)

    def holes(self) -> None:
        """Sixth step, over all blocks."""
        labels = self._labels
        found: dict[str, Array] = {}
        if labels.dropped and self.task.separation.fill_holes:
            load = functools.partial(self.records.read, "ground")
            grounds, label = fill_again(self.blocks, load, self.task.separation)
            found = {"grounds": grounds.offsets, "label": label}
        self.records.write("holes", 0, found)

    def labels(self, number: int) -> npt.NDArray[np.int32]:
        """Last step for one block: return its labels."""
        values = self._numbered(self._labels, number)
        if self._holes:
            part = Numbering(self._holes["grounds"]).of_block(number)
            values = self._filled(values, self._holes["label"][part])
        return values

    def _numbered(self, found: Labels, number: int) -> npt.NDArray[np.int32]:
        codes = self._codes(number)
        part = found.code_label[found.codes.of_block(number)]
        labels = np.concatenate([np.zeros(1, np.int32), part])[codes]
        if not self.task.separation.fill_holes:
            return np.asarray(labels, np.int32)
        ground = background(codes, self.task.separation.connectivity)
        owner = found.ground_label[found.grounds.of_block(number)]
        return np.asarray(_given(labels, ground, owner), np.int32)

    def _codes(self, number: int) -> npt.NDArray[np.int32]:
        runs = self.records.read("codes", number)
        shape = self.blocks.block_shape(number)
        codes = RunLengths(runs["values"], runs["lengths"], shape, np.dtype(np.int32))
        return np.asarray(codes.decode())

    def _filled(self, labels: Array, owner: Array) -> npt.NDArray[np.int32]:
        ground = background(labels, self.task.separation.connectivity)
        return np.asarray(_given(labels, ground, owner), np.int32)


def _given(labels: Array, ground: Array, owner: Array) -> Array:
    """Give each piece of background, numbered from 1, to its owner."""
    return np.asarray(labels + np.concatenate([np.zeros(1, np.int32), owner])[ground])


def separate_blocks(
    stored: Array, steps: SampleSeparation
) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[np.int32]]]:
    """Run all steps one after the other, and yield the labels of each block.

    Parameters
    ----------
    stored
        Probabilities (C, ...) of one sample; may be on disk, sliced block by block.
    steps
        What to do.
    """
    blocks = steps.blocks
    regions = [(slice(None), *blocks.region(n)) for n in range(len(blocks))]
    for number, region in enumerate(regions):
        steps.survey(number, np.asarray(stored[region]))
    steps.join()
    for number, region in enumerate(regions):
        steps.flood(number, np.asarray(stored[region]))
    steps.number()
    for number in range(len(blocks)):
        steps.ground(number)
    steps.holes()
    for number in range(len(blocks)):
        yield blocks.region(number), steps.labels(number)
