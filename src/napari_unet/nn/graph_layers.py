"""The layers that the steps of a graph stand for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Convolution,
    Merge,
    Norm,
    Pad,
    Pool,
    Resize,
)
from napari_unet.nn.unet import CONV, CONV_TRANSPOSE, MAX_POOL, NORM, center_crop

AVERAGE_POOL: dict[int, type[nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
PADS: dict[tuple[str, int], type[nn.Module]] = {
    ("zeros", 2): nn.ZeroPad2d,
    ("zeros", 3): nn.ZeroPad3d,
    ("reflect", 2): nn.ReflectionPad2d,
    ("reflect", 3): nn.ReflectionPad3d,
    ("replicate", 2): nn.ReplicationPad2d,
    ("replicate", 3): nn.ReplicationPad3d,
}
LINEAR = {2: "bilinear", 3: "trilinear"}
PLAIN_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class Concatenate(nn.Module):
    """Stack values along their channels."""

    def forward(self, *values: Tensor) -> Tensor:
        """Take (N, C, ...) each."""
        return torch.cat(values, dim=1)


class Add(nn.Module):
    """Add values."""

    def forward(self, *values: Tensor) -> Tensor:
        """Take (N, C, ...) each."""
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


class Multiply(nn.Module):
    """Multiply a value by another, pixel by pixel."""

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:
        """Take (N, C, ...), and (N, C or 1, ...)."""
        return x * factor


class CropLike(nn.Module):
    """Cut the centre out of a value, as large as another."""

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Take (N, C, ...) each."""
        return center_crop(x, like.shape[2:])


class StridedNearest(nn.Module):
    """Keep one pixel in so many per axis."""

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, ...)."""
        kept = tuple(slice(None, None, step) for step in self.stride)
        return x[(slice(None), slice(None), *kept)]


MERGES: dict[str, type[nn.Module]] = {
    "concatenate": Concatenate,
    "add": Add,
    "crop": CropLike,
    "multiply": Multiply,
}


def make_layer(step: AnyStep, n_in: int, ndim: int) -> nn.Module:
    """Return the layer of a step that reads `n_in` channels."""
    if isinstance(step, Convolution):
        return _convolution(step, n_in, ndim)
    if isinstance(step, Norm):
        return _norm(step, n_in, ndim)
    if isinstance(step, Activation):
        return _activation(step)
    if isinstance(step, Merge):
        return MERGES[step.kind]()
    return _spatial(step, ndim)


def _spatial(step: Pool | Pad | Resize, ndim: int) -> nn.Module:
    if isinstance(step, Pool):
        kinds = {"max": MAX_POOL, "average": AVERAGE_POOL}
        padding = step.padding or (0,) * ndim
        return kinds[step.kind][ndim](step.kernel, step.stride, padding)
    if isinstance(step, Pad):
        pairs = zip(step.before[::-1], step.after[::-1], strict=True)
        return PADS[step.mode, ndim](tuple(n for pair in pairs for n in pair))
    return _resize(step, ndim)


def _convolution(step: Convolution, n_in: int, ndim: int) -> nn.Module:
    how: dict[str, Any] = {
        "stride": step.stride,
        "padding": step.padding,
        "dilation": step.dilation,
        "groups": step.groups,
        "bias": step.bias,
    }
    if step.transposed:
        extra = step.output_padding or (0,) * ndim
        how["output_padding"] = extra
        return CONV_TRANSPOSE[ndim](n_in, step.out, step.kernel, **how)
    how["padding_mode"] = step.padding_mode
    return CONV[ndim](n_in, step.out, step.kernel, **how)


def _norm(step: Norm, n_in: int, ndim: int) -> nn.Module:
    if step.kind == "group":
        return nn.GroupNorm(step.groups, n_in, eps=step.eps, affine=step.affine)
    tracked = step.tracked
    return NORM[step.kind, ndim](
        n_in, eps=step.eps, affine=step.affine, track_running_stats=tracked
    )


def _activation(step: Activation) -> nn.Module:
    if step.kind == "leaky_relu":
        return nn.LeakyReLU(step.slope)
    if step.kind == "elu":
        return nn.ELU(step.slope)
    if step.kind == "prelu":
        return nn.PReLU(step.parameters)
    if step.kind == "softmax":
        return nn.Softmax(dim=1)
    return PLAIN_ACTIVATIONS[step.kind]()


def _resize(step: Resize, ndim: int) -> nn.Module:
    shrinks = all(factor < 1 for factor in step.factor)
    strides = tuple(round(1 / factor) for factor in step.factor)
    if shrinks and step.mode == "nearest":
        return StridedNearest(strides)
    if step.mode == "nearest":
        return nn.Upsample(scale_factor=step.factor, mode="nearest")
    return nn.Upsample(
        scale_factor=step.factor,
        mode=LINEAR[ndim],
        align_corners=step.align_corners,
    )
