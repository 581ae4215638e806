"""Shapes: which sizes a network takes, what comes out, and the memory it needs.

Nothing about a network's sizes is believed from a file: it is asked, or run.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError, UNetError
from napari_unet.nn.monotone import ThinConvolution, monotone_copy

# What networks raise when they are given an image that they cannot take.
REFUSALS = (
    UNetError,
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    AssertionError,
)
LARGEST_CUBE = 1024


class Shapes:
    """Which shapes a network takes, and what comes out.

    A network with `nearest_size(size, axis)`, as ours, is asked, and run as a thin
    copy. Any other is tried on the meta device, which computes nothing, but imports
    torch's compiler: that takes a second.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); it is not changed.
    ndim
        Spatial dimensions.
    in_channels
        Channels that it takes.
    """

    def __init__(self, network: nn.Module, ndim: int, in_channels: int) -> None:
        self.ndim, self.in_channels = ndim, in_channels
        self.nearest_size: Callable[[int, int], int] | None
        self.nearest_size = getattr(network, "nearest_size", None)
        if self.nearest_size is None:
            self.copy = copy.deepcopy(network).to("meta").eval()
        else:
            self.copy = monotone_copy(network, thin=True)

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the spatial output shape; None if the network refuses `shape`."""
        try:
            output = self._run(shape)
        except REFUSALS:
            return None
        found = tuple(output.shape[2:])
        return found if len(found) == self.ndim and min(found) > 0 else None

    def accepted(self, at_least: int) -> tuple[int, ...]:
        """Return a shape of about equal sides that the network takes."""
        if self.nearest_size is not None:
            return tuple(self.nearest_size(at_least, a) for a in range(self.ndim))
        powers = (2**k for k in range(11) if at_least <= 2**k <= LARGEST_CUBE)
        for size in itertools.chain(powers, range(at_least, LARGEST_CUBE)):
            if self.output((size,) * self.ndim):
                return (size,) * self.ndim
        raise CheckpointError(
            f"The network takes no image of up to {LARGEST_CUBE} pixels a side.",
            "Check the number of channels and dimensions of the checkpoint.",
        )

    def watch(self, shape: tuple[int, ...], hook: Callable[..., None]) -> None:
        """Run on an image of `shape` with `hook` after each module's forward."""
        handles = [m.register_forward_hook(hook) for m in self.copy.modules()]
        try:
            self._run(shape)
        finally:
            for handle in handles:
                handle.remove()

    def _run(self, shape: tuple[int, ...]) -> Tensor:
        asked = self.nearest_size is not None
        image = torch.zeros(
            (1, self.in_channels, *shape),
            device="cpu" if asked else "meta",
            dtype=torch.float64 if asked else torch.float32,
        )
        with torch.inference_mode():
            output: Tensor = self.copy(image)
        return output


def bytes_per_pixel(network: nn.Module, *, ndim: int, in_channels: int) -> float:
    """Estimate the bytes of activations for each input pixel, in float32.

    The widest layer's input and output at once, and one map a resolution for the
    skips.

    Parameters
    ----------
    network
        Takes (N, C, [Z,] Y, X); it is not changed.
    ndim
        Spatial dimensions.
    in_channels
        Channels that it takes.
    """
    shapes = Shapes(network, ndim, in_channels)
    cube = shapes.accepted(256 if ndim == 2 else 64)
    widest, maps = math.prod(cube) * in_channels, dict[int, int]()

    def record(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal widest
        n_in, n_out = _n_values(module, inputs, output)
        widest = max(widest, n_in + n_out)
        if isinstance(output, Tensor):
            n_pixels = math.prod(output.shape[2:])
            maps[n_pixels] = max(maps.get(n_pixels, 0), n_out)

    shapes.watch(cube, record)
    return 4 * (widest + sum(maps.values())) / math.prod(cube)


def _n_values(
    module: nn.Module, inputs: tuple[object, ...], output: object
) -> tuple[int, int]:
    """Return the numbers of values in and out of a layer; 0 for a container's."""
    n_in = n_out = 1
    if isinstance(module, ThinConvolution):
        n_in, n_out = module.n_in, module.n_out
    elif list(module.children()):
        n_in = n_out = 0
    # A thin layer's values are those of one channel: the original had more.
    seen = (x.numel() // x.shape[1] if n_in > 1 else x.numel() for x in _images(inputs))
    return n_in * sum(seen), n_out * sum(x.numel() for x in _images((output,)))


def _images(values: tuple[object, ...]) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor)]
