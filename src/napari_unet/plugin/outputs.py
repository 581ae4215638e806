"""Outputs: the labels and probability layers of one image, filled as work goes on.

The arrays on screen belong to the window's thread: what a job finishes is copied in
here, so a preview that arrives late can never overwrite it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.outline import as_lists
from napari_unet.pipeline.held import empty_labels, held_part
from napari_unet.plugin.colours import Colours, ColourTable, table_of
from napari_unet.plugin.drawing import draw_box
from napari_unet.plugin.hand_edits import forget_history, is_edited, made_of
from napari_unet.plugin.layers import (
    KEY,
    find_output,
    full_pixels,
    output_name,
    put_layer,
)
from napari_unet.plugin.placement import screen_axes
from napari_unet.plugin.view import contains

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.pipeline.plan import Plan

Array = npt.NDArray[Any]
Sample = Mapping[str, int]
Box = tuple[slice, ...]

CELLS = "cells"
OPACITY = 0.6
REPLACED = (
    "Labels of another region were replaced; to keep both, duplicate the layer before "
    "the next run."
)
COLORMAPS = {"interior": "green", "distance": "green", "boundary": "magenta"}


def sample_key(sample: Sample) -> tuple[tuple[str, int], ...]:
    """Return a sample's position as a key."""
    return tuple(sorted(sample.items()))


