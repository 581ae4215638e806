"""Annotate next: the camera goes where the network knows least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.core.uncertainty import Box, Region, rank_regions
from napari_unet.errors import SettingsError
from napari_unet.plugin.annotated import annotated_mask
from napari_unet.plugin.camera import look_at
from napari_unet.plugin.hand_edits import behind_proxy
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.layers import (
    KEY,
    finest,
    full_pixels,
    is_output,
    onto_layer,
    part_of,
    pixels_like,
    source_of,
)
from napari_unet.plugin.thin_axes import order_between

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

SHARE = 0.8


class AnnotateNext(QObject):
    """Walks through the most uncertain regions of an image, each once.

    `moved` carries the `Region` that is looked at now, `failed` why there is none.
    """

    moved = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._seen: WeakKeyDictionary[Any, list[Box]] = WeakKeyDictionary()
        self._layer: Any = None
        self._job = Job(self)
        self._job.done.connect(self._on_ranked)
        self._job.failed.connect(self.failed)

    def next(self, image: Image, labels: Labels, shapes: Shapes | None) -> None:
        """Look at the most uncertain region that was not looked at.

        Parameters
        ----------
        image
            Whose probabilities are ranked; *Segment* has left them as layers.
        labels
            Where it is annotated.
        shapes
            Around what is annotated; None: only labelled pixels are known.
        """
        channels = self._channels(image, labels)
        if not channels:
            self.failed.emit(
                SettingsError(
                    f"There are no probabilities of {image.name}.",
                    "Run Segment on all of it first: they rank what to annotate.",
                )
            )
            return
        self._layer = labels
        inside = None if shapes is None else annotated_mask(shapes, labels)

        def ranked() -> list[Region]:
            known = np.asarray(full_pixels(labels)) != 0
            if inside is not None:
                known |= inside
            return rank_regions(np.stack(channels), known=known)

        self._job.start(once(ranked))

    def cancel(self) -> None:
        """Forget what is being ranked."""
        self._job.cancel()

    def _channels(self, image: Image, labels: Labels) -> list[Any]:
        """Return the probabilities of all that is annotated, in fixed point.

        Each channel once: a copy that the user keeps of one counts where that is gone.
        """
        found: dict[Any, Any] = {}
        shape = full_pixels(labels).shape
        for layer in self._viewer.layers:
            made = layer.metadata.get(KEY, {})
            stored = np.dtype(layer.dtype) in (np.uint8, np.uint16)
            image_layer = type(layer).__name__ == "Image"
            stored = stored and order_between(finest(layer).shape, shape) is not None
            stored = stored and part_of(layer) == part_of(labels)
            if not made or not image_layer or not stored:
                continue
            source = source_of(layer, self._viewer.layers)
            if source is not None and behind_proxy(source) is behind_proxy(image):
                what = made.get("output")
                if what not in found or is_output(layer):
                    found[what] = pixels_like(layer, shape)
        return [np.asarray(pixels) for pixels in found.values()]

    def _on_ranked(self, regions: list[Region]) -> None:
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            return
        seen = self._seen.setdefault(behind_proxy(layer), [])
        fresh = next((r for r in regions if r.box not in seen), None)
        if fresh is None:
            self._seen.pop(behind_proxy(layer))
            self.failed.emit(
                SettingsError("Every region has been looked at.", "Press it again.")
            )
            return
        seen.append(fresh.box)
        ends = tuple(np.array([part.start, part.stop - 1]) for part in fresh.box)
        places = onto_layer(layer, ends, full_pixels(layer).shape)
        look_at(self._viewer, layer, places, share=SHARE)
        self._viewer.layers.selection.active = layer
        self.moved.emit(fresh)
