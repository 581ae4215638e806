"""Measuring: sizes, places and intensities of the objects of a labels layer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.by_sample import Position
from napari_unet.engine.measuring import iter_measure
from napari_unet.io.tables import write_table
from napari_unet.io.units import micrometres
from napari_unet.plugin.axes_by_labels import read_under
from napari_unet.plugin.layers import full_pixels, own_axes, part_under
from napari_unet.plugin.scoring import Findings
from napari_unet.plugin.thin_axes import order_between

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.core.tables import Table
    from napari_unet.engine.client import Engine


def iter_measurements(
    engine: Engine, labels: Labels, image: Image | None, n_leading: int
) -> Generator[int | None, None, Table]:
    """Measure every object of a labels layer, on the worker.

    Parameters
    ----------
    engine
        The way to it.
    labels
        The layer; a lazy one is read sample by sample.
    image
        Layer of the same pixels, with or without channels; None: no intensities.
    n_leading
        Leading axes that count samples.

    Yields
    ------
    int or None
        Samples done; None where nothing has happened for a moment.

    Returns
    -------
    dict of str to array
        As `napari_unet.core.measure.measure_stack`.

    Raises
    ------
    AxesError
        If the image does not fit the labels.
    """
    axes = label_axes(labels, n_leading)
    return iter_measure(
        engine,
        full_pixels(labels),
        None if image is None else _image_reader(image, labels),
        leading=axes[:n_leading],
        spatial=axes[n_leading:],
        pixel_size=_pixel_size(labels, n_leading),
    )


def label_axes(labels: Labels, n_leading: int) -> str:
    """Return one letter per axis of a labels layer's own."""
    axes = own_axes(labels)
    letters = "TZYX"[-len(axes) :]
    if n_leading == 1 and len(axes) == 3:
        named = labels.axis_labels[axes[0]].strip().lower()
        letters = ("Z" if named in ("z", "depth", "plane", "slice") else "T") + "YX"
    return letters


def _image_reader(layer: Image, labels: Labels) -> Callable[[Position], Any]:
    """Return what reads the part of an image under a sample of labels, (C, ...)."""
    image = read_under(layer, labels)
    under = part_under(image, layer.name, labels)
    kept = [i for i, axis in enumerate(image.axes) if axis != "C"]
    shape = full_pixels(labels).shape
    counted = order_between(shape, [under[i].stop - under[i].start for i in kept])

    def read(position: Position) -> Any:
        key: list[Any] = list(under)
        for i, axis in zip(kept, counted or (), strict=True):
            if axis is not None and axis < len(position):
                start = under[i].start + position[axis]
                key[i] = slice(start, start + 1)
        pixels = np.asarray(image.data[tuple(key)])
        if "C" in image.axes:
            pixels = np.moveaxis(pixels, image.axes.index("C"), 0)
        else:
            pixels = pixels[None]
        return pixels.reshape(len(pixels), *shape[len(position) :])

    return read


def _pixel_size(labels: Labels, n_leading: int) -> list[float] | None:
    """Return micrometres per pixel along the objects' axes, if all are known."""
    sizes = []
    for axis in own_axes(labels)[n_leading:]:
        name = str(labels.units[axis])
        step = float(labels.scale[axis])
        sizes.append(micrometres(step, "" if name == "pixel" else name))
    known = [size for size in sizes if size is not None]
    return known if len(known) == len(sizes) else None


def rows_at(table: Table, position: Position) -> Table:
    """Return the rows of one sample, without the columns that name it."""
    names = list(table)[: len(position)]
    here = np.ones(len(table["label"]), np.bool_)
    for name, at in zip(names, position, strict=True):
        here &= table[name] == at
    return {name: table[name][here] for name in table if name not in names}


def save_table(path: str | Path, table: Table, findings: Findings | None) -> None:
    """Write measurements as CSV, with the errors of the same objects if known.

    Raises
    ------
    ImageFileError
        If the file cannot be written.
    """
    columns = dict(table)
    if findings is not None:
        columns |= _error_columns(table, findings)
    write_table(path, columns)


def _error_columns(table: Table, findings: Findings) -> Table:
    names = list(table)[: list(table).index("label")]
    keys = zip(*(table[name].tolist() for name in [*names, "label"]), strict=True)
    known = {
        (*findings.positions[row.image], row.id): row
        for row in findings.scores.objects
        if row.side == "prediction"
    }
    rows = [known.get(key) for key in keys]
    return {
        "error": np.array(["" if row is None else row.kind for row in rows]),
        "iou": np.array([0.0 if row is None else row.iou for row in rows]),
    }
