"""Mirrored reading: pixels beyond the image are its reflection, the edge not repeated.

A span may begin before 0 and end beyond the image; only real pixels are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.normalize import Reader
from napari_unet.core.tiling import Span


def mirrored_indices(span: Span, n: int) -> npt.NDArray[np.intp]:
    """Return the index in 0..n-1 of each position of `span`.

    Equals ``numpy.pad(..., mode="reflect")``, also for repeated reflections.
    """
    period = max(1, 2 * (n - 1))
    positions = np.arange(*span, dtype=np.intp) % period
    return np.minimum(positions, period - positions) if n > 1 else positions * 0


def read_mirrored(
    reader: Reader, read: tuple[Span, ...], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Read spans that may reach beyond the image.

    Parameters
    ----------
    reader
        Spatial region -> (C, ...) pixels.
    read
        Span per spatial axis.
    shape
        Spatial shape of the image.

    Returns
    -------
    numpy.ndarray
        (C, ...) with the spans' lengths.
    """
    indices = [mirrored_indices(span, n) for span, n in zip(read, shape, strict=True)]
    region = tuple(slice(int(i.min()), int(i.max()) + 1) for i in indices)
    pixels = reader(region)
    for axis, (wanted, part) in enumerate(zip(indices, region, strict=True)):
        if (part.start, part.stop) != read[axis]:
            pixels = pixels.take(wanted - part.start, axis=axis + 1)
    return pixels
