"""Colours of a labels layer: napari's colormap of numbers, and numbers for a preview.

napari gives number n the colour n modulo the colormap's length, and building another
colormap costs it more than drawing the labels. So the colormap is that of the last
final labels, followed by each colour once, and objects of a preview are numbered such
that they meet the colour they should have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.utils.colormaps import CyclicLabelColormap

Labels = npt.NDArray[np.int32]
Colours = npt.NDArray[np.uint8]

# Hues far apart, of equal lightness; 0 is background.
PALETTE = np.array(
    [
        (0.00, 0.00, 0.00, 0.0),
        (0.95, 0.35, 0.35, 1.0),
        (0.30, 0.75, 0.95, 1.0),
        (0.98, 0.80, 0.25, 1.0),
        (0.60, 0.50, 0.95, 1.0),
        (0.40, 0.85, 0.45, 1.0),
        (0.98, 0.55, 0.80, 1.0),
        (0.95, 0.60, 0.25, 1.0),
        (0.30, 0.85, 0.75, 1.0),
        (0.75, 0.85, 0.30, 1.0),
        (0.80, 0.45, 0.75, 1.0),
        (0.45, 0.60, 0.98, 1.0),
        (0.90, 0.75, 0.60, 1.0),
    ],
    np.float32,
)
N_COLOURS = len(PALETTE) - 1

# Napari draws with 16 bits from 255 colours to 65,534; one width is never changed.
SMALLEST, LARGEST = 256, 2**16 - 2


@dataclass(frozen=True, eq=False)
class ColourTable:
    """The colour of every number.

    Parameters
    ----------
    colours
        1 to `N_COLOURS` for the numbers from 1 on, and 0 for number 0; numbers beyond
        begin again at 1.
    """

    colours: Colours

    @property
    def n(self) -> int:
        """Numbers until colours are repeated."""
        return len(self.colours) - 1

    def paint(self, labels: Labels) -> Colours:
        """Return the colour of each pixel.

        Jobs ask for it while the window draws in these labels, so what was there at one
        moment counts.
        """
        pixels = np.array(labels)
        if pixels.max(initial=0) > self.n:
            pixels = np.where(pixels > 0, (pixels - 1) % self.n + 1, 0)
        return self.colours[pixels]

    def numbers(self, colours: Colours, taken: int = 0) -> Labels:
        """Return a number of its own for each object, which has its colour here.

        Parameters
        ----------
        colours
            Of objects 0 (background, which stays 0), 1, 2, ...
        taken
            So many numbers of each colour are in use already.

        Returns
        -------
        numpy.ndarray
            int32, all above those of the final labels.
        """
        turns = (2**31 - 1) // self.n - 2
        turn = (taken + np.arange(len(colours), dtype=np.int64)) % turns + 1
        numbers = self.n * turn + (self.n - N_COLOURS) + colours
        numbers[0] = 0
        return numbers.astype(np.int32)

    def colormap(self) -> CyclicLabelColormap:
        """Return napari's colormap."""
        from napari.utils.colormaps import CyclicLabelColormap

        return CyclicLabelColormap(colors=PALETTE[self.colours], background_value=0)


def table_of(colours: Colours | None = None) -> ColourTable:
    """Return the table for final labels with these colours, and for previews of them.

    Parameters
    ----------
    colours
        Of labels 0, 1, 2, ...; None: there are no labels yet. What is too many for
        napari shares colours.
    """
    own = np.zeros(0, np.uint8) if colours is None else colours[1:]
    own = own[: LARGEST - N_COLOURS]
    filling = max(0, SMALLEST - N_COLOURS - len(own))
    every = np.arange(1, N_COLOURS + 1, dtype=np.uint8)
    parts = [np.zeros(1, np.uint8), own, np.resize(every, filling), every]
    return ColourTable(np.concatenate(parts))
