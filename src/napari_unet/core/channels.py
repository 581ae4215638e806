"""Channels: which of the image's channels the network sees, and in what order.

Guessing is limited to one case, colour to grey, and is said; all else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ChannelsError

# Luminance of ITU-R BT.709, as in skimage.color.rgb2gray.
LUMINANCE = (0.2125, 0.7154, 0.0721)


@dataclass(frozen=True)
class ChannelPlan:
    """Channels picked from an image, or its luminance.

    Parameters
    ----------
    picked
        Indices of the image's channels, in the network's order.
    grey
        Whether the three picked channels are mixed to one.
    note
        What a user should know about the choice; empty if nothing.
    """

    picked: tuple[int, ...]
    grey: bool = False
    note: str = ""

    def apply(self, tile: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn (C, ...) of the image into (C, ...) of the network, same dtype."""
        chosen = tile[list(self.picked)]
        if not self.grey:
            return chosen
        # Pixel by pixel: a matrix product may add in an order that depends on the tile.
        red, green, blue = chosen.astype(np.float64)
        mixed: npt.NDArray[Any] = (
            LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
        )
        if tile.dtype.kind != "f":
            mixed = np.rint(mixed)
        return mixed[None].astype(tile.dtype)


def plan_channels(
    n_image: int, n_network: int, *, rgb: bool, chosen: tuple[int, ...] = ()
) -> ChannelPlan:
    """Match the image's channels to the network's.

    Parameters
    ----------
    n_image
        Channels of the image.
    n_network
        Channels that the network takes.
    rgb
        Whether the image is a colour picture (3 samples, or 4 with alpha).
    chosen
        Indices given by the user; empty: all.

    Raises
    ------
    ChannelsError
        If the numbers do not fit, or an index does not exist.
    """
    if chosen:
        return _plan_chosen(n_image, n_network, chosen)
    if n_image == n_network:
        return ChannelPlan(tuple(range(n_image)))
    colour = rgb and n_image in (3, 4)
    if colour and n_network == 3:
        return ChannelPlan((0, 1, 2), note="The alpha channel is ignored.")
    if colour and n_network == 1:
        note = "The model takes one channel: the colour image is turned to grey."
        return ChannelPlan((0, 1, 2), grey=True, note=note)
    wanted = f"Choose {n_network} of them by index"
    if n_network > n_image:
        wanted = f"Give {n_network} indices, of which some are the same"
    raise ChannelsError(
        f"The model takes {n_network} channel(s), but the image has {n_image}.",
        f"{wanted} (channels=..., --channels), or correct the axes.",
    )


def first_channels(n_image: int, n_network: int, *, rgb: bool) -> tuple[int, ...]:
    """Return as many channels as the network takes, from the first on.

    Empty where `plan_channels` has an answer of its own, or there are too few.
    """
    is_planned = rgb and n_image in (3, 4) and n_network in (1, 3)
    if is_planned or n_network >= n_image:
        return ()
    return tuple(range(n_network))


def _plan_chosen(n_image: int, n_network: int, chosen: tuple[int, ...]) -> ChannelPlan:
    missing = [index for index in chosen if not 0 <= index < n_image]
    if missing:
        raise ChannelsError(
            f"Channel {missing[0]} does not exist: the image has {n_image}.",
            f"Choose from 0 to {n_image - 1}.",
        )
    if len(chosen) != n_network:
        raise ChannelsError(
            f"The model takes {n_network} channel(s), but {len(chosen)} were chosen.",
            f"Choose exactly {n_network}.",
        )
    return ChannelPlan(chosen)
