"""Measure each object: size, place, brightness, as a table of columns.

The same columns feed napari's feature table, the CSV of the shell, and the filters by
size. Names are fixed here, one per axis and channel, so that an empty image has the
same columns as a full one.

Labels and image may be lazy: a band of rows is read at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.axes import ArrayLike
from napari_unet.core.object_sums import (
    Key,
    ObjectSums,
    bands,
    find_ids,
    number_objects,
    start_of,
)
from napari_unet.core.overlap import label_array
from napari_unet.core.tables import Table, join_tables, place_rows
from napari_unet.errors import AxesError, SettingsError


def measure_objects(
    labels: ArrayLike,
    image: ArrayLike | None = None,
    *,
    axes: str,
    pixel_size: Sequence[float] | None = None,
) -> Table:
    """Measure the objects of one label image.

    Parameters
    ----------
    labels
        Label image with the spatial axes `axes`, 0 = background.
    image
        Intensities, (C, *labels.shape); None: no columns of intensity.
    axes
        Names of the two or three spatial axes, such as ``"ZYX"``.
    pixel_size
        Micrometres per pixel along each of `axes`, if known.

    Returns
    -------
    dict of str to array
        One row per object, by ascending label. Columns in this order: ``label``;
        ``area``, the number of pixels; ``centroid_y``, ... in pixels; ``bbox_min_y``,
        ... and ``bbox_max_y`` (exclusive), ... in pixels; ``equivalent_diameter`` in
        pixels, of the disk or ball of the same area; ``touches_border``, of the image;
        with `image` ``intensity_mean_0``, ``intensity_min_0``, ``intensity_max_0``,
        ... of each channel; with `pixel_size` ``area_um2`` or, in 3-D, ``volume_um3``.

    Raises
    ------
    AxesError
        If the axes, the image or the pixel size do not fit the labels.
    SettingsError
        If a pixel size is not above 0.
    UNetError
        If the labels are not integers or hold negative ids.
    """
    shape = tuple(labels.shape)
    _check_spatial(axes, len(shape))
    _check_image(image, shape)
    ids = find_ids(labels)
    n_channels = 0 if image is None else image.shape[0]
    sums = ObjectSums.of(len(ids), n_channels)
    for key in bands(shape):
        numbers = number_objects(label_array(labels[key]), ids)
        sums.add(numbers, start_of(key))
        pixels = () if image is None else np.asarray(image[(slice(None), *key)])
        for channel, values in enumerate(pixels):
            sums.add_channel(channel, numbers, values)
    return {
        "label": ids.astype(np.int64),
        **_geometry(sums, axes, shape),
        **_intensities(sums),
        **_physical(sums.area, axes, pixel_size),
    }


def measure_stack(
    labels: ArrayLike,
    image: ArrayLike | None = None,
    *,
    axes: str,
    spatial_axes: str,
    pixel_size: Sequence[float] | None = None,
) -> Table:
    """Measure every frame or plane of a stack on its own; ids may restart in each.

    Parameters
    ----------
    labels
        Label image with the axes `axes`.
    image
        Intensities, (C, *labels.shape).
    axes
        Names of the axes of `labels`, such as ``"TZYX"``.
    spatial_axes
        Those of `axes`, in their order, along which an object extends: ``"YX"`` for
        the result of a 2-D model.
    pixel_size
        Micrometres per pixel along each of `spatial_axes`.

    Returns
    -------
    dict of str to array
        The columns of `measure_objects`, before them one column for each other axis
        (``t``, ``z``) with the position of the sample.

    Raises
    ------
    AxesError
        As `measure_objects`, or if `spatial_axes` are not among `axes` in this order.
    """
    if [a for a in axes if a in spatial_axes] != list(spatial_axes):
        raise AxesError(
            f"The axes {spatial_axes} do not occur in this order in {axes}.",
            "Name spatial axes that the labels have, in the order of the labels.",
        )
    _check_names(axes, len(labels.shape))
    _check_image(image, tuple(labels.shape))
    others = {at: axis for at, axis in enumerate(axes) if axis not in spatial_axes}
    tables = []
    for position in np.ndindex(*(labels.shape[at] for at in others)):
        at = dict(zip(others, position, strict=True))
        behind_c = {axis + 1: index for axis, index in at.items()}
        table = measure_objects(
            _Sample(labels, at),
            None if image is None else _Sample(image, behind_c),
            axes=spatial_axes,
            pixel_size=pixel_size,
        )
        tables.append(
            place_rows(table, dict(zip(others.values(), position, strict=True)))
        )
    if not tables:
        table = _measure_nothing(image, spatial_axes, pixel_size)
        return place_rows(table, dict.fromkeys(others.values(), 0))
    return join_tables(tables)


class _Sample:
    """One frame or plane of a stack, still lazy.

    `fixed` gives the index along the axes that are left out.
    """

    def __init__(self, stack: ArrayLike, fixed: Mapping[int, int]) -> None:
        self.stack, self.fixed = stack, fixed
        self.kept = [at for at in range(len(stack.shape)) if at not in fixed]
        self.shape = tuple(stack.shape[at] for at in self.kept)
        self.dtype = stack.dtype

    def __getitem__(self, key: Key) -> Any:
        at = {**self.fixed, **dict(zip(self.kept, key, strict=True))}
        return self.stack[tuple(at[axis] for axis in range(len(self.stack.shape)))]


def _measure_nothing(
    image: ArrayLike | None, axes: str, pixel_size: Sequence[float] | None
) -> Table:
    """Return the columns of a stack without a single sample."""
    shape = (0,) * len(axes)
    blank = None if image is None else np.zeros((image.shape[0], *shape))
    nothing = np.zeros(shape, np.int32)
    return measure_objects(nothing, blank, axes=axes, pixel_size=pixel_size)


def _geometry(sums: ObjectSums, axes: str, shape: tuple[int, ...]) -> Table:
    """Return the columns that depend on the labels alone."""
    ndim, names = len(axes), axes.lower()
    area = sums.area
    low, high = sums.low[1:, -ndim:], sums.high[1:, -ndim:] + 1
    centre = sums.place[1:, -ndim:] / np.maximum(area, 1)[:, None]
    touches = ((low == 0) | (high == np.array(shape))).any(axis=1)
    table: Table = {"area": area}
    table |= {f"centroid_{n}": centre[:, at] for at, n in enumerate(names)}
    table |= {f"bbox_min_{n}": low[:, at] for at, n in enumerate(names)}
    table |= {f"bbox_max_{n}": high[:, at] for at, n in enumerate(names)}
    # Of the disk, area = pi/4 d^2; of the ball, volume = pi/6 d^3.
    table["equivalent_diameter"] = (2 * ndim * area / math.pi) ** (1 / ndim)
    table["touches_border"] = touches
    return table


def _intensities(sums: ObjectSums) -> Table:
    """Return mean, minimum and maximum of each channel."""
    table: Table = {}
    for channel in range(len(sums.total)):
        table[f"intensity_mean_{channel}"] = sums.total[channel, 1:] / sums.area
        table[f"intensity_min_{channel}"] = sums.least[channel, 1:]
        table[f"intensity_max_{channel}"] = sums.most[channel, 1:]
    return table


def _physical(
    area: NDArray[np.int64], axes: str, pixel_size: Sequence[float] | None
) -> Table:
    """Return the size in square or cubic micrometres, if pixels have a size."""
    if pixel_size is None:
        return {}
    if len(pixel_size) != len(axes):
        raise AxesError(
            f"There are {len(pixel_size)} pixel sizes for the axes {axes}.",
            "Give one in micrometres for each spatial axis.",
        )
    if not all(0 < size < math.inf for size in pixel_size):
        raise SettingsError(
            f"The pixel size {tuple(pixel_size)} is not above 0 everywhere.",
            "Give micrometres per pixel, or none if it is unknown.",
        )
    name = "area_um2" if len(axes) == 2 else "volume_um3"
    return {name: area * math.prod(pixel_size)}


def _check_image(image: ArrayLike | None, labels: tuple[int, ...]) -> None:
    if image is None or (len(image.shape) > 0 and tuple(image.shape[1:]) == labels):
        return
    raise AxesError(
        f"An image of the shape {tuple(image.shape)} does not fit labels of {labels}.",
        "Give the channels first and then the axes of the labels.",
    )


def _check_names(axes: str, ndim: int) -> None:
    if len(axes) != ndim or len(set(axes)) != ndim:
        raise AxesError(
            f"The axes {axes} do not fit labels with {ndim} axes.",
            "Name each axis of the labels once.",
        )


def _check_spatial(axes: str, ndim: int) -> None:
    _check_names(axes, ndim)
    if ndim not in (2, 3):
        raise AxesError(
            f"Objects with the axes {axes} cannot be measured.",
            "Give labels with two or three spatial axes, or measure a stack.",
        )
