"""Receptive field: halo, divisor and crop of a network, computed, never typed.

An impulse at every phase of the grid of a monotone copy (`napari_unet.nn.monotone`)
shows exactly which outputs depend on which inputs.
"""

from __future__ import annotations

import contextlib
import itertools
import math

import torch
from torch import Tensor, nn

from napari_unet.core.tiling import AxisGeometry, Geometry, Span, round_up
from napari_unet.errors import CheckpointError
from napari_unet.nn.monotone import (
    CONVOLUTIONS,
    FIXED_NORMS,
    INSTANCE_NORMS,
    OTHER_NORMS,
    monotone_copy,
)
from napari_unet.nn.shapes import REFUSALS, Shapes

ADAPTIVE = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
CIRCULAR = (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d)
LARGEST_PROBE = 4096
# Coarsest grid that is looked for even where no layer is seen to make one.
LEAST_PHASES = 16
# Pixels of all impulse images that are run at once.
PIXELS_AT_ONCE = 2**16


def tile_dependent_layers(network: nn.Module) -> tuple[str, ...]:
    """Name the layers whose result depends on how the image is cut.

    Normalisation by the tile's own statistics, attention, adaptive pooling,
    interpolation relative to the tile's corners, padding from the tile's other side.
    Empty: tiling can be exact.
    """
    return tuple(
        f"{name} ({type(module).__name__})" if name else type(module).__name__
        for name, module in network.named_modules()
        if _is_tile_dependent(module)
    )


def _is_tile_dependent(module: nn.Module) -> bool:
    if isinstance(module, (*FIXED_NORMS, *INSTANCE_NORMS)):
        return not module.track_running_stats or module.running_mean is None
    if isinstance(module, nn.Upsample):
        fixed_size = module.size is not None
        return fixed_size or bool(module.align_corners)
    if isinstance(module, CONVOLUTIONS):
        return module.padding_mode == "circular"
    elsewhere = (*OTHER_NORMS, *ADAPTIVE, *CIRCULAR, nn.MultiheadAttention)
    return isinstance(module, elsewhere)


def network_geometry(network: nn.Module, *, ndim: int, in_channels: int) -> Geometry:
    """Probe divisor, halo, crop and smallest size of a network, axis by axis.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); it is not changed. If it has a method `along(axis)`,
        the 2-D, one-channel twin that this returns is probed along Y instead; axes
        whose twins have the same `architecture` are probed once.
    ndim
        Spatial dimensions.
    in_channels
        Channels that it takes.

    Raises
    ------
    CheckpointError
        If the probe fails: the network is not shift-equivariant on any grid, its
        output is not on the input's grid, or it depends on everything.
    """
    along = getattr(network, "along", None)
    if along is None:
        return tuple(
            _Probe(network, axis, ndim, in_channels).run() for axis in range(ndim)
        )
    twins = [along(axis) for axis in range(ndim)]
    keys = [getattr(twin, "architecture", axis) for axis, twin in enumerate(twins)]
    found = {
        key: _Probe(twin, 0, 2, 1).run()
        for key, twin in dict(zip(keys, twins, strict=True)).items()
    }
    return tuple(found[key] for key in keys)


