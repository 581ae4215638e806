"""Overlays: the image with the outlines of its objects, for a person to judge.

Touching objects never have the same colour, both sides of a shared border are drawn,
and the fill is light enough to see what lies below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.atomic import replacing
from napari_unet.io.colouring import colour_objects
from napari_unet.io.legend import draw_legend
from napari_unet.io.names import PICTURE_SUFFIXES
from napari_unet.io.planes import display_step

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

# Bright, saturated, and far apart in hue from one entry to the next.
PALETTE = np.array(
    [
        (255, 80, 80),
        (60, 220, 255),
        (255, 220, 50),
        (200, 110, 255),
        (100, 235, 90),
        (255, 120, 220),
        (255, 160, 50),
        (90, 150, 255),
        (190, 255, 120),
        (80, 255, 200),
    ],
    np.uint8,
)
CLASS_PALETTE = np.concatenate([PALETTE, PALETTE // 2])
_FILL = 0.16
_SEMANTIC_FILL = 0.4
_BACKGROUND = ("", "background")


def overlay(
    image: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    semantic: bool = False,
    class_names: tuple[str, ...] = (),
) -> Picture:
    """Draw labels over an image.

    Parameters
    ----------
    image
        (Y, X), or (Y, X, C): three or four channels are taken for red, green, blue
        (and alpha, ignored), any other number is averaged.
    labels
        (Y, X); 0 and negative labels are not drawn.
    semantic
        Whether labels are classes: then each has its own colour, and a legend names
        those that occur.
    class_names
        Names by label value. If the first is given and is not "background", 0 is a
        class like the others.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8. Sides above 4096 are reduced by a whole step.

    Raises
    ------
    AxesError
        If image and labels do not have the same size.
    """
    pixels, ids = _same_size(np.asarray(image), np.asarray(labels))
    ground = _stretch(pixels)
    if semantic:
        return _semantic(ground, ids, class_names)
    ranks, count = _ranks(ids)
    indices = colour_objects(ranks, count, n_colours=len(PALETTE))
    table = _colours(indices, PALETTE)
    return _draw(ground, ranks, table=table, fill=_FILL)


def write_picture(path: str | Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Write a picture as PNG or JPEG, replacing a file that is there in one step.

    Parameters
    ----------
    path
        Ends in .png, .jpg or .jpeg.
    rgb
        (Y, X, 3) or (Y, X) uint8.

    Raises
    ------
    ImageFileError
        If the name or the disk does not allow it.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ImageFileError(
            f"A picture cannot be written to {path.name}.",
            f"Choose a name such as {path.with_suffix('.png').name}.",
        )
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(rgb)).save(temporary, quality=92)


def _same_size(
    image: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if labels.ndim != 2 or image.ndim not in (2, 3) or image.shape[:2] != labels.shape:
        raise AxesError(
            f"An image of shape {image.shape} and labels of shape {labels.shape} do "
            "not lie over each other.",
            "Give one plane of each: (Y, X) or (Y, X, C), and (Y, X).",
        )
    step = display_step(labels.shape)
    return image[::step, ::step], labels[::step, ::step]


def _stretch(image: npt.NDArray[Any]) -> Picture:
    """Return (Y, X, 3): percentiles 1 and 99.8 of the image become black and white."""
    values = image.astype(np.float32)
    if values.ndim == 3:
        values = values[..., :3] if values.shape[2] in (3, 4) else values.mean(-1)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (1.0, 99.8)) if finite.size else (0.0, 1.0)
    scaled = (values - np.float32(low)) * np.float32(255 / max(high - low, 1e-12))
    grey = np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)


def _semantic(
    ground: Picture, labels: npt.NDArray[Any], names: tuple[str, ...]
) -> Picture:
    """Draw classes; colours and legend count from 1, from class 0 if it is one."""
    shift = int(bool(names) and names[0].lower() not in _BACKGROUND)
    classes = np.where(labels >= 0, labels.astype(np.int64) + shift, 0)
    table = _colours(np.arange(classes.max(initial=0) + 1), CLASS_PALETTE)
    picture = _draw(ground, classes, table=table, fill=_SEMANTIC_FILL)
    shown = [int(c) for c in np.unique(classes) if c > 0]
    return draw_legend(picture, {_name(c - shift, names): table[c] for c in shown})


def _name(label: int, names: tuple[str, ...]) -> str:
    return names[label] if label < len(names) else f"class {label}"


def _colours(indices: Labels, palette: Picture) -> Picture:
    """Return the colours of indices that count from 1."""
    return palette[(indices - 1) % len(palette)]


def _ranks(labels: npt.NDArray[Any]) -> tuple[Labels, int]:
    """Number the labels 1..n in their order; 0 where nothing is drawn."""
    drawn = np.where(labels > 0, labels, 0)
    ids, inverse = np.unique(drawn, return_inverse=True)
    background = int(ids.size > 0 and ids[0] == 0)
    ranks = inverse.reshape(labels.shape).astype(np.int64) + 1 - background
    return ranks, int(ids.size) - background


def _outlines(ranks: Labels) -> npt.NDArray[np.bool_]:
    """Mark the pixels of objects that touch another label through a face."""
    edge = np.zeros(ranks.shape, bool)
    for axis in (0, 1):
        differs = np.diff(ranks, axis=axis) != 0
        upper = (slice(None),) * axis + (slice(None, -1),)
        lower = (slice(None),) * axis + (slice(1, None),)
        edge[upper] |= differs
        edge[lower] |= differs
    return edge & (ranks > 0)


def _draw(ground: Picture, ranks: Labels, *, table: Picture, fill: float) -> Picture:
    """Tint each object lightly and draw its outline, in the colour of its rank."""
    picture = ground.copy()
    inside = ranks > 0
    tint = table[ranks[inside]] * np.float32(fill)
    picture[inside] = np.rint(ground[inside] * np.float32(1 - fill) + tint)
    edge = _outlines(ranks)
    picture[edge] = table[ranks[edge]]
    return picture
