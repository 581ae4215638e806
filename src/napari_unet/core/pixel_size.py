"""Pixel size: what a user or a file says of it, as one number per spatial axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_unet.errors import SettingsError

PixelSize = float | Sequence[float] | Mapping[str, float]


def spatial_pixel_size(
    pixel_size: PixelSize | None, spatial: str
) -> tuple[float, ...] | None:
    """Return micrometres per pixel for the axes of `spatial`; None if not all known.

    Raises
    ------
    SettingsError
        If a size is not positive, or their number fits neither YX nor ZYX.
    """
    if pixel_size is None:
        return None
    if isinstance(pixel_size, Mapping):
        sizes = tuple(pixel_size.get(axis) for axis in spatial)
        if None in sizes:
            return None
    elif isinstance(pixel_size, Sequence) and len(pixel_size) > 1:
        if len(pixel_size) < len(spatial) or len(pixel_size) > 3:
            raise SettingsError(
                f"{len(pixel_size)} pixel sizes were given for the axes {spatial}.",
                "Give one per spatial axis, in the order Z, Y, X.",
            )
        sizes = tuple(pixel_size)[-len(spatial) :]
    else:
        number = pixel_size[0] if isinstance(pixel_size, Sequence) else pixel_size
        sizes = (number,) * len(spatial)
    known = tuple(float(size) for size in sizes if size is not None)
    if not all(np.isfinite(size) and size > 0 for size in known):
        raise SettingsError(
            f"The pixel size {known} is not positive.", "Correct it, in micrometres."
        )
    return known