class _Probe:
    """Impulse responses of a network along one axis."""

    def __init__(
        self, network: nn.Module, axis: int, ndim: int, in_channels: int
    ) -> None:
        self.network, self.axis, self.in_channels = network, axis, in_channels
        self.shapes = Shapes(network, ndim, in_channels)
        self.rest = self._shrunk(self.shapes.accepted(1))
        self.phases = 2 * max(LEAST_PHASES, self._coarsest())

    def run(self) -> AxisGeometry:
        size, cut = self._regular_size(8 * self.phases)
        self.copy = self._responsive_copy(size)
        responses, first = self._whole_responses(size)
        divisor = _period(responses)
        if cut == 0 and size % divisor:
            responses, first = self._whole_responses(round_up(size, divisor))
        crop = cut // 2, cut - cut // 2
        halo = _halo(responses, first - crop[0], divisor)
        if cut and halo[0] > crop[0]:
            raise CheckpointError(
                "The network pads some of its convolutions, but not all of them.",
                "It cannot be tiled: each tile's own padding would show.",
            )
        return AxisGeometry(
            divisor=divisor,
            halo=crop if cut else halo,
            crop=crop,
            smallest=self._smallest(size, cut, divisor),
        )

    # -- sizes ------------------------------------------------------------------

    def _shape(self, size: int) -> tuple[int, ...]:
        return (*self.rest[: self.axis], size, *self.rest[self.axis + 1 :])

    def _output(self, size: int) -> int | None:
        found = self.shapes.output(self._shape(size))
        return found[self.axis] if found else None

    def _shrunk(self, cube: tuple[int, ...]) -> tuple[int, ...]:
        """Return `cube` with the other axes as short as the network allows."""
        shape = list(cube)
        for other in range(len(cube)):
            for size in range(1, cube[other]):
                trial = (*shape[:other], size, *shape[other + 1 :])
                if other != self.axis and self.shapes.output(trial):
                    shape[other] = size
                    break
        return tuple(shape)

    def _coarsest(self) -> int:
        """Return how many input pixels one pixel of the coarsest map spans, at most."""
        size = next(n for n in itertools.count(256) if self._output(n))
        lengths = [size]

        def record(_: nn.Module, __: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 2 + len(self.rest):
                lengths.append(output.shape[2 + self.axis])

        self.shapes.watch(self._shape(size), record)
        # One pixel is no map: something global, which shows itself in other ways.
        return math.ceil(size / min(length for length in lengths if length > 1))

    def _regular_size(self, at_least: int) -> tuple[int, int]:
        """Return a size that loses no pixel to rounding, and what is cut off of it.

        Refuse a network whose output has another resolution than its input.
        """
        cut, size = self._least_cut(at_least)
        larger, _ = self._least_cut(2 * at_least)
        if cut < 0 or cut != larger:
            raise CheckpointError(
                f"The output has {size - cut} pixels where the input has {size}.",
                "Only networks whose output lies on the input's pixels can be run.",
            )
        return size, cut

    def _least_cut(self, at_least: int) -> tuple[int, int]:
        """Return (cut, size) of the first size from `at_least` on that loses least."""
        cuts = [
            (size - found, size)
            for size in range(at_least, at_least + self.phases)
            if (found := self._output(size))
        ]
        if not cuts:
            raise CheckpointError(
                f"The network takes no image of about {at_least} pixels.",
                "Check the number of dimensions of the checkpoint.",
            )
        return min(cuts, key=lambda found: (found[0] < 0, abs(found[0])))

    def _smallest(self, size: int, cut: int, divisor: int) -> int:
        first = size % divisor if cut else 0
        for candidate in range(first or divisor, size, divisor):
            if self._output(candidate) == candidate - cut:
                return candidate
        return size

    # -- impulses ---------------------------------------------------------------

    def _responsive_copy(self, size: int) -> nn.Module:
        """Return a monotone copy; thin, unless some layer counts its channels."""
        shape = 1, self.in_channels, *self._shape(size)
        for thin in (True, False):
            found = monotone_copy(self.network, thin=thin)
            with contextlib.suppress(*REFUSALS), torch.inference_mode():
                dark = found(torch.zeros(shape, dtype=torch.float64))
                if (found(torch.ones(shape, dtype=torch.float64)) - dark).any():
                    return found
        raise CheckpointError(
            "The output of the network does not depend on its input.",
            "Check the checkpoint; it may be damaged.",
        )

    def _whole_responses(self, size: int) -> tuple[Tensor, int]:
        """Return responses that end within the image, and where the first was caused.

        The image grows from `size` on until they do.
        """
        while True:
            first = (size - self.phases) // 2
            # One impulse tells most of the cases apart, at a fraction of the cost.
            for n_impulses in (1, self.phases):
                responses = self._responses(size, range(first, first + n_impulses))
                cut_short = responses[:, 0].any() or responses[:, -1].any()
                if cut_short:
                    break
            else:
                return responses, first
            if size >= LARGEST_PROBE:
                raise CheckpointError(
                    "The receptive field of this network has no end within "
                    f"{size} pixels.",
                    "It cannot be tiled exactly; run it on whole images.",
                )
            size, _ = self._regular_size(2 * size)

    def _responses(self, size: int, positions: range) -> Tensor:
        """Return (positions, output size) responses to impulses."""
        shape = self._shape(size)
        n_at_once = max(1, PIXELS_AT_ONCE // math.prod(shape))
        rows = []
        with torch.inference_mode():
            dark = self.copy(self._impulses(shape, range(0)))
            for start in range(0, len(positions), n_at_once):
                some = positions[start : start + n_at_once]
                change = (self.copy(self._impulses(shape, some)) - dark).abs()
                rows.append(change.movedim(2 + self.axis, -1).flatten(1, -2).sum(dim=1))
        return torch.cat(rows)

    def _impulses(self, shape: tuple[int, ...], positions: range) -> Tensor:
        """Return one image for each position, bright in that one section only."""
        n = len(positions) or 1
        images = torch.zeros((n, self.in_channels, *shape), dtype=torch.float64)
        for image, position in zip(images, positions, strict=False):
            image.select(1 + self.axis, position).fill_(1.0)
        return images


def _period(responses: Tensor) -> int:
    """Return the smallest shift under which impulse responses repeat."""
    half = len(responses) // 2
    for shift in range(1, half + 1):
        moved = responses[shift : shift + half, shift:]
        if torch.allclose(moved, responses[:half, :-shift], rtol=1e-6, atol=0.0):
            return shift
    raise CheckpointError(
        "The network does not repeat on any grid of pixels: it is not convolutional.",
        "It cannot be tiled exactly; run it on whole images.",
    )


def _halo(responses: Tensor, first: int, divisor: int) -> Span:
    """Return how far (left, right) outputs depend beyond their block of the grid.

    `first` is the position of the first impulse in output coordinates. Tiles begin
    and end at multiples of the divisor: what counts is the distance from there.
    """
    left = right = 0
    for position, row in enumerate(responses, start=first):
        hit = torch.nonzero(row)[:, 0].tolist()
        if hit:
            left = max(left, hit[-1] // divisor * divisor - position)
            right = max(right, position - (hit[0] // divisor + 1) * divisor + 1)
    return left, right
