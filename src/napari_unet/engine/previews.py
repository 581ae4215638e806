"""Previews: labels to be looked at before those of the whole image are there.

A block's objects, separated without its neighbours, are written where the labels will
be, on every level of the pyramid. They are provisional: those that a block's edge cuts
are cut, and numbers are not final. The last step writes over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.engine.blocks import Region
from napari_unet.engine.stores import (
    Store,
    create_level,
    is_made,
    n_levels_of,
    open_array,
)

# Numbers of a block start at a place that depends on where it lies, so that cells of
# neighbours rarely have the same.
SPREAD, LARGEST = 2654435761, 2**30


def create_previews(store: Store) -> None:
    """Make the levels of the pyramid that are not there."""
    group = store.labels_path
    for level in range(1, n_levels_of(open_array(group / "0").shape)):
        if not is_made(group / str(level)):
            create_level(group, level)


def write_preview(
    store: Store,
    sample: Mapping[str, int],
    region: Region,
    labels: npt.NDArray[np.int32],
) -> None:
    """Write provisional labels of a block to all levels of the pyramid."""
    first = sum(part.start * 31**i for i, part in enumerate(region)) * SPREAD
    shown = np.where(labels > 0, labels + first % LARGEST, 0).astype(np.int32)
    group, axes = store.labels_path, store.layout.labels_axes
    for level in range(n_levels_of(open_array(group / "0").shape)):
        steps = [2**level if a in "YX" else 1 for a in store.layout.axes.spatial]
        pairs = list(zip(region, steps, strict=True))
        part = tuple(slice(-(-r.start // s), -(-r.stop // s)) for r, s in pairs)
        taken: Any = tuple(slice(-r.start % s, None, s) for r, s in pairs)
        key = store.layout.key(axes, sample, part)
        open_array(group / str(level))[key] = shown[taken]
