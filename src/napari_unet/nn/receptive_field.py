"""Receptive field: halo, divisor, crop and memory of a network, computed, never typed.

A copy of the network is thinned to one channel with positive weights, so that nothing
can cancel; an impulse at every phase of its grid then shows exactly which outputs
depend on which inputs, also through pooling, skips and interpolation.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core.tiling import AxisGeometry, Geometry
from napari_unet.errors import CheckpointError, UNetError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FIXED_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm)
SATURATING = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid, nn.Tanh)
ADAPTIVE = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
LARGEST_DIVISOR = 512
LARGEST_PROBE = 4096


def tile_dependent_layers(network: nn.Module) -> tuple[str, ...]:
    """Name the layers whose result depends on how the image is cut.

    Normalisation by the tile's own statistics, attention, adaptive pooling and
    interpolation relative to the tile's corners. Empty: tiling can be exact.
    """
    return tuple(
        f"{name} ({type(module).__name__})"
        for name, module in network.named_modules()
        if _is_tile_dependent(module)
    )


def _is_tile_dependent(module: nn.Module) -> bool:
    if isinstance(module, (*FIXED_NORMS, *INSTANCE_NORMS)):
        return not module.track_running_stats or module.running_mean is None
    if isinstance(module, nn.Upsample):
        fixed_size = module.size is not None
        return fixed_size or bool(module.align_corners)
    return isinstance(module, (*OTHER_NORMS, *ADAPTIVE, nn.MultiheadAttention))


def network_geometry(network: nn.Module, *, ndim: int, in_channels: int) -> Geometry:
    """Probe divisor, halo, crop and smallest size of a network, axis by axis.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); it is not changed. If it has a method `along(axis)`,
        the 2-D twin that this returns is probed along Y instead.
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
    if along is not None:
        return tuple(_Probe(along(axis), 0, 2, 1).run() for axis in range(ndim))
    return tuple(_Probe(network, axis, ndim, in_channels).run() for axis in range(ndim))


def bytes_per_pixel(network: nn.Module, *, ndim: int, in_channels: int) -> float:
    """Estimate the bytes of activations for each input pixel, in float32.

    The widest layer's input and output at once, and one map a resolution for the
    skips. Measured on the meta device: no arithmetic is done.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); it is not changed.
    ndim
        Spatial dimensions.
    in_channels
        Channels that it takes.
    """
    meta = copy.deepcopy(network).to("meta").eval()
    widest, skips = 0, dict[int, int]()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        nonlocal widest
        if not isinstance(output, Tensor) or list(module.children()):
            return
        seen = sum(x.numel() for x in inputs)
        widest = max(widest, seen + output.numel())
        pixels = math.prod(output.shape[2:])
        skips[pixels] = max(skips.get(pixels, 0), output.numel())

    for module in meta.modules():
        module.register_forward_hook(record)
    shape = _accepted_shape(meta, ndim, in_channels, at_least=256 if ndim == 2 else 64)
    with torch.inference_mode():
        meta(torch.empty(1, in_channels, *shape, device="meta"))
    return float(4 * (widest + sum(skips.values())) / math.prod(shape))


