"""Result: the labels of an image, and all that is needed to find them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.settings import Separation

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The answer, and all that is needed to find it again.

    Parameters
    ----------
    labels
        int32, `axes`; 0 is background; ids restart per frame, and per slice for a 2-D
        model, unless linked.
    probabilities
        Fixed point (uint16 or uint8), C first, then `axes`.
    channels
        Names of C.
    axes
        The image's axes without C, in their order.
    spatial
        The axes within one sample: ``"YX"`` or ``"ZYX"``.
    separation
        As used: the model's, with what was given.
    semantic
        Whether labels are classes, by their index in `channels`, instead of objects.
    notes
        What a user should read, one sentence each.
    provenance
        Model hash, settings, tile shape, intensity ranges, versions: plain JSON.
    start
        First index of labels and probabilities in the image, by axis letter: 0 unless
        they are cropped to a region.
    """

    labels: npt.NDArray[np.int32]
    probabilities: Array
    channels: tuple[str, ...]
    axes: str
    spatial: str
    separation: Separation
    semantic: bool = False
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    start: dict[str, int] = field(default_factory=dict)

    def separate(self, separation: Separation) -> npt.NDArray[np.int32]:
        """Separate the stored probabilities again; fields not given stay."""
        from napari_unet.pipeline.separating import separate

        return separate(
            self.probabilities,
            separation.over(self.separation),
            channels=self.channels,
            axes=self.axes,
            spatial=self.spatial,
            semantic=self.semantic,
        )
