"""Axes of a bioimage.io description, from a recipe and the probed geometry.

Sizes are ``min + n * step``; what the network's own border reaches is a halo, what
valid convolutions cut off is a negative offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.core.tiling import AxisGeometry, Geometry
from napari_unet.settings import Recipe

INPUT, OUTPUT = "input", "output"

Described = dict[str, Any]


@dataclass(frozen=True)
class AxisSizes:
    """Which sizes one spatial axis takes, and what they give.

    Parameters
    ----------
    minimum, step
        Input sizes are `minimum` + n * `step`.
    halo
        Output pixels on each side that depend on the border.
    cut
        Pixels that the output is shorter.
    """

    minimum: int
    step: int
    halo: int
    cut: int

    def test_size(self, least: int) -> int:
        """Return a size from `least` on that is not the smallest."""
        room = max(1, -(-(least - self.minimum) // self.step))
        return self.minimum + room * self.step


def axis_sizes(axis: AxisGeometry) -> AxisSizes:
    """Return the sizes of one axis; at the smallest one, one block is free of border.

    The halo is the larger side's: the format knows but one number.
    """
    halo = max(axis.aligned_halo)
    cut = sum(axis.crop)
    minimum = axis.accepted_size(cut + 2 * halo + 1)
    return AxisSizes(minimum, axis.divisor, halo, cut)


def input_axes(recipe: Recipe, geometry: Geometry, *, blocks: bool) -> list[Described]:
    """Return the input's axes: batch, channel, then space.

    Parameters
    ----------
    recipe
        Names of the channels and the pixel size.
    geometry
        Of the network.
    blocks
        Whether an image may be processed block by block without a change.
    """
    n_channels = recipe.architecture.in_channels
    names = list(recipe.input_channels) or [f"channel{i}" for i in range(n_channels)]
    return [
        {"type": "batch"},
        {"type": "channel", "channel_names": names},
        *(
            {
                **_space(recipe, index),
                "size": {"min": sizes.minimum, "step": sizes.step},
                "concatenable": blocks,
            }
            for index, sizes in enumerate(map(axis_sizes, geometry))
        ),
    ]


def output_axes(recipe: Recipe, geometry: Geometry) -> list[Described]:
    """Return the output's axes, sized after the input's."""
    return [
        {"type": "batch"},
        {"type": "channel", "channel_names": list(recipe.channels)},
        *(
            {
                **_space(recipe, index),
                "size": {
                    "tensor_id": INPUT,
                    "axis_id": _letters(recipe)[index],
                    "offset": -sizes.cut,
                },
                **({"halo": sizes.halo} if sizes.halo else {}),
            }
            for index, sizes in enumerate(map(axis_sizes, geometry))
        ),
    ]


def _letters(recipe: Recipe) -> str:
    return "zyx"[-recipe.architecture.ndim :]


def _space(recipe: Recipe, index: int) -> Described:
    axis: Described = {"type": "space", "id": _letters(recipe)[index]}
    if recipe.pixel_size is not None:
        axis |= {"unit": "micrometer", "scale": recipe.pixel_size[index]}
    return axis
