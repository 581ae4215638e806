"""The numbers from which nuclei, optics and camera are simulated.

Apart from `simulate`, so that the files that do the work can import the settings.
"""

from __future__ import annotations

from math import gamma, pi, prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_unet.errors import SettingsError
from napari_unet.settings import Fraction, Settings

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Length = Annotated[int, Field(ge=1)]

# Per number of axes; 120 nuclei of 22 px in 512 x 512, 90 in 64 x 256 x 256.
USUAL_COVERAGE = {2: 0.174, 3: 0.12}
# Above this, nuclei laid at random leave no room for the next one.
LARGEST_COVERAGE = 0.6


class Simulation(Settings):
    """What is simulated: nuclei, optics and camera.

    Lengths are in pixels of the last axis. Light is relative to a typical nucleus.
    """

    shape: tuple[Length, ...] = Field(
        (512, 512), min_length=2, max_length=3, description="Pixels: Y, X or Z, Y, X."
    )
    spacing: tuple[Positive, ...] = Field(
        (), max_length=3, description="Pixel size per axis; empty: the same everywhere."
    )
    n_cells: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Number of nuclei; none given: as many as fill 17 % (3-D: 12 %).",
    )
    diameter: float = Field(22.0, ge=4.0, le=500.0, description="Mean diameter.")
    diameter_spread: float = Field(
        0.18, ge=0.0, le=0.5, description="Standard deviation of the diameter over it."
    )
    crowding: Fraction = Field(
        0.5, description="Fraction of the nuclei that touches a neighbour."
    )
    overlap: float = Field(
        0.12,
        ge=0.0,
        le=0.3,
        description="How far touching nuclei are pressed together, of their distance.",
    )
    stacked: Fraction = Field(
        0.25, description="Fraction of nuclei that shines through a neighbour in 2-D."
    )
    elongation: float = Field(
        1.3, ge=1.0, le=3.0, description="Typical ratio of longest to shortest axis."
    )
    irregularity: float = Field(
        0.06, ge=0.0, le=0.15, description="How far outlines stray from ellipses."
    )
    texture: float = Field(
        0.16, ge=0.0, le=1.0, description="Contrast of the chromatin inside nuclei."
    )
    nucleoli: float = Field(
        1.5, ge=0.0, le=10.0, description="Mean number of dark spots in a nucleus."
    )
    brightness_spread: float = Field(
        0.3, ge=0.0, le=1.0, description="Variation of brightness from cell to cell."
    )
    condensed: Fraction = Field(
        0.04, description="Fraction of small, bright nuclei (dividing or dying)."
    )
    defocus: Fraction = Field(
        0.2, description="Fraction of nuclei that lies out of focus in 2-D."
    )
    blur_sigma: float = Field(
        0.9, ge=0.0, le=20.0, description="Lateral sigma of the point spread function."
    )
    axial_blur: float = Field(
        2.5, ge=1.0, le=10.0, description="Axial over lateral blur in 3-D."
    )
    haze: Fraction = Field(
        0.15, description="Part of the light that is spread around the nuclei."
    )
    background: float = Field(
        0.06, ge=0.0, le=10.0, description="Light where there is no nucleus."
    )
    uneven_light: Fraction = Field(
        0.3, description="Loss of light from the brightest to the darkest corner."
    )
    depth_loss: Fraction = Field(
        0.4, description="Loss of light from the first to the last plane in 3-D."
    )
    debris: float = Field(
        0.08, ge=0.0, le=10.0, description="Bright specks per nucleus."
    )
    photons: Positive = Field(
        200.0, le=1e6, description="Photons per pixel of a typical nucleus."
    )
    read_noise: NotNegative = Field(
        2.0, le=1e4, description="Camera noise, standard deviation in photons."
    )
    gain: Positive | None = Field(
        None, description="Counts per photon; none given: typical nuclei mid-range."
    )
    offset: NotNegative | None = Field(
        None,
        description="Counts without light; none given: 100 (uint16) or 6 (uint8), more "
        "where the read noise needs it.",
    )
    dtype: Literal["uint16", "uint8"] = Field("uint16", description="Type of image.")
    motion: float = Field(
        0.04, ge=0.0, le=0.3, description="Step per frame over the diameter."
    )
    division_rate: float = Field(
        0.003, ge=0.0, le=0.5, description="Chance of a nucleus to divide per frame."
    )
    random_seed: int = Field(0, ge=0, description="The same number, the same images.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.spacing and len(self.spacing) != len(self.shape):
            raise SettingsError(
                f"Simulation: spacing {self.spacing} and shape {self.shape} differ in "
                "their number of axes.",
                "Give one spacing per axis of the shape, or none.",
            )
        if self.diameter < 3 * max(self.scale):
            raise SettingsError(
                f"Simulation: at spacing {self.spacing} a nucleus of {self.diameter:g} "
                "px is thinner than 3 pixels along an axis.",
                "Raise diameter or make the spacing more even.",
            )
        if self.coverage > LARGEST_COVERAGE:
            raise SettingsError(
                f"Simulation: {self.n_cells} nuclei of {self.diameter:g} px would "
                f"fill {self.coverage:.0%} of the shape {self.shape}; "
                f"{LARGEST_COVERAGE:.0%} is the most.",
                "Lower n_cells or diameter, or enlarge the shape.",
            )
        return self

    @property
    def scale(self) -> tuple[float, ...]:
        """Pixel size per axis, in pixels of the last axis."""
        spacing = self.spacing or (1.0,) * len(self.shape)
        return tuple(step / spacing[-1] for step in spacing)

    @property
    def coverage(self) -> float:
        """Part of the image that the asked number of nuclei would fill."""
        return (self.n_cells or 0) * self._cell_size / self._image_size

    @property
    def cell_count(self) -> int:
        """Number of nuclei asked for, or the usual number for this shape."""
        if self.n_cells is not None:
            return self.n_cells
        return round(
            USUAL_COVERAGE[len(self.shape)] * self._image_size / self._cell_size
        )

    @property
    def _cell_size(self) -> float:
        ndim = len(self.shape)
        ball = float(pi ** (ndim / 2)) / gamma(ndim / 2 + 1)
        return ball * float((self.diameter / 2) ** ndim)

    @property
    def _image_size(self) -> float:
        return float(prod(self.shape) * prod(self.scale))