class Outputs:
    """Layers that lie on their source.

    Labels that the user corrected by hand are left as they are, and shown no more:
    what comes then goes to a layer of its own.

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
    say
        Called with a sentence when labels are left.
    """

    def __init__(
        self,
        viewer: Any,
        source: Image,
        plan: Plan,
        probabilities: Array,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.viewer, self.source, self.plan = viewer, source, plan
        self.probabilities, self._say = probabilities, say
        self._tables: dict[Any, ColourTable] = {}
        self._n_final: dict[Any, int] = {}
        self._drawn = self._no_cells = table_of()
        self._n_provisional = 0
        self._shown: Any = None
        self.is_linked = bool(plan.separation.link)
        self.held = held_part(plan)
        self._placed: dict[str, Any] = {
            "axes": plan.axes.axes,
            "start": self.held.start,
        }
        names = plan.model.recipe.channels
        self._to_come = deque(zip(names, probabilities, strict=True))
        self.channels: list[Image] = []
        self.labels: Any = None

    def put_next(self) -> bool:
        """Add one more layer, the labels last; return whether all are there.

        Each takes napari a while, so the window should live between two.
        """
        while self._to_come:
            name, data = self._to_come.popleft()
            if name != "background":
                self.channels.append(self._put_channel(name, data))
                return False
        if self.labels is None:
            self.labels = self._put_labels()
            self.viewer.layers.selection.active = self.labels
        return True

    def finish_sample(self, sample: Sample, labels: Array, colours: Colours) -> None:
        """Show the labels of one sample."""
        self._leave_edited()
        self.held.labels(self.pixels, sample)[...] = labels
        forget_history(self.labels)
        self._tables[sample_key(sample)] = table_of(colours)
        self._n_final[sample_key(sample)] = len(colours) - 1
        if self._is_shown(sample):
            self.show_colours(sample)

    def preview(self, sample: Sample, box: Box, labels: Array) -> None:
        """Show labels of a box, with `provisional_numbers`."""
        self._leave_edited()
        self.held.labels(self.pixels, sample, box)[...] = labels
        if self._is_shown(sample):
            axes = self.held.axes
            spans = dict(zip(axes.spatial, self.held.within(box), strict=True))
            draw_box(self.labels, screen_axes(self.source, axes.axes), spans)

    def provisional_numbers(self, sample: Sample, colours: Colours) -> Array:
        """Return numbers of a preview's objects, such that they have these colours."""
        taken = self._n_provisional
        self._n_provisional += len(colours)
        return self._table(sample).numbers(colours, taken)

    def painted(self, sample: Sample, box: Box | None = None) -> Colours:
        """Return the colour of each pixel as it is now, of a box or of the area."""
        return self._table(sample).paint(self.held.labels(self.pixels, sample, box))

    def show_colours(self, sample: Sample) -> None:
        """Give the labels layer the colours of the sample that is looked at."""
        self._shown, table = sample_key(sample), self._table(sample)
        if table is not self._drawn:
            self._drawn = table
            self.labels.colormap = table.colormap()

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
    def pixels(self) -> Array:
        """Pixels of the labels, of the image's axes without C; a view."""
        found: Array = full_pixels(self.labels)
        return found

    @property
    def n_cells(self) -> int:
        """Cells over all samples; ids restart in each, unless they are linked."""
        counts = list(self._n_final.values())
        return max(counts, default=0) if self.is_linked else sum(counts)

    @property
    def is_complete(self) -> bool:
        """Whether the labels layer is still in the viewer."""
        return self.labels in self.viewer.layers

    def _table(self, sample: Sample) -> ColourTable:
        return self._tables.get(sample_key(sample), self._no_cells)

    def _is_shown(self, sample: Sample) -> bool:
        """Whether a change of the sample is seen: in 3-D all planes are."""
        is_deep = self.viewer.dims.ndisplay > 2
        return is_deep or self._shown in (None, sample_key(sample))

    def _leave_edited(self) -> None:
        """Go on in another layer if this one was corrected by hand."""
        left = self.labels
        if is_edited(left):
            self.labels = self._put_labels()
            made = {**made_of(left), "source": self.source.name}
            self.labels.metadata = {**self.labels.metadata, KEY: made}
            self.labels.colormap = self._drawn.colormap()

    def _put_labels(self) -> Labels:
        layers, left = self.viewer.layers, None
        if find_output(layers, self.source, CELLS) is None:
            left = find_output(layers, self.source, CELLS, edited=True)
        elif self._say is not None and self._replaces_another_region():
            self._say(REPLACED)
        layer = self._put_labels_layer()
        if left is not None:
            left.visible = False
            if self._say is not None:
                self._say(
                    f"{left.name} was corrected by hand: it is kept, hidden, and new "
                    f"labels are in {layer.name}."
                )
        return layer

    def _replaces_another_region(self) -> bool:
        """Whether labels that are shown now would not come back with this run."""
        shown = find_output(self.viewer.layers, self.source, CELLS)
        region = self.plan.options.region
        if shown is None or not region:
            return False
        made, outline = shown.metadata.get(KEY, {}), as_lists(self.plan.outline)
        before = made.get("region")
        if outline is not None and made.get("outline") != outline:
            return True
        return before is None or not contains(dict(region), before)

    def _put_labels_layer(self) -> Labels:
        zeros = empty_labels(self.held)
        colormap = self._no_cells.colormap()
        layer: Labels = put_layer(
            self.viewer,
            "labels",
            zeros,
            source=self.source,
            name=output_name(self.source.name, CELLS),
            opacity=OPACITY,
            colormap=colormap,
            metadata=self._metadata(CELLS),
            **self._placed,
        )
        if layer.colormap is not colormap:  # one of an earlier run
            layer.colormap = colormap
        return layer

    def _put_channel(self, name: str, data: Array) -> Image:
        top = float(np.iinfo(self.probabilities.dtype).max)
        return put_layer(
            self.viewer,
            "image",
            data,
            source=self.source,
            name=output_name(self.source.name, name),
            colormap=COLORMAPS.get(name, "cyan"),
            blending="additive",
            contrast_limits=(0.0, top),
            visible=False,
            metadata=self._metadata(name),
            **self._placed,
        )

    def _metadata(self, output: str) -> dict[str, Any]:
        made: dict[str, Any] = {"output": output}
        if region := self.plan.options.region:
            made["region"] = dict(region)
        if self.plan.outline is not None:
            made["outline"] = as_lists(self.plan.outline)
        of = self.plan.axes.labels_shape
        if self.held.shape == of:
            return {KEY: made}
        start = [self.held.start[axis] for axis in self.plan.axes.labels_axes]
        return {KEY: {**made, "part": {"start": start, "of": list(of)}}}
