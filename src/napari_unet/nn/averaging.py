"""Averaging: the mirrored and turned copies of a tile, and what they ask of tiling.

The paper averaged the predictions of rotated copies. Here each tile is averaged alone,
which gives what the whole image would, if all tiles fit the network in every position.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from napari_unet.core.tiling import AxisGeometry, Geometry, round_up
from napari_unet.errors import SettingsError

Turn = tuple[tuple[int, ...], int]


def turns_of(averaging: str, ndim: int) -> list[Turn]:
    """Return the axes to mirror and the quarter turns in YX, for each copy.

    ``"flips"``: every combination of mirrored axes; ``"rotations"``: all symmetries of
    the square in YX (times a flip of Z in 3-D).
    """
    axes = tuple(range(2, 2 + ndim))
    if averaging == "none":
        return [((), 0)]
    if averaging == "flips":
        subsets = range(2**ndim)
        return [
            (tuple(a for i, a in enumerate(axes) if bits >> i & 1), 0)
            for bits in subsets
        ]
    flat: list[Turn] = [((), q) for q in range(4)] + [
        ((axes[-1],), q) for q in range(4)
    ]
    if ndim == 2:
        return flat
    return flat + [((axes[0], *flips), q) for flips, q in flat]


def turn(x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
    """Mirror (N, C, [Z,] Y, X), then turn it in YX."""
    x = x.flip(flips) if flips else x
    return x.rot90(quarters, (-2, -1)) if quarters else x


def turn_back(x: Tensor, flips: tuple[int, ...], quarters: int) -> Tensor:
    """Undo `turn`."""
    x = x.rot90(-quarters, (-2, -1)) if quarters else x
    return x.flip(flips) if flips else x


def averaged_geometry(geometry: Geometry, averaging: str) -> Geometry:
    """Return the geometry of a network that is averaged over copies.

    A mirrored tile needs the left context on the right; a turned one must fit the
    network with Y and X exchanged.

    Parameters
    ----------
    geometry
        The network's own, per axis.
    averaging
        ``"none"``, ``"flips"`` or ``"rotations"``.

    Raises
    ------
    SettingsError
        If no tile fits in every position.
    """
    if averaging == "none":
        return geometry
    mirrored = tuple(_mirrored(axis) for axis in geometry)
    if averaging == "flips":
        return mirrored
    *others, y, x = mirrored
    square = y if y == x else _exchangeable(y, x)
    return (*others, square, square)


def _mirrored(axis: AxisGeometry) -> AxisGeometry:
    if axis.crop[0] != axis.crop[1]:
        raise SettingsError(
            "The network cuts off more on one side than on the other: its mirrored "
            "predictions cannot be averaged.",
            "Choose no test-time averaging.",
        )
    return replace(axis, halo=(max(axis.halo),) * 2)


def _exchangeable(y: AxisGeometry, x: AxisGeometry) -> AxisGeometry:
    if not (y.padded and x.padded):
        raise SettingsError(
            "The network treats Y and X differently: its rotated predictions cannot "
            "be averaged.",
            "Choose flips, or no test-time averaging.",
        )
    divisor = math.lcm(y.divisor, x.divisor)
    return AxisGeometry(
        divisor=divisor,
        halo=max(y.halo, x.halo),
        crop=(0, 0),
        smallest=round_up(max(y.smallest, x.smallest), divisor),
    )
