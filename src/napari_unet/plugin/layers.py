"""Layers: a napari layer as the pipeline sees it, and outputs that lie on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np

from napari_unet.core.axes import AXES, ArrayLike, guess_axes
from napari_unet.errors import AxesError
from napari_unet.io.units import micrometres
from napari_unet.plugin.corrections import corrected_axes
from napari_unet.plugin.hand_edits import KEY as KEY
from napari_unet.plugin.hand_edits import (
    behind_proxy,
    forget_history,
    is_edited,
    note_edits,
)
from napari_unet.plugin.placement import on_screen, placement, screen_axes
from napari_unet.plugin.thin_axes import (
    Order,
    arranged,
    brought_back,
    order_between,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

# The output of a training that is still going on.
PREVIEW = "training"

# In the metadata of an output: its axis that the work does not know; see `placement`.
CHANNELS = "channel_axis"

# Layers that `put_layer` added, and what they were made of; a copy has their metadata.
_OUTPUTS: WeakKeyDictionary[Any, ReferenceType[Any]] = WeakKeyDictionary()

_NAMES = {
    "T": ("t", "time", "frame", "frames"),
    "C": ("c", "channel", "channels"),
    "Z": ("z", "depth", "plane", "slice"),
    "Y": ("y", "row", "rows"),
    "X": ("x", "column", "columns"),
}


@dataclass(frozen=True, eq=False)
class LayerImage:
    """An image layer as the pipeline sees it.

    Parameters
    ----------
    data
        Level 0; lazy arrays stay lazy.
    axes
        As a user corrected them, from the layer's axis labels, or guessed.
    axes_known
        Whether they are not guessed.
    rgb
        Whether the last axis holds colour samples.
    pixel_size
        Micrometres by axis letter, where units or a scale other than 1 tell.
    """

    data: ArrayLike
    axes: str
    axes_known: bool
    rgb: bool
    pixel_size: dict[str, float]

    @property
    def n_channels(self) -> int:
        """Size along C; 1 if there is none."""
        at = self.axes.find("C")
        return int(self.data.shape[at]) if 0 <= at < len(self.data.shape) else 1


def read_layer(layer: Image, axes: str | None = None) -> LayerImage:
    """Return what a layer holds; no pixel is read.

    Parameters
    ----------
    layer
        Any image layer: NumPy, dask, zarr, multiscale, RGB.
    axes
        In place of those that are known; None: as corrected before, else as the axis
        labels say, else guessed.
    """
    data = finest(layer)
    known = axes or corrected_axes(layer) or _labelled_axes(layer)
    letters = (known or _guess(tuple(data.shape), rgb=layer.rgb)).upper()
    sizes = _pixel_sizes(layer, letters)
    return LayerImage(data, letters, bool(known), layer.rgb, sizes)


def _labelled_axes(layer: Image) -> str:
    """Return the axes that the layer's labels name; empty if they do not."""
    letters = [_letter(label) for label in layer.axis_labels]
    found = "".join(letters) + "C" * layer.rgb
    complete = all(letters) and len(set(found)) == len(found)
    return found if complete and {"Y", "X"} <= set(found) else ""


def _letter(label: str) -> str:
    name = label.strip().lower()
    return next((axis for axis, names in _NAMES.items() if name in names), "")


def _guess(shape: tuple[int, ...], *, rgb: bool) -> str:
    try:
        return guess_axes(shape, rgb=rgb)
    except AxesError:
        n = len(shape) - rgb
        return AXES[-n:] + "C" * rgb if n <= len(AXES) else ""


def _pixel_sizes(layer: Image, axes: str) -> dict[str, float]:
    """Return micrometres per pixel of the spatial axes that are known."""
    sizes = {}
    for axis, scale, unit in zip(axes, layer.scale, layer.units, strict=False):
        name = str(unit)
        size = micrometres(float(scale), "" if name == "pixel" else name)
        if axis in "ZYX" and size is not None:
            sizes[axis] = size
    return sizes


def part_of(layer: Layer) -> dict[str, Any] | None:
    """Return where a cropped output begins, and in what shape; None: it is whole."""
    made: dict[str, Any] = layer.metadata.get(KEY, {})
    return made.get("part")


def part_under(image: LayerImage, name: str, labels: Labels) -> tuple[slice, ...]:
    """Return the part of an image that a labels layer lies on, a slice per axis.

    Parameters
    ----------
    image, name
        An image, and how it is called.
    labels
        Of its shape without C, or of a part of that, as *Segment* leaves it; axes of
        length 1 may be there or not.

    Raises
    ------
    AxesError
        If the labels are those of another image.
    """
    kept = [i for i, axis in enumerate(image.axes) if axis != "C"]
    sizes, shape = [image.data.shape[i] for i in kept], full_pixels(labels).shape
    part = part_of(labels)
    if part is None and order_between(finest(labels).shape, sizes) is not None:
        part, shape = {"start": [0] * len(sizes), "of": sizes}, tuple(sizes)
    if part is None or part["of"] != sizes:
        raise AxesError(
            f"{labels.name} has the shape {tuple(shape)}, but {name} {tuple(sizes)}, "
            f"read as {image.axes}.",
            "Choose labels of the same image, or correct its axes: in Segment, under "
            "Axes, or by the layer's axis_labels.",
        )
    found: list[slice] = [slice(None)] * len(image.axes)
    for i, start, n in zip(kept, part["start"], shape, strict=True):
        found[i] = slice(start, start + n)
    return tuple(found)


def finest(layer: Any) -> Any:
    """Return a layer's array; of a pyramid the finest, which napari's own is not."""
    return layer.data[0] if layer.multiscale else layer.data


