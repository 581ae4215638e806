"""What a fluorescence microscope and its camera make of the light of nuclei.

In order: nuclei out of focus are blurred more than the others, part of all light ends
up as haze, the point spread function blurs, the background glows, the illumination is
uneven, photons are counted (Poisson), and the camera adds read noise, gain and offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from napari_unet.core.simulate_cells import Canvas
from napari_unet.core.simulate_settings import Simulation

if TYPE_CHECKING:
    from numpy.random import Generator

Image = NDArray[np.float32]

# Blur of the focal layers in diameters, on top of the point spread function.
DEFOCUS_SIGMA = (0.0, 0.06, 0.11)
# How far haze spreads, in diameters.
HAZE_SIGMA = 0.6
# The background changes over this many diameters.
BACKGROUND_STEP = 4.0
# Side of the field of chromatin, per number of axes; a mean nucleus covers 22 of it.
CHROMATIN_PX = {2: 128, 3: 48}
# Below this mean, photons are drawn from the exact law.
DIM_PHOTONS = 4.0
# A typical nucleus is shown at these counts, above these offsets.
TYPICAL_COUNTS = {"uint16": 3000.0, "uint8": 80.0}
USUAL_OFFSET = {"uint16": 100.0, "uint8": 6.0}


@dataclass(frozen=True, eq=False)
class Microscope:
    """All that stays the same from frame to frame.

    `chromatin` is the random field from which nuclei take their texture, `glow` the
    light that comes from no nucleus (background and debris), `illumination` lies
    between 0 and 1.
    """

    simulation: Simulation
    chromatin: Image
    glow: Image
    illumination: Image

    @classmethod
    def build(cls, simulation: Simulation, rng: Generator) -> Microscope:
        """Draw what is random about the sample's surroundings and the lamp."""
        ndim = len(simulation.shape)
        return cls(
            simulation,
            chromatin=draw_chromatin(ndim, rng),
            glow=_draw_background(simulation, rng) + _draw_debris(simulation, rng),
            illumination=_draw_illumination(simulation, rng),
        )

    def expose(self, light: Image, rng: Generator) -> NDArray[Any]:
        """Return the camera's counts for `light`, which is ``(layers, *shape)``."""
        seen = self._focus(light)
        seen = self._add_haze(seen) + self.glow
        seen = _blur(seen, self.simulation.blur_sigma, self.simulation)
        return count_photons(seen * self.illumination, self.simulation, rng=rng)

    def _focus(self, light: Image) -> Image:
        diameter = self.simulation.diameter
        total: Image = light[0].copy()
        for layer in range(1, len(light)):
            sigma = DEFOCUS_SIGMA[layer] * diameter
            total += _blur(light[layer], sigma, self.simulation)
        return total

    def _add_haze(self, light: Image) -> Image:
        haze = self.simulation.haze
        if haze == 0:
            return light
        spread = _blur_wide(
            light, HAZE_SIGMA * self.simulation.diameter, self.simulation
        )
        return light * np.float32(1 - haze) + spread * np.float32(haze)


def count_photons(
    light: NDArray[Any], simulation: Simulation, *, rng: Generator
) -> NDArray[Any]:
    """Return camera counts for `light` (1 = a typical nucleus).

    Photons are Poisson with mean ``photons * light``; the counts are
    ``gain * (photons + read noise) + offset``, so that their variance is
    ``gain^2 * (photons * light + read_noise^2)``.
    """
    dtype = np.dtype(simulation.dtype)
    usual_gain = TYPICAL_COUNTS[simulation.dtype] / simulation.photons
    gain = usual_gain if simulation.gain is None else simulation.gain
    # Dark pixels must not be cut off at 0: that would make their noise lopsided.
    usual_offset = max(USUAL_OFFSET[simulation.dtype], 4 * gain * simulation.read_noise)
    offset = usual_offset if simulation.offset is None else simulation.offset
    photons = draw_photons(light * np.float32(simulation.photons), rng)
    noise = rng.standard_normal(light.shape, np.float32)
    counts = gain * (photons + np.float32(simulation.read_noise) * noise) + offset
    return np.asarray(np.clip(np.rint(counts), 0, np.iinfo(dtype).max).astype(dtype))


def draw_photons(mean: Image, rng: Generator) -> Image:
    """Return Poisson counts of `mean`, from one normal number per pixel.

    Samplers that take as many numbers as they happen to need would turn a difference in
    the last digit between two machines into different noise all over the image. Exact
    quantiles for dim pixels; for others the Cornish-Fisher expansion of the quantile
    (Cornish & Fisher 1938), ``mean + sqrt(mean) z + (z^2 - 1) / 6``, rounded.
    """
    z = rng.standard_normal(mean.shape, np.float32)
    counts = np.rint(mean + np.sqrt(mean) * z + (z**2 - 1) / 6)
    dim = mean < DIM_PHOTONS
    counts[dim] = _poisson_quantile(mean[dim], ndtr(z[dim]))
    return counts


