"""Seeds: what stored probabilities say about where cells are, and where each starts.

Everything here works on the stored integers: a threshold that is applied to
probabilities in memory must cut at the same pixel when they come back from disk.

=======================  =====================  ===================  ===============
channels                 seeds                  mask                 height
=======================  =====================  ===================  ===============
interior                 interior               interior             1 - interior
interior, boundary       interior - boundary    interior + boundary  1 - interior
distance                 distance               distance             1 - distance
distance, boundary       distance - boundary    distance             1 - distance
distance, interior       distance               interior             1 - distance
distance, interior,      distance - boundary    interior + boundary  1 - distance
boundary
=======================  =====================  ===================  ===============

A background channel may be there too; it is what the others leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.components import label_components
from napari_unet.core.fixed_point import scale_of, threshold_of
from napari_unet.errors import AxesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOWN_CHANNELS = ("background", "interior", "boundary", "distance")


def seed_evidence(
    probabilities: NDArray[Any], channels: tuple[str, ...]
) -> NDArray[np.int32]:
    """Return how sure it is that a pixel lies well inside one cell.

    Parameters
    ----------
    probabilities
        Stored probabilities ``(C, *spatial)``, uint16 or uint8.
    channels
        Meaning of the C channels.

    Returns
    -------
    numpy.ndarray
        ``(*spatial)``, from ``-scale`` to ``scale``; see the table above.

    Raises
    ------
    AxesError
        `channels` does not fit the array, or does not describe cells.
    SettingsError
        `probabilities` is not uint16 or uint8.
    """
    found = _by_name(probabilities, channels)
    return _combine(_core(found), found.get("boundary"), np.subtract)


def mask_evidence(
    probabilities: NDArray[Any], channels: tuple[str, ...]
) -> NDArray[np.int32]:
    """Return how sure it is that a pixel belongs to any cell, from 0 to 2 scale.

    Parameters, result and errors are those of `seed_evidence`.
    """
    found = _by_name(probabilities, channels)
    if "interior" in found:
        return _combine(found["interior"], found.get("boundary"), np.add)
    return _combine(found["distance"], None, np.add)


def height(probabilities: NDArray[Any], channels: tuple[str, ...]) -> NDArray[Any]:
    """Return the surface that the watershed floods, low inside cells.

    Of the type of `probabilities`; parameters and errors are those of `seed_evidence`.
    """
    found = _by_name(probabilities, channels)
    # The complement of an unsigned integer is its distance from the scale.
    return np.asarray(~_core(found))


def find_seeds(
    evidence: NDArray[np.int32],
    threshold: float,
    *,
    scale: int,
    min_size: int = 1,
    connectivity: int = 1,
) -> NDArray[np.int32]:
    """Return labels of the connected regions where `evidence` is above `threshold`.

    Parameters
    ----------
    evidence
        Integers, one to three axes: see `seed_evidence`.
    threshold
        In units of probability.
    scale
        The stored integer that stands for 1.
    min_size
        Regions with fewer pixels are left out.
    connectivity
        1 for faces, 2 also edges, 3 also corners; more than axes means all.

    Returns
    -------
    numpy.ndarray
        int32; 1, 2, ... in raster order of the first pixel, 0 elsewhere.
    """
    above = evidence > threshold_of(threshold, scale)
    return label_components(above, connectivity=connectivity, min_size=min_size)


def _by_name(
    probabilities: NDArray[Any], channels: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """Return the channels by name, after all checks."""
    scale_of(probabilities.dtype)
    if len(channels) != probabilities.shape[0]:
        raise AxesError(
            f"{len(channels)} channel names are given for {probabilities.shape[0]} "
            "channels of probabilities.",
            "Give one name per channel; the channel axis comes first.",
        )
    is_known = set(channels) <= set(KNOWN_CHANNELS)
    if not is_known or len(set(channels)) < len(channels):
        raise AxesError(
            f"The channels {', '.join(channels)} do not say what a cell is.",
            f"Name each channel once, as one of {', '.join(KNOWN_CHANNELS)}; for "
            "classes of pixels use the semantic task.",
        )
    if not {"interior", "distance"} & set(channels):
        raise AxesError(
            f"The channels {', '.join(channels)} have neither interior nor distance.",
            "Name the channel that is high inside cells interior, or distance.",
        )
    return dict(zip(channels, probabilities, strict=True))


def _core(found: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the channel that is highest in the middle of cells."""
    return found["distance"] if "distance" in found else found["interior"]


def _combine(
    first: NDArray[Any], boundary: NDArray[Any] | None, operation: np.ufunc
) -> NDArray[np.int32]:
    """Return `first`, with `boundary` where there is one, in int32."""
    if boundary is None:
        return np.asarray(first, np.int32)
    return np.asarray(operation(first, boundary, dtype=np.int32))
