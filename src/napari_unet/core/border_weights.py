"""The weight map of the border loss: heavy where two cells come close to each other.

A network forgets the thin background between touching cells, since so few pixels lie
there. Ronneberger et al. (2015) weigh each pixel by its distances to the two nearest
cells; Falk et al. (2019) changed the constants and let far background count less. Both
formulas are evaluated literally on the labels given. To open a gap between cells that
touch, carve it first (`napari_unet.core.targets.carve_gap`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field

from napari_unet.core.nearest_cells import as_cell_ids, nearest_two
from napari_unet.settings import Fraction, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int32]
    Spacing = float | Sequence[float] | None

W0 = 10.0
SIGMA = 5.0
FALK_W0 = 50.0
FALK_SIGMA = 6.0
FALK_FLOOR = 0.1
FALK_FLOOR_SIGMA = 10.0

NEGLIGIBLE = 1e-7
"""A term below this is left out: the sum differs by less from the literal formula."""

Height = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class BorderWeights(Settings):
    """Which weight map the border loss uses, and its constants."""

    formula: Literal["ronneberger2015", "falk2019"] = Field(
        "ronneberger2015",
        description="The paper's formula, or that of the authors' Fiji plugin.",
    )
    w0: Height = Field(
        W0, description="Extra weight where two cells touch (lambda in Falk 2019)."
    )
    sigma: Length = Field(
        SIGMA,
        description="How fast the extra weight falls with the gap between two cells, "
        "in pixels, or in the unit of the pixel size where one is given.",
    )
    class_weights: Literal["balance"] | tuple[Height, Height] | None = Field(
        None,
        description="Weights of (background, cell); 'balance': the rarer class 1, the "
        "other less in proportion; none: 1 for both. Only ronneberger2015.",
    )
    floor: Fraction = Field(
        FALK_FLOOR, description="Weight of far background. Only falk2019."
    )
    floor_sigma: Length = Field(
        FALK_FLOOR_SIGMA,
        description="How fast the weight of background falls with the distance to the "
        "nearest cell. Only falk2019.",
    )

    @classmethod
    def ronneberger2015(cls) -> Self:
        """Constants of the U-Net paper, with balanced classes."""
        return cls(class_weights="balance")

    @classmethod
    def falk2019(cls) -> Self:
        """Constants of the authors' Fiji plugin."""
        return cls(formula="falk2019", w0=FALK_W0, sigma=FALK_SIGMA)

    def weights(self, labels: ArrayLike, *, spacing: Spacing = None) -> Floats:
        """Weight map of `labels`; see `border_weights` and `falk_weights`."""
        ids = as_cell_ids(labels)
        formula = _falk if self.formula == "falk2019" else _ronneberger
        weights = formula(ids, self, spacing)
        weights[ids < 0] = 0.0
        return weights


def border_weights(
    labels: ArrayLike,
    w0: float = W0,
    sigma: float = SIGMA,
    class_weights: Literal["balance"] | tuple[float, float] | None = None,
    spacing: Spacing = None,
) -> Floats:
    """Weight map of the U-Net paper, the literal formula on the labels given.

    ``w = w_c + w0 * exp(-(d1 + d2)^2 / (2 sigma^2))`` with the distances `d1` and `d2`
    to the nearest pixel of the nearest and of the second-nearest cell, 0 inside a cell
    (Ronneberger et al. 2015, eq. 2). With fewer than two cells there is no second term.

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D; 0 is background. Negative pixels are not
        annotated: they weigh 0 and are no cells.
    w0
        Height of the border term.
    sigma
        Width of the border term, in pixels, or in the unit of `spacing`.
    class_weights
        w_c as (background, cell). None: 1 for both. "balance": inverse frequency over
        the annotated pixels divided by its maximum,
        ``w_c = min(n_background, n_cell) / n_c``; a class that is alone weighs 1.
    spacing
        Pixel size, one number or one per axis. None: distances in pixels.

    Returns
    -------
    weights
        float32, the shape of `labels`. Within 1e-5 of the formula for `w0` up to 50,
        within the rounding of float32 above: terms below 1e-7 are left out.

    Raises
    ------
    AxesError
        Labels that are not 2-D or 3-D integers; spacing of the wrong length.
    SettingsError
        A constant outside its range.

    See Also
    --------
    napari_unet.core.targets.carve_gap : a gap between cells that touch, to apply before
    """
    given = {"w0": w0, "sigma": sigma, "class_weights": class_weights}
    return BorderWeights.parse(given).weights(labels, spacing=spacing)