def _poisson_quantile(mean: Image, chance: Image) -> Image:
    """Return the smallest counts whose cumulative probability reaches `chance`."""
    counts = np.zeros_like(mean)
    probability = np.exp(-mean.astype(np.float64))
    cumulative = probability.copy()
    for k in range(1, 40):
        beyond = chance > cumulative
        if not beyond.any():
            break
        counts += beyond
        probability *= mean / k
        cumulative += probability
    return counts


def draw_chromatin(ndim: int, rng: Generator) -> Image:
    """Return a periodic random field with coarse and fine grain, mean 0 and std 1."""
    field = np.zeros((CHROMATIN_PX[ndim],) * ndim, np.float32)
    for sigma, share in ((1.0, 0.6), (2.5, 0.8)):
        grain = rng.standard_normal(field.shape, np.float32)
        grain = ndimage.gaussian_filter(grain, sigma, mode="wrap")
        field += np.float32(share) * grain / grain.std()
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def _draw_background(simulation: Simulation, rng: Generator) -> Image:
    step = BACKGROUND_STEP * simulation.diameter
    splines = _splines(simulation, step)
    knots = rng.standard_normal([spline.shape[1] for spline in splines], np.float32)
    uneven = np.maximum(1 + 0.6 * _along_axes(knots, splines), 0.2)
    return np.asarray(simulation.background * uneven, dtype=np.float32)


def _draw_debris(simulation: Simulation, rng: Generator) -> Image:
    """Return small bright clumps, each of a few round specks."""
    debris = np.zeros(simulation.shape, np.float32)
    canvas = Canvas(simulation.shape, np.array(simulation.scale))
    size = np.array(simulation.shape) * canvas.scale
    for _ in range(rng.poisson(simulation.debris * simulation.cell_count)):
        middle = rng.random(size.size) * size
        for _ in range(rng.integers(1, 5)):
            sigma = simulation.diameter * rng.uniform(0.025, 0.07)
            centre = middle + 3 * sigma * rng.standard_normal(size.size)
            box = canvas.box(centre, np.full(size.size, 3 * sigma))
            squares = (canvas.offsets(box, centre) ** 2).sum(axis=0)
            speck = rng.uniform(0.2, 1.2) * np.exp(-squares / (2 * sigma**2))
            debris[box] += speck.astype(np.float32)
    return debris


def _draw_illumination(simulation: Simulation, rng: Generator) -> Image:
    """Return a lamp spot beside the centre, and light lost on the way down."""
    n_rows, n_columns = simulation.shape[-2:]
    centre = rng.uniform(0.25, 0.75, 2)
    rows = (np.linspace(0, 1, n_rows) - centre[0])[:, None] ** 2
    columns = (np.linspace(0, 1, n_columns) - centre[1])[None, :] ** 2
    falling = rows + columns - (rows + columns).min()
    plane = 1 - simulation.uneven_light * falling / max(falling.max(), 1e-9)
    if len(simulation.shape) == 3:
        left = (1 - simulation.depth_loss) ** np.linspace(0, 1, simulation.shape[0])
        plane = left[:, None, None] * plane
    return np.asarray(plane, dtype=np.float32)


def _blur(light: Image, sigma: float, simulation: Simulation) -> Image:
    """Blur by a Gaussian, wider along Z."""
    sigmas = sigma / np.array(simulation.scale)
    if len(sigmas) == 3:
        sigmas[0] *= simulation.axial_blur
    return np.asarray(ndimage.gaussian_filter(light, sigmas, truncate=3.0))


def _blur_wide(light: Image, sigma: float, simulation: Simulation) -> Image:
    """Blur by about a Gaussian of large `sigma`, on a grid of knots half of it apart.

    To the knots and back is already a blur of variance 2/3 of the step squared, that of
    two cubic B-splines; the knots are blurred by the rest.
    """
    splines = _splines(simulation, sigma / 2)
    knots = _along_axes(light, [(spline / spline.sum(axis=0)).T for spline in splines])
    knots = ndimage.gaussian_filter(knots, np.sqrt(4 - 2 / 3), mode="nearest")
    return _along_axes(knots, splines)


def _splines(simulation: Simulation, step: float) -> list[Image]:
    """Return per axis ``(pixels, knots)``: cubic B-splines, `step` apart, sum 1."""
    splines = []
    for length, scale in zip(simulation.shape, simulation.scale, strict=True):
        places = np.arange(length) * scale / step
        knots = np.arange(-1, np.floor(places[-1]) + 3)
        spline = _cubic_spline(places[:, None] - knots).astype(np.float32)
        splines.append(spline[:, spline.any(axis=0)])
    return splines


def _cubic_spline(distance: NDArray[np.floating]) -> NDArray[np.float64]:
    away = np.abs(distance)
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.maximum(2 - away, 0) ** 3 / 6
    return np.asarray(np.where(away < 1, near, far))


def _along_axes(values: Image, matrices: list[Image]) -> Image:
    """Multiply each axis of `values` by its matrix."""
    for axis, matrix in enumerate(matrices):
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values)
