"""A legend: which colour is which class, in the corner of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont


def draw_legend(
    picture: npt.NDArray[np.uint8], entries: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.uint8]:
    """Write names and colours into the upper left corner.

    Parameters
    ----------
    picture
        (Y, X, 3).
    entries
        Colour (3 numbers of 0..255) by name.

    Returns
    -------
    numpy.ndarray
        A copy with the legend; `picture` itself if there is nothing to say, or no
        room for it (more than half the width, or the height).
    """
    size = max(10, min(picture.shape[:2]) // 40)
    font = ImageFont.load_default(size)
    width = max((int(font.getlength(name)) for name in entries), default=0) + 3 * size
    height = len(entries) * (size + 4) + size // 2
    if not entries or width > picture.shape[1] // 2 or height > picture.shape[0]:
        return picture
    canvas = Image.fromarray(picture).convert("RGBA")
    shade = Image.new("RGBA", canvas.size)
    pen = ImageDraw.Draw(shade)
    pen.rectangle((0, 0, width, height), fill=(0, 0, 0, 170))
    for row, (name, colour) in enumerate(entries.items()):
        top = row * (size + 4) + size // 4
        box = (size // 2, top + 2, size // 2 + size, top + size)
        pen.rectangle(box, fill=tuple(int(c) for c in colour))
        pen.text((2 * size, top), name, font=font, fill=(255, 255, 255, 255))
    return np.array(Image.alpha_composite(canvas, shade).convert("RGB"))
