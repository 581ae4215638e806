"""The work on one image: its steps, what is done of them, and how each is done.

A sample that fits into one block takes one step, the same code as in memory. A larger
one takes those of `engine.separating`. Each step leaves a record when it is complete.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.core.normalize import IntensityRange
from napari_unet.core.pixel_size import spatial_pixel_size
from napari_unet.core.processing import Processing
from napari_unet.core.resample import inverse
from napari_unet.engine.blocks import Blocks, Region, chunk_shape, plan_blocks
from napari_unet.engine.devices import open_backend
from napari_unet.engine.items import (
    NETWORK,
    OVER_ALL,
    SEPARATION_STEPS,
    WHOLE,
    WRITTEN,
    Item,
)
from napari_unet.engine.job import Job
from napari_unet.engine.journal import Journal
from napari_unet.engine.output import told
from napari_unet.engine.prediction import Window, predict_region, resampled_region
from napari_unet.engine.previews import write_preview
from napari_unet.engine.records import Records, as_text, from_text
from napari_unet.engine.separating import SampleSeparation
from napari_unet.engine.stores import Layout, Store, fill_level
from napari_unet.engine.survey import Task
from napari_unet.errors import DeviceError, DeviceFullError, ImageFileError
from napari_unet.pipeline.local import LocalBackend
from napari_unet.pipeline.outlined import kept_by
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.reading import Intensity, Source
from napari_unet.pipeline.separating import INSTANCE_CHANNELS, separate_sample

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Work:
    """All that can be done on one image.

    Parameters
    ----------
    job
        What was asked for.
    plan
        Made from it.
    """

    job: Job
    plan: Plan

    @functools.cached_property
    def samples(self) -> list[dict[str, int]]:
        """Position of each sample."""
        return list(self.plan.axes.samples())

    @functools.cached_property
    def blocks(self) -> Blocks:
        """Blocks of the image."""
        shape, block = self.plan.axes.spatial_shape, self.job.block
        grid = None if self.plan.resampling else self.plan.grid
        return plan_blocks(shape, block, grid=grid)

    @functools.cached_property
    def network_blocks(self) -> Blocks:
        """Blocks of the resampled image, which the network sees."""
        grid = self.plan.grid
        return plan_blocks(grid.shape, self.job.block, grid=grid)

    @functools.cached_property
    def journal(self) -> Journal:
        """Of the output."""
        return Journal(self.job.output)

    @functools.cached_property
    def store(self) -> Store:
        """The output."""
        plan = self.plan
        sizes = spatial_pixel_size(plan.options.pixel_size, plan.axes.spatial) or ()
        layout = Layout(
            axes=plan.axes,
            channels=plan.model.recipe.channels,
            stored=plan.options.prediction.stored,
            chunk=chunk_shape(self.blocks),
            keep_probabilities=self.job.keep_probabilities,
            pixel_size=dict(zip(plan.axes.spatial, sizes, strict=False)),
            # Volumes that were linked over Z are then linked over T as a whole.
            link="".join(sorted(plan.separation.link, reverse=True)),
        )
        return Store(self.job.output, layout)

    @functools.cached_property
    def has_objects(self) -> bool:
        """Whether labels are objects, and not classes."""
        known = INSTANCE_CHANNELS.issuperset(self.plan.model.recipe.channels)
        return known and not self.plan.semantic

    @functools.cached_property
    def ranges(self) -> list[Intensity]:
        """Intensity of each sample, as measured before the first block."""
        found = self.journal.records(-1).read("intensity", 0)["json"]
        return [self._intensity(row) for row in json.loads(as_text(found))]

    @property
    def plain_ranges(self) -> list[dict[str, Any]]:
        """The same as JSON."""
        return [_plain(found) for found in self.ranges]

    def _intensity(self, row: dict[str, Any]) -> Intensity:
        if "numbers" not in row:
            return IntensityRange(
                tuple(row["low"]), tuple(row["high"]), row["n_invalid"]
            )
        numbers = tuple(tuple(map(tuple, step)) for step in row["numbers"])
        return Processing(self.plan.steps, numbers, row["n_invalid"])

    @property
    def steps(self) -> list[str]:
        """The steps of every sample, in order."""
        first = [NETWORK] if self.plan.resampling else []
        if len(self.blocks) == 1:
            return [*first, WHOLE]
        if not self.has_objects:
            return [*first, "classes"]
        return [*first, *SEPARATION_STEPS]

    def items(self, step: str) -> list[Item]:
        """Return all that a step consists of."""
        n = dict.fromkeys(OVER_ALL, 1) | {NETWORK: len(self.network_blocks)}
        count = n.get(step, len(self.blocks))
        samples = range(len(self.samples))
        return [Item(step, s, b) for s in samples for b in range(count)]

    def records(self, sample: int) -> Records:
        """Return the records of a sample."""
        return self.journal.records(sample)

    def is_done(self, item: Item) -> bool:
        """Whether the record of an item is there, and what it speaks of as well."""
        records = self.records(item.sample)
        if not records.has(item.step, item.block):
            return False
        if item.step == "flood":
            return records.has("codes", item.block)
        return all(
            records.number(item.step, item.block, f"{what}_bytes")
            == (self._bytes(item, what) or -1)
            for what in WRITTEN.get(item.step, ())
        )

    def do(self, item: Item) -> None:
        """Do one item.

        Raises
        ------
        ImageFileError
            If the image cannot be read any more, or the output not written.
        DeviceError
            If a tile does not fit into the device's memory.
        """
        torch.set_num_threads(self.job.threads)
        try:
            with told(self.job.output):
                getattr(self, f"_{item.step}")(item)
        except DeviceFullError as error:
            raise DeviceError(
                f"{error.problem} A tile of {self.plan.grid.tile} does not fit.",
                "Choose a smaller tile or memory budget, or fewer workers.",
            ) from error

    def measure(self) -> None:
        """Measure intensities, unless that is done."""
        records = self.records(-1)
        if not records.has("intensity", 0):
            source = Source(self.plan)
            rows = [_plain(source.intensity(sample)) for sample in self.samples]
            records.write("intensity", 0, {"json": from_text(json.dumps(rows))})

    @functools.cached_property
    def _backend(self) -> LocalBackend:
        return open_backend(self.job, self.records(-1))

    @functools.cached_property
    def _source(self) -> Source:
        return Source(
            self.plan, _ranges=dict(zip(self._keys(), self.ranges, strict=True))
        )

    def _keys(self) -> list[object]:
        """Return what `Source` calls each sample."""
        if self.plan.steps:
            return [frozenset(sample.items()) for sample in self.samples]
        joint = self.plan.normalization.joint_frames
        return [0 if joint else sample.get("T", 0) for sample in self.samples]

    @functools.cached_property
    def _separation(self) -> Callable[[int], SampleSeparation]:
        task = Task(self.plan.model.recipe.channels, self.plan.separation)
        # What was read for one block of a sample serves the next one.
        return functools.lru_cache(1)(
            lambda sample: SampleSeparation(self.blocks, task, self.records(sample))
        )

    def _empty(self, region: Region) -> Array:
        """Return probabilities of a region that are still to be found."""
        shape = tuple(part.stop - part.start for part in region)
        n_channels = len(self.plan.model.recipe.channels)
        return np.zeros((n_channels, *shape), self.plan.options.prediction.stored)

    def _predict(self, sample: int, out: Window) -> None:
        """Run the network over a region of what it sees."""
        reader = self._source.normalised(self.samples[sample])
        predict_region(self._backend, self.plan, reader, out)

    def _network(self, item: Item) -> None:
        region = self.network_blocks.region(item.block)
        found = self._empty(region)
        self._predict(item.sample, Window(found, region))
        self.store.scratch(NETWORK)[(item.sample, slice(None), *region)] = found
        self._done(item)

    def _probabilities(self, item: Item) -> Array:
        """Find and store the probabilities of a block."""
        region = self.blocks.region(item.block)
        found = self._empty(region)
        kept = kept_by(self.plan, found, tuple(part.start for part in region))
        if self.plan.resampling is None:
            self._predict(item.sample, Window(kept, region))
        else:
            array = self.store.scratch(NETWORK)
            kept[...] = resampled_region(
                lambda r: np.asarray(array[(item.sample, slice(None), *r)]),
                inverse(self.plan.resampling),
                region,
                found.dtype,
            )
        self.store.write_probabilities(self.samples[item.sample], region, found)
        return found

    def _write(self, item: Item, labels: Array) -> None:
        region = self.blocks.region(item.block)
        self.store.write_labels(self.samples[item.sample], region, labels)
        self._done(item, n_labels=np.array(labels.max(initial=0)), **self._sizes(item))

    def _bytes(self, item: Item, what: str) -> int | None:
        """Return the bytes on disk of what is stored of a block."""
        region = self.blocks.region(item.block)
        return self.store.stored_bytes(what, self.samples[item.sample], region)

    def _sizes(self, item: Item) -> dict[str, Array]:
        """Return what an item's record says of its files, to see if one is cut off."""
        return {
            f"{what}_bytes": np.array(self._bytes(item, what) or 0)
            for what in WRITTEN.get(item.step, ())
        }

    def _done(self, item: Item, **facts: Array) -> None:
        self.records(item.sample).write(item.step, item.block, facts)

    def _whole(self, item: Item) -> None:
        stored = self._probabilities(item)
        plan = self.plan
        names = plan.model.recipe.channels
        labels = separate_sample(stored, names, plan.separation, semantic=plan.semantic)
        self._write(item, labels)

    _classes = _whole

    def _survey(self, item: Item) -> None:
        stored = self._probabilities(item)
        steps = self._separation(item.sample)
        steps.survey(item.block, stored, **self._sizes(item))
        if self.job.preview and not steps.records.has("labels", item.block):
            plan, sample = self.plan, self.samples[item.sample]
            labels = separate_sample(
                stored, plan.model.recipe.channels, plan.separation, semantic=False
            )
            write_preview(self.store, sample, self.blocks.region(item.block), labels)

    def _level(self, item: Item) -> None:
        fill_level(self.store.groups[item.what], item.sample, item.block)

    def _join(self, item: Item) -> None:
        self._separation(item.sample).join()

    def _flood(self, item: Item) -> None:
        self._separation(item.sample).flood(item.block, self._stored(item))

    def _stored(self, item: Item) -> Array:
        """Read the probabilities of a block; a file that is not there is no zeros."""
        sample, region = self.samples[item.sample], self.blocks.region(item.block)
        with contextlib.suppress(RuntimeError, ValueError):  # of a wrong checksum
            if self.is_done(Item("survey", item.sample, item.block)):
                return self.store.read_probabilities(sample, region)
        self.records(item.sample).remove("survey", item.block)
        raise ImageFileError(
            f"Stored probabilities of {self.job.output.name} are damaged or not there.",
            "Repeat the command with --resume: they are computed again.",
        )

    def _number(self, item: Item) -> None:
        self._separation(item.sample).number()

    def _ground(self, item: Item) -> None:
        self._separation(item.sample).ground(item.block)

    def _holes(self, item: Item) -> None:
        self._separation(item.sample).holes()

    def _labels(self, item: Item) -> None:
        self._write(item, self._separation(item.sample).labels(item.block))


def _plain(found: Intensity) -> dict[str, Any]:
    """Return an intensity as JSON; floats come back as they were."""
    if isinstance(found, Processing):
        return {"numbers": found.numbers, "n_invalid": found.n_invalid}
    return {"low": found.low, "high": found.high, "n_invalid": found.n_invalid}
