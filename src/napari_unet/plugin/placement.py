"""Placement: how an output lies on its source, in every frame and for every channel.

napari lays layers over one another by their last axes, and outputs have no channels:
over an image TCYX, their T would follow the slider of C. So where C stands behind
another axis an output keeps an axis of length 1 in its place, which spans all channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.plugin.thin_axes import arranged

if TYPE_CHECKING:
    from napari.layers import Layer


def screen_axes(layer: Layer, axes: str) -> str:
    """Return the axes of an output on screen, one letter each.

    Parameters
    ----------
    layer
        The source.
    axes
        Its axes; colour samples are none on screen.
    """
    letters = axes[: layer.ndim]
    return letters if letters.find("C") > 0 else letters.replace("C", "")


def on_screen(pixels: Any, layer: Layer, axes: str) -> Any:
    """Return the pixels of an output, level by level if it is a pyramid, as shown.

    Parameters
    ----------
    pixels
        Of `axes` without C.
    layer, axes
        The source, and its axes.
    """
    if isinstance(pixels, list):
        return [on_screen(level, layer, axes) for level in pixels]
    stored, shown = axes.replace("C", ""), screen_axes(layer, axes)
    found = (stored.find(axis) for axis in shown)
    return arranged(pixels, tuple(at if at >= 0 else None for at in found))


def placement(
    layer: Layer, axes: str, start: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return how an output of `screen_axes` lies on its source.

    Parameters
    ----------
    layer
        The source.
    axes
        Its axes, one letter per array axis.
    start
        First index of the part of the source that it covers, by axis letter.
    """
    shown = screen_axes(layer, axes)
    kept = [i for i, axis in enumerate(axes[: layer.ndim]) if axis in shown]
    square = np.ix_(kept, kept)
    rotate, shear = np.asarray(layer.rotate)[square], _shear_matrix(layer)[square]
    scale = np.array(layer.scale)[kept]
    first = np.array([(start or {}).get(axis, 0) for axis in shown], float)
    wide = np.array([_n_channels(layer, i) if axes[i] == "C" else 1 for i in kept])
    # A wide pixel begins where the first one that it covers does.
    moved = rotate @ shear @ (scale * (first + (wide - 1) / 2))
    return {
        "scale": scale * wide,
        "translate": np.asarray(layer.translate)[kept] + moved,
        "rotate": rotate,
        "shear": shear,
        "affine": _part_of_affine(np.asarray(layer.affine.affine_matrix), kept),
        "units": tuple(layer.units[i] for i in kept),
        "axis_labels": tuple(layer.axis_labels[i] for i in kept),
    }


def _n_channels(layer: Any, axis: int) -> int:
    data = layer.data[0] if layer.multiscale else layer.data
    return int(data.shape[axis])


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
