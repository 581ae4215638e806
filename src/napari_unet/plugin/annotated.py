"""Annotated: the layers of a choice as training data; what is outside is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.label_axes import as_label_ids
from napari_unet.core.outline import make_outline
from napari_unet.engine.training_order import AnnotatedImage, TrainingOrder
from napari_unet.errors import SettingsError
from napari_unet.plugin.axes_by_labels import read_under
from napari_unet.plugin.corrections import correct_axes
from napari_unet.plugin.layers import (
    full_pixels,
    own_axes,
    part_under,
    pixels_like,
    read_layer,
)
from napari_unet.plugin.outlines import outline_in
from napari_unet.plugin.paths import exists, is_file, is_folder, is_writable
from napari_unet.plugin.train_choice import PairChoice, TrainChoice, start_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Image, Labels, Shapes

# Beside the model, as training writes it; a test keeps the two in step.
RESUME = ".resume.pt"


def make_order(
    choice: TrainChoice,
    layers: Any,
    *,
    device: str = "auto",
    resume: bool = False,
    blank: bool = False,
) -> TrainingOrder:
    """Return what to train; no pixel is read but those of the labels.

    Parameters
    ----------
    choice
        What the user chose.
    layers
        The viewer's.
    device, resume
        As in `napari_unet.nn.training.Options`.
    blank
        Whether the labels alone matter: no image is read then.

    Raises
    ------
    UNetError
        If a layer is missing or does not fit.
    """
    given: tuple[AnnotatedImage, ...] = ()
    if not choice.folder:
        given = tuple(
            _annotated(pair, choice, layers, blank=blank) for pair in choice.pairs
        )
    return TrainingOrder(
        layers=given,
        folder=choice.folder,
        planes=choice.planes,
        training=choice.training(),
        out=choice.out,
        start=start_of(choice),
        options={"device": device, "resume": resume},
    )


def check_choice(choice: TrainChoice, layers: Any) -> None:
    """Raise the first reason why a choice cannot be trained; reads no pixel.

    Raises
    ------
    UNetError
        With what to do.
    """
    if choice.folder:
        if not is_folder(choice.folder):
            raise SettingsError(
                f"There is no folder {choice.folder}.", "Choose another one."
            )
    elif not choice.pairs:
        raise SettingsError(
            "There is nothing to learn from.",
            "Open an image, and paint a few cells in a Labels layer.",
        )
    for pair in () if choice.folder else choice.pairs:
        _check_shapes(pair, layers)
    path = Path(choice.out)
    if path.suffix != ".safetensors":
        raise SettingsError(
            "The model has no file name.", "Give one that ends in .safetensors."
        )
    if not is_folder(path.parent):
        raise SettingsError(
            f"The folder {path.parent} does not exist.", "Choose another one."
        )
    if not is_writable(path.parent):
        raise SettingsError(f"{path} cannot be written.", "Choose another file.")


def settle_axes(choice: TrainChoice, layers: Any) -> None:
    """Remember how images are read under their labels: *Segment* reads them so, too.

    What is trained on several channels is for images of several channels.
    """
    for pair in () if choice.folder else choice.pairs:
        image = _find(pair.image, layers)
        axes = read_under(image, _find(pair.labels, layers)).axes
        if axes != read_layer(image).axes:
            correct_axes(image, axes)


def channels_note(choice: TrainChoice, layers: Any) -> str:
    """Return from which channels is learned; empty if the images have only one."""
    for pair in () if choice.folder else choice.pairs:
        image = read_under(_find(pair.image, layers), _find(pair.labels, layers))
        if image.n_channels > 1 and not image.rgb:
            return (
                f"Learns from all {image.n_channels} channels of {pair.image}, which "
                f"is read as {image.axes}."
            )
    return ""


def is_begun(out: str) -> bool:
    """Return whether a training of this file was interrupted."""
    path = Path(out)
    return bool(path.name) and is_file(path.with_name(path.name + RESUME))


def check_free(out: str) -> None:
    """Raise the reason why a new model must not be written to a file.

    Raises
    ------
    SettingsError
        If it exists, or its training was interrupted.
    """
    name = Path(out).name
    if is_begun(out):
        raise SettingsError(
            f"A training of {name} was interrupted.",
            "Resume it, or choose another file.",
        )
    if exists(out):
        raise SettingsError(f"{name} exists already.", "Choose another name.")


def _check_shapes(pair: PairChoice, layers: Any) -> None:
    image, labels = _find(pair.image, layers), _find(pair.labels, layers)
    part_under(read_under(image, labels), pair.image, labels)


def _find(name: str, layers: Any) -> Any:
    if name not in layers:
        raise SettingsError(
            f"There is no layer {name or 'chosen'}.", "Choose one that is open."
        )
    return layers[name]


def _annotated(
    pair: PairChoice, choice: TrainChoice, layers: Any, *, blank: bool = False
) -> AnnotatedImage:
    """Read one pair of layers."""
    image, labels = _find(pair.image, layers), _find(pair.labels, layers)
    found = read_under(image, labels)
    part = part_under(found, pair.image, labels)
    spans = zip(found.data.shape, part, strict=True)
    sizes = tuple(len(range(n)[span]) for n, span in spans)
    shape = tuple(n for n, axis in zip(sizes, found.axes, strict=True) if axis != "C")
    ids = as_label_ids(
        pixels_like(labels, shape),
        name=pair.labels,
        ignore_label=choice.ignore_label or None,
    )
    if pair.annotated:
        inside = annotated_mask(_find(pair.annotated, layers), labels)
        ids[~inside.reshape(shape)] = -1
    pixels = np.zeros(sizes, np.uint8) if blank else np.asarray(found.data[part])
    return AnnotatedImage(pair.image, pixels, found.axes, ids, found.pixel_size)


def annotated_mask(shapes: Shapes, layer: Labels | Image) -> npt.NDArray[np.bool_]:
    """Return the pixels of a layer that lie inside any shape, of its own axes.

    Parameters
    ----------
    shapes
        Rectangles, ellipses and polygons; lines and paths enclose nothing. In a stack
        or series a shape marks the plane that it was drawn in.
    layer
        Says where its pixels lie.
    """
    shape, axes = tuple(full_pixels(layer).shape), list(own_axes(layer))
    rows, columns = (slice(0, n) for n in shape[-2:])
    mask = np.zeros(shape, np.bool_)
    for index, kind in enumerate(shapes.shape_type):
        points = outline_in(layer, shapes, index)[:, axes]
        if kind in ("line", "path") or len(points) < 3:
            continue
        plane = tuple(np.rint(points[0, :-2]).astype(int))
        n = layer.ndim - shapes.ndim
        if n > 0 or all(0 <= at < size for at, size in zip(plane, shape, strict=False)):
            # Shapes of fewer axes mark all planes.
            where = (..., slice(None), slice(None)) if n > 0 else plane
            mask[where] |= make_outline(points[:, -2:]).inside((rows, columns))
    return mask
