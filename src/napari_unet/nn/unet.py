"""The U-Net of Ronneberger, Fischer and Brox (2015), in 2-D and 3-D, in one file.

Contracting path, bottleneck, expansive path with skip connections, 1x1 head. The
original is `ronneberger2015`; the padded form with batch norm is the default.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.errors import AxesError, CheckpointError, SettingsError
from napari_unet.nn.undrawn import Undrawn
from napari_unet.settings import Architecture

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE: dict[int, type[nn.Module]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
NORM: dict[tuple[str, int], type[nn.Module]] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}
UPSAMPLINGS = ("transposed", "bilinear", "nearest")

PoolingFactors = tuple[tuple[int, ...], ...]


class UNet(nn.Module):
    """U-Net; `forward` takes (N, C, [Z,] Y, X) and returns logits.

    Parameters
    ----------
    architecture
        The arguments; see `napari_unet.settings.Architecture`.

    Raises
    ------
    SettingsError
        If the pooling does not have one entry per stage and axis.
    """

    form: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = arch = architecture
        self.pooling = pooling_factors(arch)
        widths = [arch.base_channels * 2**level for level in range(arch.depth + 1)]
        inputs = [arch.in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            _stage(arch, n_in, n_out)
            for n_in, n_out in zip(inputs, widths, strict=True)
        )
        self.pools = nn.ModuleList(MAX_POOL[arch.ndim](f) for f in self.pooling)
        self.dropout = nn.Dropout(arch.dropout)
        steps = list(
            zip(widths[:0:-1], widths[-2::-1], self.pooling[::-1], strict=True)
        )
        self.up = nn.ModuleList(_up(arch, *step) for step in steps)
        self.decoder = nn.ModuleList(_stage(arch, 2 * n, n) for _, n, _ in steps)
        self.head = CONV[arch.ndim](widths[0], arch.out_channels, 1)
        # What no weight's shape tells, so that a bare state dict rebuilds the network.
        self.register_buffer("form", encode_form(arch))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for `x`; raise `AxesError` for a size it cannot take."""
        # A trace's sizes are no numbers.
        if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            self._check(x)
        skips = []
        for stage, pool in zip(self.encoder[:-1], self.pools, strict=True):
            x = stage(x)
            skips.append(x)
            x = pool(x)
        x = self.dropout(self.encoder[-1](x))
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = up(x)
            x = torch.cat([center_crop(skips.pop(), x.shape[2:]), x], dim=1)
            x = stage(x)
        logits: Tensor = self.head(x)
        return logits

    def output_size(self, size: int, axis: int) -> int | None:
        """Return the output size along spatial `axis`, or None if `size` is refused."""
        factors = [factor[axis] for factor in self.pooling]
        arch = self.architecture
        # A single pixel has no statistics of its own.
        least = 2 if arch.norm == "instance" else 1
        if arch.padded:
            n_coarse, left_over = divmod(size, math.prod(factors))
            return size if n_coarse >= least and not left_over else None
        for factor in factors:
            size -= 4
            if size < least or size % factor:
                return None
            size //= factor
        for factor in (1, *reversed(factors)):
            margin = _edge(factor) if arch.upsampling == "bilinear" else 0
            size = size * factor - 2 * margin - 4
            if size < least:
                return None
        return size

    def nearest_size(self, size: int, axis: int) -> int:
        """Return the size nearest to `size` that the network takes; larger on ties."""
        divisor = math.prod(factor[axis] for factor in self.pooling)
        sizes = (n for n in itertools.count(1) if self.output_size(n, axis))
        smallest = next(sizes)
        steps = (2 * (size - smallest) + divisor) // (2 * divisor)
        return smallest + max(0, steps) * divisor

    def along(self, axis: int) -> UNet:
        """Return a 2-D, one-channel twin with this network's spatial `axis` as Y.

        Nothing is pooled along X: its geometry along Y is cheap to probe. It has no
        values yet.
        """
        pooling = tuple((stage[axis], 1) for stage in self.pooling)
        thin = {"in_channels": 1, "out_channels": 1, "base_channels": 1}
        with Undrawn():  # another thread may be drawing a network's first weights
            return UNet(self.architecture.replace(ndim=2, pooling=pooling, **thin))

    def _check(self, x: Tensor) -> None:
        arch = self.architecture
        if x.ndim != arch.ndim + 2 or x.shape[1] != arch.in_channels:
            raise AxesError(
                f"The network takes (N, {arch.in_channels}, {'Z, ' * (arch.ndim == 3)}"
                f"Y, X), but was given {tuple(x.shape)}.",
                "Give the channels and axes it was trained with.",
            )
        sizes = tuple(x.shape[2:])
        if any(self.output_size(n, axis) is None for axis, n in enumerate(sizes)):
            nearest = tuple(self.nearest_size(n, axis) for axis, n in enumerate(sizes))
            raise AxesError(
                f"The network cannot take an image of {sizes} pixels.",
                f"The nearest size that it can take is {nearest}.",
            )


def ronneberger2015(
    *, in_channels: int = 1, out_channels: int = 2, base_channels: int = 64
) -> Architecture:
    """Return the arguments of the 2015 network: 31,030,658 parameters, 572 -> 388."""
    return Architecture(
        in_channels=in_channels,
        out_channels=out_channels,
        base_channels=base_channels,
        padded=False,
        norm="none",
        dropout=0.5,
    )


