"""Empirical geometry: how far an opaque network looks, found by changing its input.

Everything beyond a line is replaced by other noise; outputs that change, in any bit,
depend on it. No trial can prove that an output never would change, so a geometry found
in this way is marked as measured, not computed::

    input     a a a a a a a a|b b b b b b     a kept, b replaced
    output    . . . . . x x x|x x x x x x     x changed: left of the line, the halo
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from napari_unet.core.tiling import AxisGeometry, Geometry, Span
from napari_unet.errors import CheckpointError
from napari_unet.nn.shapes import REFUSALS
from napari_unet.nn.weight_files import first_line

DIVISORS = (1, 2, 4, 8, 16, 32, 64)
# Halves of the images' length, tried in turn; a halo beyond the last has no end.
HALVES = {2: (64, 128, 256), 3: (16, 32, 64)}
# Along the other axes.
WIDTHS = {2: 64, 3: 16}
# Brightness of the noise: near zero for activations that saturate, high for maxima.
SCALES = (1.0, 0.05, 10.0, 1.0)
# Values that agree to this, of their range, are the same but for rounding.
ROUNDING = 1e-4


def empirical_geometry(network: nn.Module, *, ndim: int, in_channels: int) -> Geometry:
    """Measure divisor, halo, crop and smallest size of a network, axis by axis.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); only its output is looked at.
    ndim
        Spatial dimensions.
    in_channels
        Channels that it takes.

    Raises
    ------
    CheckpointError
        If its output is not on the input's grid, or it takes images of one size only.
    """
    return tuple(_measured(network, axis, ndim, in_channels) for axis in range(ndim))


def looks_everywhere(geometry: Geometry) -> bool:
    """Return whether no end of the halo was found: the result depends on the tile."""
    most = HALVES[len(geometry)][-1]
    return any(max(axis.halo) >= most for axis in geometry)


def _measured(
    network: nn.Module, axis: int, ndim: int, in_channels: int
) -> AxisGeometry:
    for half in HALVES[ndim]:
        found = _Axis(network, axis, ndim, in_channels, half).run()
        if max(found.halo) + found.divisor <= half:
            break
    return found


class _Axis:
    """Measurements along one axis, on images twice `half` long."""

    def __init__(
        self, network: nn.Module, axis: int, ndim: int, in_channels: int, half: int
    ) -> None:
        self.network, self.axis, self.in_channels = network, axis, in_channels
        self.rest = [WIDTHS[ndim]] * ndim
        self.half = half
        self.generator = torch.Generator().manual_seed(axis)

    def run(self) -> AxisGeometry:
        length = 2 * self.half
        cut = length - self._length(length)
        if cut < 0 or cut != 2 * length - self._length(2 * length):
            raise CheckpointError(
                f"The output has {length - cut} pixels where the input has {length}.",
                "Only networks whose output lies on the input's pixels can be run.",
            )
        divisor = self._divisor(length)
        crop = cut // 2, cut - cut // 2
        halo = self._halo(length, crop[0])
        return AxisGeometry(
            divisor=divisor,
            halo=crop if cut else halo,
            crop=crop,
            smallest=self._smallest(divisor, cut),
        )

    def _noise(self, length: int, scale: float) -> Tensor:
        shape = [*self.rest[: self.axis], length, *self.rest[self.axis + 1 :]]
        noise = torch.randn((1, self.in_channels, *shape), generator=self.generator)
        return noise * scale

    def _output(self, image: Tensor) -> Tensor:
        """Return the output with the axis last, the others together."""
        with torch.inference_mode():
            found: Tensor = self.network(image)
        return found.movedim(2 + self.axis, -1).flatten(0, -2)

    def _length(self, length: int) -> int:
        try:
            return self._output(self._noise(length, 1.0)).shape[-1]
        except REFUSALS as error:
            raise CheckpointError(
                f"The network takes no image of {length} pixels ({first_line(error)}).",
                "Only networks that take images of any size can be run.",
            ) from None

    def _divisor(self, length: int) -> int:
        """Return the least shift of the input that shifts the output."""
        for divisor in DIVISORS:
            long = self._noise(length + divisor, 1.0)
            try:
                first = self._output(long.narrow(2 + self.axis, 0, length))
                second = self._output(long.narrow(2 + self.axis, divisor, length))
            except REFUSALS:
                continue
            middle = first.shape[-1] // 2
            if middle < divisor + 4:
                break
            part = slice(middle - 4, middle + 4)
            moved = second[:, middle - 4 - divisor : middle + 4 - divisor]
            spread = float(first.max() - first.min())
            if (first[:, part] - moved).abs().max() <= ROUNDING * spread:
                return divisor
        return DIVISORS[-1]  # no shift does: the output depends on the whole image

    def _halo(self, length: int, cropped: int) -> Span:
        """Return how far outputs depend beyond the middle line (left, right)."""
        line = length // 2
        left = right = 0
        for scale in SCALES:
            one, other = self._noise(length, scale), self._noise(length, scale)
            before = self._output(one)
            for replaced in (slice(None, line), slice(line, None)):
                changed = one.clone()
                index = (slice(None),) * (2 + self.axis) + (replaced,)
                changed[index] = other[index]
                places = (self._output(changed) != before).any(dim=0).nonzero()[:, 0]
                if not len(places):
                    continue
                if replaced.start is None:
                    left = max(left, int(places[-1]) + cropped - line + 1)
                else:
                    right = max(right, line - int(places[0]) - cropped)
        return min(left, self.half), min(right, self.half)

    def _smallest(self, divisor: int, cut: int) -> int:
        for length in self._candidates(divisor, cut):
            with contextlib.suppress(CheckpointError):
                if self._length(length) == length - cut:
                    return length
        return 2 * self.half

    def _candidates(self, divisor: int, cut: int) -> Iterator[int]:
        first = (2 * self.half) % divisor if cut else 0
        return iter(range(first + cut or divisor, 2 * self.half, divisor))
