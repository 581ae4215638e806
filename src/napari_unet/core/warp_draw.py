"""The random part of a warp: flips, rotation, zoom and displacements.

Apart from `warp`, which knows no chance. All act in physical space: lengths
given in pixels are those of the last axis; on a coarser axis they are fewer pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.intensity_augment import Limits, check_spans
from napari_unet.core.warp import Elastic, Matrix
from napari_unet.errors import AxesError, SettingsError
from napari_unet.training_settings import Augmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Spacing = float | Sequence[float] | None

LIMITS: Limits = {"scale": (0.1, 10.0)}
# Pixel sizes read from files are rounded: only more than this is coarser.
_COARSER = 1.01


def relative_pixel_size(spacing: Spacing, ndim: int) -> tuple[float, ...]:
    """Return the pixel size per axis in units of that of the last axis.

    Raises
    ------
    AxesError
        Neither 2 nor 3 axes; not one spacing per axis.
    SettingsError
        Spacing that is not positive.
    """
    sizes = np.asarray(1.0 if spacing is None else spacing, float)
    if ndim not in (2, 3) or sizes.shape not in ((), (ndim,)):
        raise AxesError(
            f"A patch with {ndim} axes and a spacing of {spacing!r} do not fit.",
            "Give 2 or 3 spatial axes, and one spacing per axis.",
        )
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise SettingsError(
            f"spacing = {spacing!r} is not accepted.", "Give positive pixel sizes."
        )
    whole = np.broadcast_to(sizes, ndim)
    return tuple(float(size) for size in whole / whole[-1])


def draw_matrix(
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    pixel_size: tuple[float, ...],
) -> Matrix:
    """Draw flips, rotation and zoom: steps in the image per step in the patch.

    The zoom is uniform in its logarithm; above 1 objects look larger. Z is not mirrored
    where it is coarser: a microscope blurs differently above and below.

    Parameters
    ----------
    rng
        As many numbers are taken whatever the settings.
    augmentation
        How patches are varied.
    pixel_size
        Per axis, in units of that of the last axis.

    Raises
    ------
    SettingsError
        A range of the zoom that is reversed or not possible.
    """
    a = augmentation
    check_spans(a, LIMITS)
    ndim = len(pixel_size)
    is_turned, is_zoomed = rng.random(2) < (a.rotation_probability, a.scale_probability)
    degrees = rng.uniform(-a.rotation, a.rotation)
    zoom = math.exp(rng.uniform(*np.log(a.scale)))
    is_flipped = (rng.random(ndim) < 0.5) & a.flips
    if _has_coarse_planes(pixel_size):
        is_flipped[0] = False
    matrix = turn(degrees if is_turned else 0.0, pixel_size)
    matrix = matrix @ np.diag(np.where(is_flipped, -1.0, 1.0))
    if is_zoomed:
        matrix /= zoom
    # Adding 0 turns -0 into 0.
    return tuple(tuple(float(value) + 0.0 for value in row) for row in matrix)


def turn(degrees: float, pixel_size: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the rotation of the last two axes, in pixels that need not be square.

    Seen with Y downwards, the picture turns counter-clockwise, as with `numpy.rot90`.
    Quarter turns are exact: then square pixels are copied, not interpolated.
    """
    quarters, rest = divmod(degrees, 90.0)
    c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(quarters) % 4):
        c, s = -s, c
    matrix = np.eye(len(pixel_size))
    matrix[-2:, -2:] = ((c, s), (-s, c))
    size = np.array(pixel_size)
    return np.asarray(matrix * size / size[:, None])


def draw_elastic(
    rng: np.random.Generator,
    augmentation: Augmentation,
    patch_shape: tuple[int, ...],
    *,
    pixel_size: tuple[float, ...],
) -> Elastic | None:
    """Draw displacements at the nodes of a grid that covers the patch, or None.

    If the nodes lie half a patch or more apart there are 3 per axis, the grid of
    Ronneberger et al. (2015). Displacements beyond a quarter of the nodes' distance may
    fold the image. Where Z is coarser, nothing is displaced along it: classes taken
    from the nearest of two distant planes would have torn outlines. Draw this last: how
    many numbers are taken depends on the settings.

    Parameters
    ----------
    rng
        Source of the numbers.
    augmentation
        Its `elastic` and `elastic_spacing` are in pixels of the last axis.
    patch_shape
        Pixels per axis.
    pixel_size
        Per axis, in units of that of the last axis.
    """
    a = augmentation
    if rng.random() >= a.elastic_probability or a.elastic == 0:
        return None
    steps = tuple(a.elastic_spacing / size for size in pixel_size)
    reach = [
        max(1, math.ceil((n - 1) / 2 / step))
        for n, step in zip(patch_shape, steps, strict=True)
    ]
    nodes = rng.normal(0.0, a.elastic, (len(steps), *(2 * k + 1 for k in reach)))
    nodes /= np.array(pixel_size).reshape(-1, *(1,) * len(steps))
    if _has_coarse_planes(pixel_size):
        nodes[0] = 0.0
    return Elastic(nodes, steps)


def _has_coarse_planes(pixel_size: tuple[float, ...]) -> bool:
    return len(pixel_size) == 3 and pixel_size[0] > _COARSER