def pooling_factors(architecture: Architecture) -> PoolingFactors:
    """Return the pooling per stage and axis, with the default written out."""
    if not architecture.pooling:
        return ((2,) * architecture.ndim,) * architecture.depth
    factors = architecture.pooling
    if len(factors) != architecture.depth or any(
        len(stage) != architecture.ndim for stage in factors
    ):
        raise SettingsError(
            f"The pooling {factors} does not have {architecture.depth} stages of "
            f"{architecture.ndim} factors.",
            "Give one factor per axis for each stage, such as ((1, 2, 2), (2, 2, 2)).",
        )
    return factors


def center_crop(x: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """Return the central part of (N, C, ...) with spatial `size`."""
    for axis, (old, new) in enumerate(zip(x.shape[2:], size, strict=True), start=2):
        if old != new:
            x = x.narrow(axis, (old - new) // 2, new)
    return x


class CropEdges(nn.Module):
    """Cut `margin` pixels off both ends of each spatial axis.

    Interpolation beyond the edge would clamp; in the valid form such pixels go.
    """

    def __init__(self, margin: tuple[int, ...]) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        """Crop (N, C, ...)."""
        for axis, margin in enumerate(self.margin, start=2):
            x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
        return x


def _edge(factor: int) -> int:
    return factor // 2


def _stage(arch: Architecture, n_in: int, n_out: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, channels in ((1, n_in), (2, n_out)):
        layers[f"conv{number}"] = CONV[arch.ndim](
            channels, n_out, 3, padding=int(arch.padded), bias=arch.norm == "none"
        )
        if arch.norm == "batch":
            layers[f"norm{number}"] = NORM["batch", arch.ndim](n_out)
        elif arch.norm == "instance":
            layers[f"norm{number}"] = NORM["instance", arch.ndim](n_out, affine=True)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def _up(
    arch: Architecture, n_in: int, n_out: int, factor: tuple[int, ...]
) -> nn.Module:
    if arch.upsampling == "transposed":
        return CONV_TRANSPOSE[arch.ndim](n_in, n_out, factor, stride=factor)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    linear = arch.upsampling == "bilinear"
    mode = ("bilinear" if arch.ndim == 2 else "trilinear") if linear else "nearest"
    scale = tuple(float(f) for f in factor)
    layers["grow"] = nn.Upsample(scale_factor=scale, mode=mode)
    if linear and not arch.padded:
        layers["crop"] = CropEdges(tuple(_edge(f) for f in factor))
    layers["conv"] = CONV[arch.ndim](n_in, n_out, 1)
    return nn.Sequential(layers)


def empty_unet(architecture: Architecture) -> UNet:
    """Return a U-Net without values, on the meta device: nothing is drawn, or stored.

    For its tensors' names and shapes, and to be given weights; ten times as fast.
    """
    with torch.device("meta"), Undrawn():
        return UNet(architecture)


def _initialise(module: nn.Module) -> None:
    """Gaussian weights with standard deviation sqrt(2 / N), N the incoming nodes."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        incoming = math.prod(module.weight.shape[1:])
    elif isinstance(module, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
        incoming = module.weight.shape[0]  # stride = kernel: one tap per output pixel
    else:
        return
    nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def encode_form(architecture: Architecture) -> Tensor:
    """Return what no weight's shape tells: padding, up-sampling, pooling."""
    head = [int(architecture.padded), UPSAMPLINGS.index(architecture.upsampling)]
    stages = pooling_factors(architecture)
    return torch.tensor(head + [factor for stage in stages for factor in stage])


def infer_architecture(
    state: Mapping[str, Tensor], name: str = "The file"
) -> Architecture:
    """Read the arguments of a `UNet` off its state dict; dropout leaves no trace.

    Raises
    ------
    CheckpointError
        If the tensors are not those of a `UNet`.
    """
    try:
        return Architecture.parse(_read_arguments(state))
    except (
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        SettingsError,
    ) as error:
        raise CheckpointError(
            f"{name} does not hold the tensors of this package's U-Net.",
            "Load a checkpoint that was saved here.",
        ) from error


def _read_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    first, head = state["encoder.0.conv1.weight"], state["head.weight"]
    ndim = first.ndim - 2
    padded, upsampling, *factors = (int(value) for value in state["form"])
    return {
        "ndim": ndim,
        "in_channels": first.shape[1],
        "out_channels": head.shape[0],
        "depth": len(factors) // ndim,
        "base_channels": first.shape[0],
        "padded": bool(padded),
        "norm": _infer_norm(state),
        "upsampling": dict(enumerate(UPSAMPLINGS))[upsampling],
        "pooling": _decode_pooling(factors, ndim),
    }


def _decode_pooling(factors: list[int], ndim: int) -> list[list[int]]:
    if set(factors) == {2}:
        return []
    return [factors[i : i + ndim] for i in range(0, len(factors), ndim)]


def _infer_norm(state: Mapping[str, Tensor]) -> str:
    if "encoder.0.norm1.running_mean" in state:
        return "batch"
    return "instance" if "encoder.0.norm1.weight" in state else "none"