def falk_weights(
    labels: ArrayLike,
    w0: float = FALK_W0,
    *,
    sigma: float = FALK_SIGMA,
    floor: float = FALK_FLOOR,
    floor_sigma: float = FALK_FLOOR_SIGMA,
    spacing: Spacing = None,
) -> Floats:
    """Weight map of the authors' Fiji plugin (Falk et al. 2019).

    1 inside cells, 0 where not annotated, and on background
    ``v + (1 - v) * exp(-d1^2 / (2 s1^2)) + w0 * exp(-(d1 + d2)^2 / (2 s2^2))`` with
    v = `floor`, s1 = `floor_sigma`, s2 = `sigma`; `d1`, `d2` as in `border_weights`.
    (The plugin measures them on the labels before the gap between cells is carved; on
    carved labels, as here, d1 + d2 across that gap is larger by one pixel.)

    Parameters
    ----------
    labels
        Cell ids, integers, 2-D or 3-D; 0 is background, negative is not annotated.
    w0
        Height of the border term (lambda in the plugin).
    sigma, floor_sigma
        Widths, in pixels, or in the unit of `spacing`.
    floor
        Weight of background far from all cells, 0..1.
    spacing
        Pixel size, one number or one per axis. None: distances in pixels.

    Returns
    -------
    weights
        float32, the shape of `labels`, as close to the formula as `border_weights`.

    Raises
    ------
    AxesError
        Labels that are not 2-D or 3-D integers; spacing of the wrong length.
    SettingsError
        A constant outside its range.
    """
    given = {"w0": w0, "sigma": sigma, "floor": floor, "floor_sigma": floor_sigma}
    settings = BorderWeights.parse({"formula": "falk2019", **given})
    return settings.weights(labels, spacing=spacing)


def _ronneberger(ids: Ids, settings: BorderWeights, spacing: Spacing) -> Floats:
    """Class weight plus border term, on every pixel."""
    reach = _reach(settings.w0, settings.sigma)
    d1, d2 = nearest_two(ids, spacing=spacing, max_distance=reach)
    weights = _bell(d1 + d2, settings.w0, settings.sigma)
    background, cell = _class_weights(ids, settings.class_weights)
    weights += np.where(ids > 0, np.float32(cell), np.float32(background))
    return weights


def _falk(ids: Ids, settings: BorderWeights, spacing: Spacing) -> Floats:
    """1 on cells; floor, smoothness and border term on background."""
    slope = 1.0 - settings.floor
    reach = max(
        _reach(settings.w0, settings.sigma), _reach(slope, settings.floor_sigma)
    )
    d1, d2 = nearest_two(ids, spacing=spacing, max_distance=reach)
    weights = _bell(d1 + d2, settings.w0, settings.sigma)
    weights += _bell(d1, slope, settings.floor_sigma)
    weights += np.float32(settings.floor)
    weights[ids > 0] = 1.0
    return weights


def _reach(height: float, sigma: float) -> float:
    """Distance beyond which ``height * exp(-d^2 / (2 sigma^2))`` is negligible."""
    if height <= NEGLIGIBLE:
        return 0.0
    return float(sigma * np.sqrt(2.0 * np.log(height / NEGLIGIBLE)))


def _bell(distance: Floats, height: float, sigma: float) -> Floats:
    """``height * exp(-d^2 / (2 sigma^2))``; float64 inside, for 1e-5 at height 50."""
    exponent = distance.astype(np.float64)
    exponent /= sigma
    exponent *= exponent
    exponent *= -0.5
    np.exp(exponent, out=exponent)
    exponent *= height
    return exponent.astype(np.float32)


def _class_weights(
    ids: Ids, weights: Literal["balance"] | tuple[float, float] | None
) -> tuple[float, float]:
    """Weights of (background, cell)."""
    if weights is None:
        return 1.0, 1.0
    if weights != "balance":
        return weights
    background, cell = int((ids == 0).sum()), int((ids > 0).sum())
    rarer = min(background, cell) or max(background, cell)
    return rarer / max(background, 1), rarer / max(cell, 1)
