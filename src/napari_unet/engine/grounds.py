"""Background: its pieces in one block, where holes are looked for.

A hole may lie across many blocks; whether it is one, and whose, is found out when all
pieces are joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.components import label_components
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.faces import faces
from napari_unet.engine.survey import sizes_and_firsts

Array = npt.NDArray[Any]


def background(codes: Array, connectivity: int) -> npt.NDArray[np.int32]:
    """Return the components of the background within one block, from 1."""
    outside = 3 if connectivity == 1 else 1
    return label_components(codes == 0, connectivity=outside)


def survey_ground(
    codes: Array, blocks: Blocks, number: int, connectivity: int
) -> dict[str, Array]:
    """Return size, first pixel and openness of background, and the codes it touches."""
    ground = background(codes, connectivity)
    sizes, first = sizes_and_firsts(ground)
    is_open = np.zeros(sizes.size + 1, bool)
    parts = zip(blocks.region(number), blocks.shape, strict=True)
    touch = [np.empty((2, 0), np.int64)]
    for axis, (part, n) in enumerate(parts):
        turned, other = np.moveaxis(ground, axis, 0), np.moveaxis(codes, axis, 0)
        if n > 1 and part.start == 0:
            is_open[np.unique(turned[0])] = True
        if n > 1 and part.stop == n:
            is_open[np.unique(turned[-1])] = True
        touch.append(_meetings(turned[:-1], other[1:]))
        touch.append(_meetings(turned[1:], other[:-1]))
    return {
        "ground_size": sizes,
        "ground_first": blocks.global_index(number, first),
        "ground_open": is_open[1:],
        "ground_touch": np.unique(np.concatenate(touch, axis=1), axis=1),
        **faces("ground", ground),
    }


def _meetings(ground: Array, codes: Array) -> npt.NDArray[np.int64]:
    """Return the different pairs (2, n) of background and codes at the same place."""
    both = (ground > 0) & (codes > 0)
    pairs = np.stack([ground[both], codes[both]]).astype(np.int64)
    return np.asarray(np.unique(pairs, axis=1))
