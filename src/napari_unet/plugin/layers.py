"""Layers: a napari layer as the pipeline sees it, and outputs that lie on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np

from napari_unet.core.axes import AXES, ArrayLike, guess_axes
from napari_unet.errors import AxesError
from napari_unet.io.units import micrometres
from napari_unet.plugin.hand_edits import KEY as KEY
from napari_unet.plugin.hand_edits import (
    behind_proxy,
    forget_history,
    is_edited,
    note_edits,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

# The output of a training that is still going on.
PREVIEW = "training"

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
        From the layer's axis labels, or guessed.
    axes_known
        Whether the labels said so.
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


def read_layer(layer: Image, axes: str | None = None) -> LayerImage:
    """Return what a layer holds; no pixel is read.

    Parameters
    ----------
    layer
        Any image layer: NumPy, dask, zarr, multiscale, RGB.
    axes
        As the user corrected them; None: guessed.
    """
    data = full_pixels(layer)
    labelled = _labelled_axes(layer)
    guessed = labelled or _guess(tuple(data.shape), rgb=layer.rgb)
    letters = (axes or guessed).upper()
    sizes = _pixel_sizes(layer, letters)
    return LayerImage(data, letters, bool(labelled), layer.rgb, sizes)


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


def placement(
    layer: Layer, axes: str, start: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return how a layer without the axis C of `axes` lies on its source.

    Parameters
    ----------
    layer
        The source.
    axes
        Its axes, one letter per array axis.
    start
        First index of the part of the source that it covers, by axis letter.
    """
    kept = [i for i, axis in enumerate(axes[: layer.ndim]) if axis != "C"]
    square = np.ix_(kept, kept)
    rotate, shear = np.asarray(layer.rotate)[square], _shear_matrix(layer)[square]
    scale = np.asarray(layer.scale)[kept]
    first = np.array([(start or {}).get(axes[i], 0) for i in kept], float)
    moved = rotate @ shear @ (scale * first)
    return {
        "scale": scale,
        "translate": np.asarray(layer.translate)[kept] + moved,
        "rotate": rotate,
        "shear": shear,
        "affine": _part_of_affine(np.asarray(layer.affine.affine_matrix), kept),
        "units": tuple(layer.units[i] for i in kept),
        "axis_labels": tuple(layer.axis_labels[i] for i in kept),
    }


def _shear_matrix(layer: Layer) -> Any:
    """Return the shear as an upper triangular matrix."""
    shear = np.asarray(layer.shear)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = shear
    return matrix


def _part_of_affine(matrix: Any, kept: list[int]) -> Any:
    every = [*kept, len(matrix) - 1]
    return matrix[np.ix_(every, every)]


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
        Of its shape without C, or of a part of that, as *Segment* leaves it.

    Raises
    ------
    AxesError
        If the labels are those of another image.
    """
    kept = [i for i, axis in enumerate(image.axes) if axis != "C"]
    sizes, shape = [image.data.shape[i] for i in kept], list(labels.data.shape)
    whole = {"start": [0] * len(shape), "of": shape}
    part = part_of(labels) or whole
    if part["of"] != sizes:
        raise AxesError(
            f"{labels.name} has the shape {tuple(shape)}, but {name} {tuple(sizes)}.",
            "Choose labels of the same image.",
        )
    found: list[slice] = [slice(None)] * len(image.axes)
    for i, start, n in zip(kept, part["start"], shape, strict=True):
        found[i] = slice(start, start + n)
    return tuple(found)


def full_pixels(layer: Any) -> Any:
    """Return a layer's array; of a pyramid the finest, which napari's own is not."""
    return layer.data[0] if layer.multiscale else layer.data


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
    layer: Labels = viewer.add_labels(
        np.zeros(shape, np.int32),
        name=output_name(image.name, "painted"),
        **placement(image, found.axes),
    )
    layer.mode = "paint"
    return layer


def put_layer(
    viewer: Any, kind: str, data: Any, *, source: Layer, **given: Any
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
        Its pixels.
    source
        The layer that it was made of.
    **given
        Arguments of the layer, with ``metadata[KEY]`` naming the `output`.
    """
    made = {**given["metadata"][KEY], "source": source.name}
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