class _ThinConv(nn.Module):
    """A convolution on the channels' mean, with random positive weights."""

    def __init__(self, conv: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.conv: Any = type(conv)(
            1,
            1,
            conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            bias=False,
            **({"output_padding": conv.output_padding} if conv.transposed else {}),
            padding_mode=conv.padding_mode,
            dtype=torch.float64,
        )
        kernel: Tensor = self.conv.weight
        random = torch.rand(kernel.shape, generator=generator, dtype=kernel.dtype)
        kernel.data = (0.5 + random) / kernel.numel()

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Convolve the mean of the channels."""
        result: Tensor = self.conv(x.mean(dim=1, keepdim=True))
        return result


def _thin_copy(network: nn.Module) -> nn.Module:
    thin = copy.deepcopy(network).to("cpu").double().eval()
    generator = torch.Generator().manual_seed(0)
    for parent in list(thin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (*CONVOLUTIONS, *TRANSPOSED)):
                parent.add_module(name, _ThinConv(child, generator))
            elif isinstance(
                child, (*FIXED_NORMS, *INSTANCE_NORMS, *OTHER_NORMS, *SATURATING)
            ):
                parent.add_module(name, nn.Identity())
    return thin


def _output_shape(
    meta: nn.Module, in_channels: int, shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return the spatial output shape, without arithmetic; None if refused."""
    try:
        with torch.inference_mode():
            output = meta(torch.empty(1, in_channels, *shape, device="meta"))
    except (UNetError, RuntimeError, ValueError):
        return None
    found = tuple(output.shape[2:])
    return found if min(found) > 0 else None


def _accepted_shape(
    meta: nn.Module, ndim: int, in_channels: int, *, at_least: int = 1
) -> tuple[int, ...]:
    """Return a cube that the network takes."""
    for size in _sizes(at_least):
        if _output_shape(meta, in_channels, (size,) * ndim):
            return (size,) * ndim
    raise CheckpointError(
        f"The network takes no image of up to {LARGEST_DIVISOR} pixels a side.",
        "Check the number of channels and dimensions of the checkpoint.",
    )


def _sizes(at_least: int) -> Iterator[int]:
    """Yield sizes to try: multiples of large powers of two first, then all."""
    powers = (2**k for k in range(1, 10) if 2**k >= at_least)
    return itertools.chain(powers, range(at_least, LARGEST_DIVISOR))


class _Probe:
    """Impulse responses of a network along one axis."""

    def __init__(
        self, network: nn.Module, axis: int, ndim: int, in_channels: int
    ) -> None:
        self.axis, self.in_channels = axis, in_channels
        self.thin = _thin_copy(network)
        self.meta = copy.deepcopy(network).to("meta").eval()
        self.rest = self._shrunk(_accepted_shape(self.meta, ndim, in_channels))

    def run(self) -> AxisGeometry:
        phases = 2 * self._coarsest()
        size = self._accepted_size(8 * phases)
        self._check_grid(size)
        while True:
            responses, first = self._responses(size, phases)
            if not (responses[:, 0].any() or responses[:, -1].any()):
                break
            if size > LARGEST_PROBE:
                raise CheckpointError(
                    "The receptive field of this network has no end within "
                    f"{LARGEST_PROBE} pixels.",
                    "It cannot be tiled exactly; run it on whole images.",
                )
            size = self._accepted_size(2 * size)
        cut = size - responses.shape[1]
        crop = cut // 2, cut - cut // 2
        divisor = _period(responses)
        return AxisGeometry(
            divisor=divisor,
            halo=crop if cut else _halo(responses, first, divisor),
            crop=crop,
            smallest=self._smallest(size, divisor),
        )

    def _check_grid(self, size: int) -> None:
        """Refuse a network whose output has another resolution than its input."""
        larger = self._accepted_size(size + 1)
        grown = [self._output(self._shape(n)) for n in (size, larger)]
        sizes = [shape[self.axis] for shape in grown if shape]
        if sizes[1] - sizes[0] != larger - size:
            raise CheckpointError(
                f"The output has {sizes[0]} pixels where the input has {size}.",
                "Only networks whose output lies on the input's pixels can be run.",
            )

    def _shape(self, size: int) -> tuple[int, ...]:
        return (*self.rest[: self.axis], size, *self.rest[self.axis + 1 :])

    def _shrunk(self, cube: tuple[int, ...]) -> tuple[int, ...]:
        """Return `cube` with the other axes as short as the network allows."""
        shape = list(cube)
        for other in range(len(cube)):
            for size in range(1, cube[other]):
                trial = (*shape[:other], size, *shape[other + 1 :])
                if other != self.axis and self._output(trial):
                    shape[other] = size
                    break
        return tuple(shape)

    def _output(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        return _output_shape(self.meta, self.in_channels, shape)

    def _accepted_size(self, at_least: int) -> int:
        for size in range(at_least, at_least + LARGEST_DIVISOR):
            if self._output(self._shape(size)):
                return size
        raise CheckpointError(
            f"The network takes no image of about {at_least} pixels.",
            "Check the number of dimensions of the checkpoint.",
        )

    def _smallest(self, size: int, divisor: int) -> int:
        for candidate in range(size % divisor or divisor, size, divisor):
            if self._output(self._shape(candidate)):
                return candidate
        return size

    def _coarsest(self) -> int:
        """Return how many input pixels one pixel of the coarsest map spans, at most."""
        size = self._accepted_size(256)
        ratios = [1.0]

        def record(_: nn.Module, __: tuple[Tensor, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 2 + len(self.rest):
                ratios.append(size / output.shape[2 + self.axis])

        hooks = [m.register_forward_hook(record) for m in self.meta.modules()]
        self._output(self._shape(size))
        for hook in hooks:
            hook.remove()
        return min(math.ceil(max(ratios)), LARGEST_DIVISOR)

    def _responses(self, size: int, phases: int) -> tuple[Tensor, int]:
        """Return (phases, output size) responses to impulses from `first` on."""
        first = (size - phases) // 2
        centre = [n // 2 for n in self.rest]
        blank = torch.zeros(1, self.in_channels, *self._shape(size)).double()
        rows = []
        with torch.inference_mode():
            baseline = self.thin(blank)
            for q in range(first, first + phases):
                x = blank.clone()
                middle = (*centre[: self.axis], q, *centre[self.axis + 1 :])
                for channel in range(self.in_channels):
                    x[(0, channel, *middle)] = 1.0
                change = (self.thin(x) - baseline).abs()
                rows.append(change.transpose(0, 2 + self.axis).flatten(1).sum(dim=1))
        return torch.stack(rows), first


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


def _halo(responses: Tensor, first: int, divisor: int) -> tuple[int, int]:
    """Return how far (left, right) outputs depend beyond their block of the grid.

    `first` is the position of the first impulse in output coordinates. Tiles begin
    and end at multiples of the divisor: what counts is the distance from there.
    """
    left = right = 0
    for q, row in enumerate(responses, start=first):
        hit = torch.nonzero(row)[:, 0]
        lowest, highest = int(hit[0]), int(hit[-1])
        left = max(left, highest // divisor * divisor - q)
        right = max(right, q - (lowest // divisor + 1) * divisor + 1)
    return left, right
