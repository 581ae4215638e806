"""Outputs: the labels and probability layers of one image, filled as work goes on.

The arrays on screen belong to the window's thread: what a job finishes is copied in
here, so a preview that arrives late can never overwrite it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.plugin.colours import (
    Colours,
    label_colormap,
    paint,
    preview_labels,
)
from napari_unet.plugin.layers import KEY, output_name, placement, put_layer

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.pipeline.plan import Plan

Array = npt.NDArray[Any]
Sample = Mapping[str, int]
Box = tuple[slice, ...]

CELLS = "cells"
OPACITY = 0.6
COLORMAPS = {"interior": "green", "distance": "green", "boundary": "magenta"}


def sample_key(sample: Sample) -> tuple[tuple[str, int], ...]:
    """Return a sample's position as a key."""
    return tuple(sorted(sample.items()))


class Outputs:
    """Layers that lie on their source.

    Parameters
    ----------
    viewer
        napari's.
    source
        The image layer.
    plan
        How it is segmented.
    probabilities
        Fixed point, C first; shown as it is, one layer a channel.
    """

    def __init__(
        self, viewer: Any, source: Image, plan: Plan, probabilities: Array
    ) -> None:
        self.viewer, self.source, self.plan = viewer, source, plan
        self.probabilities = probabilities
        self._tables: dict[Any, Colours] = {}
        self._n_final: dict[Any, int] = {}
        self.is_linked = bool(plan.separation.link)
        self._placed = placement(source, plan.axes.axes)
        self.channels = self._put_channels()
        self.labels = self._put_labels()
        viewer.layers.selection.active = self.labels

    def finish_sample(self, sample: Sample, labels: Array, colours: Colours) -> None:
        """Show the labels of one sample."""
        self.plan.axes.labels_view(self.labels.data, sample)[...] = labels
        self._tables[sample_key(sample)] = colours
        self._n_final[sample_key(sample)] = len(colours)
        self.show_colours(sample)

    def preview(
        self, sample: Sample, box: Box, labels: Array, colours: Colours
    ) -> None:
        """Show labels of a box; their numbers are provisional, their colours stay."""
        table = self._final_table(sample)
        offset = len(table) - 1
        view = self.plan.axes.labels_view(self.labels.data, sample)
        view[box] = preview_labels(labels, offset)
        self._tables[sample_key(sample)] = np.concatenate([table, colours[1:]])
        self.show_colours(sample)

    def painted(self, sample: Sample, box: Box = ()) -> Colours:
        """Return the colour of each pixel as it is now."""
        view = self.plan.axes.labels_view(self.labels.data, sample)[box]
        table = self._tables.get(sample_key(sample), np.zeros(1, np.uint8))
        return paint(table, np.clip(view, 0, len(table) - 1))

    def show_colours(self, sample: Sample) -> None:
        """Give the labels layer the colours of the sample that is looked at."""
        table = self._tables.get(sample_key(sample))
        if table is not None:
            self.labels.colormap = label_colormap(table)

    def refresh_channels(self) -> None:
        """Draw the probabilities again, where they are visible."""
        for layer in self.channels:
            if layer.visible:
                layer.refresh(extent=False, thumbnail=False)

    def show_probabilities(self, visible: bool) -> None:
        """Show or hide the probability layers."""
        for layer in self.channels:
            layer.visible = visible

    def record(self, provenance: dict[str, Any]) -> None:
        """Write how the outputs were made into their metadata."""
        for layer in (self.labels, *self.channels):
            made = layer.metadata.get(KEY, {})
            layer.metadata = {**layer.metadata, KEY: {**made, **provenance}}

    @property
    def n_cells(self) -> int:
        """Cells over all samples; ids restart in each, unless they are linked."""
        counts = [n - 1 for n in self._n_final.values()]
        return max(counts, default=0) if self.is_linked else sum(counts)

    @property
    def is_complete(self) -> bool:
        """Whether the labels layer is still in the viewer."""
        return self.labels in self.viewer.layers

    def _final_table(self, sample: Sample) -> Colours:
        """Return the colours of the final labels, without those of a preview."""
        table = self._tables.get(sample_key(sample), np.zeros(1, np.uint8))
        return table[: self._n_final.get(sample_key(sample), 1)]

    def _put_labels(self) -> Labels:
        zeros = np.zeros(self.plan.axes.labels_shape, np.int32)
        return put_layer(
            self.viewer,
            "labels",
            zeros,
            name=output_name(self.source.name, CELLS),
            opacity=OPACITY,
            metadata=self._metadata(CELLS),
            **self._placed,
        )

    def _put_channels(self) -> list[Image]:
        layers = []
        names = self.plan.model.recipe.channels
        top = float(np.iinfo(self.probabilities.dtype).max)
        for name, data in zip(names, self.probabilities, strict=True):
            if name == "background":
                continue
            layer = put_layer(
                self.viewer,
                "image",
                data,
                name=output_name(self.source.name, name),
                colormap=COLORMAPS.get(name, "cyan"),
                blending="additive",
                contrast_limits=(0.0, top),
                visible=False,
                metadata=self._metadata(name),
                **self._placed,
            )
            layers.append(layer)
        return layers

    def _metadata(self, output: str) -> dict[str, Any]:
        return {KEY: {"source": self.source.name, "output": output}}