def own_axes(layer: Any) -> tuple[int, ...]:
    """Return the axes of a layer without one of length 1 that stands for channels.

    An output has it to lie on its source, and notes it; other layers may name it.
    """
    shape = finest(layer).shape
    noted = layer.metadata.get(KEY, {}).get(CHANNELS)
    named = [i for i, label in enumerate(layer.axis_labels) if _letter(label) == "C"]
    channels = named if noted is None else [noted]
    return tuple(i for i, n in enumerate(shape) if n != 1 or i not in channels)


def full_pixels(layer: Any) -> Any:
    """Return a layer's `finest` array, of its `own_axes`; a view if it is in memory."""
    return arranged(finest(layer), own_axes(layer))


def pixels_like(layer: Any, shape: tuple[int, ...]) -> Any:
    """Return a layer's `finest` array in a shape that differs by axes of length 1.

    Raises
    ------
    AxesError
        If it differs by more.
    """
    return arranged(finest(layer), order_like(layer, shape))


def order_like(layer: Any, shape: tuple[int, ...]) -> Order:
    """Return the order of `pixels_like`, which see."""
    order = order_between(finest(layer).shape, shape)
    if order is None:
        raise AxesError(
            f"{layer.name} has the shape {tuple(finest(layer).shape)}, not {shape}.",
            "Choose layers of the same image.",
        )
    return order


def onto_layer(
    layer: Any, places: Sequence[Any], shape: tuple[int, ...]
) -> tuple[Any, ...]:
    """Return places in `pixels_like` as places in a layer, an array per axis each."""
    return brought_back(places, order_like(layer, shape), layer.ndim)


def output_name(source: str, what: str) -> str:
    """Return the name of an output layer, such as ``"image [cells]"``."""
    return f"{source} [{what}]"


def is_output(layer: Layer) -> bool:
    """Return whether `put_layer` added a layer; a copy of it is the user's."""
    return behind_proxy(layer) in _OUTPUTS


def find_output(
    layers: Any, source: Layer, what: str, *, edited: bool = False
) -> Layer | None:
    """Return the output of an earlier run on the layer `source`.

    Labels that were corrected by hand are the user's, and found only as `edited`; a
    copy that a user made of an output is theirs, too.
    """
    itself = behind_proxy(source)
    ours = [
        layer
        for layer in layers
        if layer.metadata.get(KEY, {}).get("output") == what
        and is_output(layer)
        and is_edited(layer) == edited
        and behind_proxy(source_of(layer, layers)) is itself
    ]
    # Its own, before those of an image that is gone and had its name.
    ours.sort(key=lambda layer: _OUTPUTS[behind_proxy(layer)]() is not itself)
    return ours[0] if ours else None


def source_of(layer: Layer, layers: Any) -> Layer | None:
    """Return the layer that an output was made of, whatever it is called by now.

    If it is gone, or the output was opened from a file, it is the one of its name.
    """
    known = _OUTPUTS.get(behind_proxy(layer))
    source = known() if known is not None else None
    if source is not None and source in layers:
        found: Layer = source
        return found
    name = layer.metadata.get(KEY, {}).get("source")
    return next((other for other in layers if other.name == name), None)


def add_empty_labels(viewer: Any, image: Image) -> Labels:
    """Add a Labels layer over an image, with the brush in hand."""
    found = read_layer(image)
    pairs = zip(found.axes, found.data.shape, strict=False)
    shape = [n for axis, n in pairs if axis != "C"]
    noted = _channels_noted(image, found.axes)
    layer: Labels = viewer.add_labels(
        on_screen(np.zeros(shape, np.int32), image, found.axes),
        name=output_name(image.name, "painted"),
        metadata={KEY: noted} if noted else {},
        **placement(image, found.axes),
    )
    layer.mode = "paint"
    return layer


def _channels_noted(source: Layer, axes: str) -> dict[str, int]:
    """Return what the metadata of an output say of the axis that it has on screen."""
    at = screen_axes(source, axes).find("C")
    return {CHANNELS: at} if at >= 0 else {}


def put_layer(
    viewer: Any, kind: str, data: Any, *, source: Layer, axes: str = "", **given: Any
) -> Layer:
    """Add an output layer, or update the one of an earlier run in place.

    Labels that were corrected by hand since are left, and a layer is added.

    Parameters
    ----------
    viewer
        napari's.
    kind
        ``"image"`` or ``"labels"``.
    data
        Its pixels, of `axes` without C.
    source
        The layer that it was made of.
    axes
        Of the source, on which the output lies; empty: it lies at the origin.
    **given
        Arguments of the layer, with ``metadata[KEY]`` naming the `output`; `start` as
        in `placement`.
    """
    made = {**given["metadata"][KEY], "source": source.name}
    start = given.pop("start", None)
    if axes:
        given |= placement(source, axes, start)
        made |= _channels_noted(source, axes)
        data = on_screen(data, source, axes)
    given["metadata"] = {**given["metadata"], KEY: made}
    is_pyramid = bool(given.get("multiscale"))
    layer = find_output(viewer.layers, source, made["output"])
    if layer is not None and layer.multiscale != is_pyramid:
        viewer.layers.remove(layer)  # napari cannot change this in place
        layer = None
    if layer is None:
        added: Layer = getattr(viewer, f"add_{kind}")(data, **given)
        _OUTPUTS[behind_proxy(added)] = ref(behind_proxy(source))
        if kind == "labels":
            note_edits(added)
        return added
    _OUTPUTS[behind_proxy(layer)] = ref(behind_proxy(source))
    if layer.name == output_name(layer.metadata[KEY]["source"], made["output"]):
        layer.name = given["name"]
    layer.data = data
    forget_history(layer)
    layer.metadata = {**layer.metadata, **given["metadata"]}
    placed = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    for name in placed:
        if name in given:
            setattr(layer, name, given[name])
    return layer
