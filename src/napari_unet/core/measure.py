"""Measure each object: size, place, brightness, as a table of columns.

The same columns feed napari's feature table, the CSV of the shell, and the filters by
size. Names are fixed here, one per axis and channel, so that an empty image has the
same columns as a full one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_unet.core.overlap import label_array, label_runs, refuse_negative
from napari_unet.errors import AxesError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

Table = dict[str, NDArray[Any]]

_INTENSITIES = ("intensity_mean", "intensity_min", "intensity_max")


def measure_objects(
    labels: NDArray[Any],
    image: NDArray[Any] | None = None,
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
    labels = label_array(labels)
    _check_spatial(axes, labels.ndim)
    _check_image(image, labels.shape)
    if labels.size == 0:
        labels, image = _background_pixel(image, len(axes))
    channels = _channels_last(image)
    ids, numbered = _number(labels)
    measured: Table = regionprops_table(  # type: ignore[no-untyped-call]
        numbered,
        channels,
        properties=(
            *("area", "centroid", "bbox"),
            *(_INTENSITIES if channels is not None else ()),
        ),
    )
    return {
        "label": ids,
        **_geometry(measured, axes, labels.shape),
        **_intensities(measured, 0 if channels is None else channels.shape[-1]),
        **_physical(measured["area"], axes, pixel_size),
    }


def measure_stack(
    labels: NDArray[Any],
    image: NDArray[Any] | None = None,
    *,
    axes: str,
    spatial_axes: str,
    pixel_size: Sequence[float] | None = None,
) -> Table:
    """Measure every frame or plane of a stack on its own; ids may restart in each.

    Parameters
    ----------
    labels
        Label image with the axes `axes`; read one sample at a time.
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
    _check_names(axes, labels.ndim)
    _check_image(image, labels.shape)
    others = [(at, axis) for at, axis in enumerate(axes) if axis not in spatial_axes]
    tables = []
    for position in np.ndindex(*(labels.shape[at] for at, _ in others)):
        index: list[Any] = [slice(None)] * len(axes)
        for (at, _), value in zip(others, position, strict=True):
            index[at] = value
        table = measure_objects(
            labels[tuple(index)],
            None if image is None else image[(slice(None), *index)],
            axes=spatial_axes,
            pixel_size=pixel_size,
        )
        tables.append(_place(others, position, len(table["label"])) | table)
    if not tables:
        pixel = _background_pixel(image, len(spatial_axes))
        table = measure_objects(*pixel, axes=spatial_axes, pixel_size=pixel_size)
        return _place(others, (0,) * len(others), 0) | table
    return {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0]
    }


def _place(
    others: list[tuple[int, str]], position: tuple[int, ...], n_objects: int
) -> Table:
    """Return the columns that tell the sample."""
    return {
        axis.lower(): np.full(n_objects, value, np.int64)
        for (_, axis), value in zip(others, position, strict=True)
    }


def _background_pixel(
    image: NDArray[Any] | None, ndim: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Stand in for labels without a pixel, which scikit-image cannot measure."""
    shape = (1,) * ndim
    blank = None if image is None else np.zeros((image.shape[0], *shape))
    return np.zeros(shape, np.uint8), blank


def _number(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the ids, and labels in which they are replaced by 1, 2, 3, ...

    scikit-image makes a list as long as the greatest id.
    """
    (values,), lengths = label_runs(labels)
    present = np.unique(values)
    refuse_negative(present)
    ids = present[present != 0]
    numbers = np.where(values == 0, 0, np.searchsorted(ids, values) + 1)
    numbered = np.repeat(numbers.astype(np.int32), lengths).reshape(labels.shape)
    return ids.astype(np.int64), numbered


def _geometry(measured: Table, axes: str, shape: tuple[int, ...]) -> Table:
    """Return the columns that depend on the labels alone."""
    ndim = len(axes)
    area = measured["area"]
    table: Table = {"area": area.astype(np.int64)}
    names = axes.lower()
    starts = [measured[f"bbox-{at}"] for at in range(ndim)]
    ends = [measured[f"bbox-{at + ndim}"] for at in range(ndim)]
    touches = np.zeros(len(area), np.bool_)
    for start, end, length in zip(starts, ends, shape, strict=True):
        touches |= (start == 0) | (end == length)
    table |= {f"centroid_{n}": measured[f"centroid-{i}"] for i, n in enumerate(names)}
    table |= {f"bbox_min_{n}": start for n, start in zip(names, starts, strict=True)}
    table |= {f"bbox_max_{n}": end for n, end in zip(names, ends, strict=True)}
    # Of the disk, area = pi/4 d^2; of the ball, volume = pi/6 d^3.
    table["equivalent_diameter"] = (2 * ndim * area / math.pi) ** (1 / ndim)
    table["touches_border"] = touches
    return table


def _intensities(measured: Table, n_channels: int) -> Table:
    """Return mean, minimum and maximum of each channel."""
    return {
        f"{name}_{channel}": measured[f"{name}-{channel}"]
        for channel in range(n_channels)
        for name in _INTENSITIES
    }


def _physical(
    area: NDArray[np.float64], axes: str, pixel_size: Sequence[float] | None
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


def _channels_last(image: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return the image as scikit-image wants it; no channels are no image."""
    if image is None or image.shape[0] == 0:
        return None
    channels = np.moveaxis(np.asarray(image), 0, -1)
    # Means come in the precision of the image, and half is too little for them.
    half = channels.dtype == np.float16
    return channels.astype(np.float32) if half else channels


def _check_image(image: NDArray[Any] | None, labels: tuple[int, ...]) -> None:
    if image is None or (image.ndim > 0 and image.shape[1:] == labels):
        return
    raise AxesError(
        f"An image of the shape {image.shape} does not fit labels of {labels}.",
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
