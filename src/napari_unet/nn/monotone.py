"""Monotone copies: a network remade so that dependence can be seen and cannot cancel.

All weights are positive, biases zero and activations linear for positive values: what
an impulse on a black image can reach comes out above zero, all else as exactly zero,
also through pooling, skips and interpolation. Shapes behave as in the original.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.nn.undrawn import Undrawn

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
FIXED_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm)
SATURATING = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid, nn.Tanh)
NO_MATTER = (*FIXED_NORMS, *INSTANCE_NORMS, *OTHER_NORMS, *SATURATING)


def monotone_copy(network: nn.Module, *, thin: bool) -> nn.Module:
    """Return a float64 copy on the CPU whose outputs only grow with its inputs.

    Parameters
    ----------
    network
        It is not changed.
    thin
        Whether each convolution is replaced by one on the mean of its channels, with
        one channel out. Far cheaper, but layers that count channels may refuse it.
    """
    generator = torch.Generator().manual_seed(0)
    replaced: dict[int, Any] = {}
    for module in network.modules():
        if isinstance(module, NO_MATTER):
            replaced[id(module)] = nn.Identity()
        elif thin and type(module) in CONVOLUTIONS:
            with Undrawn():  # all values are set below
                replaced[id(module)] = ThinConvolution(module)
    # What has a stand-in in the memo is not copied, wherever it is used.
    found = copy.deepcopy(network, replaced)
    found = found.to("cpu", torch.float64).eval().requires_grad_(False)
    for name, parameter in found.named_parameters():
        _make_positive(name, parameter, generator)
    return found


class ThinConvolution(nn.Module):
    """A convolution on the mean of its channels, with one channel out.

    Parameters
    ----------
    original
        Any of torch's convolutions; its kernel, stride and padding are taken.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        transposed = {"output_padding": original.output_padding}
        self.n_in: int = original.in_channels
        self.n_out: int = original.out_channels
        self.convolution = type(original)(
            1,
            1,
            original.kernel_size,
            stride=original.stride,
            padding=original.padding,
            dilation=original.dilation,
            bias=False,
            padding_mode=original.padding_mode,
            **(transposed if original.transposed else {}),
        )

    def forward(self, x: Tensor, *output_size: Any) -> Tensor:
        """Convolve the mean of the channels."""
        mean = x.mean(dim=1, keepdim=True)
        result: Tensor = self.convolution(mean, *output_size)
        return result


def _make_positive(name: str, parameter: Tensor, generator: torch.Generator) -> None:
    """Draw values around one over the number of inputs; a bias becomes zero."""
    if name.rpartition(".")[2] == "bias":
        parameter.zero_()
        return
    random = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
    n_inputs = parameter[0].numel() if parameter.ndim > 1 else 1
    parameter.copy_((0.5 + random) / n_inputs)
