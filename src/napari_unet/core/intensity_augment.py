"""Varied intensities: what stain, light, optics and camera do to the same cells.

The order follows the light: gamma and gain (stain and lamp), offset (background), blur
(optics), low resolution (large camera pixels), noise (camera) last, so that its
standard deviation in the patch is the one asked for.

Whether a patch is changed is drawn once for all of its channels; by how much is drawn
for each channel on its own, since stains and cameras differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_unet.core.resample import (
    Resampling,
    inverse,
    plan_resampling,
    resampled_reader,
    resampled_shape,
)
from napari_unet.errors import SettingsError
from napari_unet.training_settings import Augmentation, Span

Limits = dict[str, tuple[float, float]]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = tuple[float, ...]


LIMITS: Limits = {
    "gamma": (0.01, 100.0),
    "gain": (0.001, 1000.0),
    "offset": (-1000.0, 1000.0),
    "blur": (0.0, 100.0),
    "low_resolution": (0.01, 1.0),
    "noise": (0.0, 100.0),
}
LOGARITHMIC = ("gamma", "gain")


@dataclass(frozen=True)
class IntensityPlan:
    """Changes of the intensity, one number per channel; None: left as it is.

    Parameters
    ----------
    gamma, gain, offset
        Exponent, factor, and what is added.
    blur
        Sigma in pixels of the last axis.
    low_resolution
        Resolution that is left, at most 1.
    noise
        Standard deviation.
    noise_seed
        Start of the random numbers of the noise: one per pixel, so they are drawn when
        the plan is applied.
    """

    gamma: Numbers | None = None
    gain: Numbers | None = None
    offset: Numbers | None = None
    blur: Numbers | None = None
    low_resolution: Numbers | None = None
    noise: Numbers | None = None
    noise_seed: int = 0


def plan_intensity(
    rng: np.random.Generator, n_channels: int, *, augmentation: Augmentation
) -> IntensityPlan:
    """Draw the changes of a patch.

    Factors and exponents are drawn uniformly in their logarithm, so that a range of
    (0.5, 2) halves as often as it doubles; all others uniformly. As many random numbers
    are taken whatever the settings: a change of one leaves the others as they were.

    Raises
    ------
    SettingsError
        A range that is reversed or not possible.
    """
    check_spans(augmentation, LIMITS)
    coins = rng.random(len(LIMITS))
    shares = rng.random((len(LIMITS), n_channels))
    noise_seed = int(rng.integers(2**63))
    numbers = {
        name: _between(name, getattr(augmentation, name), shares=share)
        for name, share, coin in zip(LIMITS, shares, coins, strict=True)
        if coin < _probability(augmentation, name)
    }
    return IntensityPlan(noise_seed=noise_seed, **numbers)


def _probability(augmentation: Augmentation, name: str) -> float:
    """Return the share of patches in which `name` is changed."""
    own = f"{name}_probability"
    known = own if own in Augmentation.model_fields else "intensity_probability"
    return float(getattr(augmentation, known))


def _between(name: str, span: Span, *, shares: NDArray[np.float64]) -> Numbers:
    """Return numbers at the `shares` of a range."""
    ends = np.log(span) if name in LOGARITHMIC else np.array(span)
    values = ends[0] + (ends[1] - ends[0]) * shares
    return tuple((np.exp(values) if name in LOGARITHMIC else values).tolist())


def check_spans(augmentation: Augmentation, limits: Limits) -> None:
    """Refuse ranges that are reversed or leave their limits.

    Raises
    ------
    SettingsError
        Naming the setting and what it must be.
    """
    for name, (least, most) in limits.items():
        low, high = getattr(augmentation, name)
        if not least <= low <= high <= most:
            raise SettingsError(
                f"Augmentation: {name} = {low:g} to {high:g} is not accepted.",
                f"Give two numbers between {least:g} and {most:g}, the smaller first.",
            )


def apply_intensity(
    image: Floats, plan: IntensityPlan, *, pixel_size: Numbers | None = None
) -> Floats:
    """Return `image` with the planned changes.

    Parameters
    ----------
    image
        (C, *spatial) float32, scaled so that most values lie in 0..1.
    plan
        Drawn for C channels.
    pixel_size
        Per axis, in units of that of the last axis; None: equal. Blur and low
        resolution act in physical space.
    """
    size = pixel_size or (1.0,) * (image.ndim - 1)
    image = _change_contrast(image, plan)
    if plan.blur is not None:
        image = np.stack(
            [_blur(*each, size) for each in zip(image, plan.blur, strict=True)]
        )
    if plan.low_resolution is not None:
        pairs = zip(image, plan.low_resolution, strict=True)
        image = np.stack([_coarsen(*each, size) for each in pairs])
    if plan.noise is not None:
        image = image + _grain(image.shape, plan)
    return image


def _change_contrast(image: Floats, plan: IntensityPlan) -> Floats:
    if plan.gamma is not None:
        pairs = zip(image, plan.gamma, strict=True)
        image = np.stack([bend(channel, gamma) for channel, gamma in pairs])
    if plan.gain is not None:
        image = image * _per_channel(plan.gain, image.ndim)
    if plan.offset is not None:
        image = image + _per_channel(plan.offset, image.ndim)
    return image


def bend(channel: Floats, gamma: float) -> Floats:
    """Raise intensities to a power; 0 and 1, or the darkest pixel and 1, stay put.

    ``low + (1 - low) * ((x - low) / (1 - low)) ** gamma`` with low the smaller of 0 and
    the darkest pixel. A power about 0 itself would have no value below 0, or, with the
    sign kept, tear the noise of a dark background in two.
    """
    low = min(np.float32(0), channel.min())
    scaled = (channel - low) / (1 - low)
    return np.asarray(low + (1 - low) * scaled ** np.float32(gamma), np.float32)


def _per_channel(numbers: Numbers, ndim: int) -> Floats:
    return np.array(numbers, np.float32).reshape(-1, *(1,) * (ndim - 1))


def _blur(channel: Floats, sigma: float, pixel_size: Numbers) -> Floats:
    """Gaussian blur; beyond the patch lies its mirror image."""
    sigmas = [sigma / size for size in pixel_size]
    return np.asarray(gaussian_filter(channel, sigmas, mode="mirror"), np.float32)


def _coarsen(channel: Floats, resolution: float, pixel_size: Numbers) -> Floats:
    """Resample to larger pixels and back; axes that are coarser already stay."""
    factors = tuple(min(1.0, size * resolution) for size in pixel_size)
    down = plan_resampling(channel.shape, factors)
    if down is None:
        return channel
    return _resample(_resample(channel, down), inverse(down))


def _resample(channel: Floats, resampling: Resampling) -> Floats:
    reader = resampled_reader(
        lambda region: channel[None][(slice(None), *region)], resampling
    )
    whole = tuple(slice(0, n) for n in resampled_shape(resampling))
    return np.asarray(reader(whole)[0], np.float32)


def _grain(shape: tuple[int, ...], plan: IntensityPlan) -> Floats:
    """Draw the noise of all channels."""
    rng = np.random.default_rng(plan.noise_seed)
    grain = rng.standard_normal(shape, np.float32)
    grain *= _per_channel(plan.noise or (), len(shape))
    return grain
