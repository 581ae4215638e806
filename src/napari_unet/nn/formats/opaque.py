"""Opaque networks: run as they are, and known only by what goes in and what comes out.

TorchScript and ONNX files bring their own network. Its dimensions, channels and sizes
are found by trying; its geometry is measured (`nn.empirical_geometry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.building import assume_recipe
from napari_unet.nn.shapes import REFUSALS
from napari_unet.settings import Opaque, Recipe

# Sides that are tried, by number of spatial axes: large enough for deep networks.
SIDES = {2: (64, 256, 512), 3: (32, 64, 128)}
CHANNELS = (1, 3, 2, 4)


@dataclass(frozen=True)
class Form:
    """What an opaque network takes and gives.

    Parameters
    ----------
    ndim
        Spatial dimensions.
    in_channels, out_channels
        Channels.
    bounded
        Whether all its outputs lie between 0 and 1: it ends in an activation.
    """

    ndim: int
    in_channels: int
    out_channels: int
    bounded: bool


class OpaqueNetwork(nn.Module):
    """A network that takes and gives one tensor.

    Attributes
    ----------
    form
        What it takes and gives.
    width
        Channels of its widest map at full resolution, about.
    """

    form: Form
    width: int = 64

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes of activations for each pixel read: six maps of that width, float32."""
        return 4.0 * 6 * self.width


def assume_opaque_recipe(
    form: Form, kind: str, name: str
) -> tuple[Recipe, tuple[str, ...]]:
    """Return a recipe for a network that came with its file, and what was assumed."""
    architecture = Opaque.parse(
        {
            "ndim": form.ndim,
            "in_channels": form.in_channels,
            "out_channels": form.out_channels,
            "format": kind,
        }
    )
    recipe, notes = assume_recipe(architecture, name)
    measured = f"The geometry of this {kind} network was measured, not computed."
    if not form.bounded:
        return recipe, (*notes, measured)
    ends = "Its outputs lie between 0 and 1: no activation was added."
    return recipe.replace(activation="none"), (*notes, ends, measured)


def find_form(
    run: Callable[[Tensor], Tensor],
    *,
    ndims: Iterable[int] = (2, 3),
    channels: Iterable[int] = CHANNELS,
) -> Form:
    """Try small images until the network takes one.

    Parameters
    ----------
    run
        The network.
    ndims, channels
        What is tried, the likeliest first.

    Raises
    ------
    CheckpointError
        If it takes none, or does not give one image of the same dimensions.
    """
    numbers = tuple(dict.fromkeys(channels))
    for ndim in ndims:
        for n_channels in numbers:
            for side in SIDES[ndim]:
                found = _tried(run, ndim, n_channels, side)
                if found is not None:
                    return found
    raise CheckpointError(
        "The network takes no image of 1 to 4 channels, or does not give one back.",
        "Only networks from one image to one image can be run.",
    )


def _tried(
    run: Callable[[Tensor], Tensor], ndim: int, n_channels: int, side: int
) -> Form | None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((1, n_channels, *(side,) * ndim), generator=generator)
    try:
        with torch.inference_mode():
            outputs = [run(image * scale) for scale in (1.0, 30.0)]
    except REFUSALS:
        return None
    first = outputs[0]
    if first.ndim != ndim + 2 or len(first) != 1 or 0 in first.shape:
        return None
    bounded = all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in outputs)
    return Form(ndim, n_channels, first.shape[1], bounded)


def first_tensor(output: object) -> Tensor:
    """Return the tensor in a network's output: itself, or the first of several.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(output, (list, tuple)) and output:
        return first_tensor(output[0])
    if isinstance(output, dict) and output:
        return first_tensor(next(iter(output.values())))
    if not isinstance(output, Tensor):
        raise TypeError(f"the network gives {type(output).__name__}, not an image")
    return output
