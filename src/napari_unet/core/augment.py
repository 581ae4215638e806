"""Augmentation: training patches cut, deformed and varied in intensity, reproducibly.

`plan_patch` draws all random numbers and returns a small frozen plan that can be
printed, kept and compared; `apply_patch` takes the pixels. Image, classes, weights,
distances and labels of a patch go through one map of coordinates (`warp`): images by
cubic interpolation, classes and labels from the nearest pixel, weights and distances
linearly.

Pixels beyond the image are its mirror image, with their classes and their weights: the
mirrored cells look like cells, so they teach what cells teach. Pixels that are not
annotated weigh nothing in the patch, also where interpolation would mix in a neighbour.

How often and how much is varied is said by the settings class `Augmentation`, which
has presets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.intensity_augment import (
    IntensityPlan,
    apply_intensity,
    plan_intensity,
)
from napari_unet.core.targets import IGNORED
from napari_unet.core.warp import Interpolation, Warp, resample
from napari_unet.core.warp_draw import (
    Spacing,
    draw_elastic,
    draw_matrix,
    relative_pixel_size,
)
from napari_unet.errors import AxesError
from napari_unet.training_settings import Augmentation


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and what a network is to learn from it, or a patch of both.

    Parameters
    ----------
    image
        (C, *spatial) float32, normalised, finite.
    target
        Classes, uint8; 255 = not annotated.
    weight
        float32, what each pixel counts in the loss, beside the weight of its class.
    distance
        float32, a distance target; may be NaN where not annotated.
    labels
        int32 ids, 0 = background, negative = not annotated.
    class_weights
        float32 (n classes,): added to `weight` by class. Kept apart, since it changes
        where the class does: between two pixels nothing is interpolated.
    """

    image: NDArray[np.float32]
    target: NDArray[np.uint8] | None = None
    weight: NDArray[np.float32] | None = None
    distance: NDArray[np.float32] | None = None
    labels: NDArray[np.int32] | None = None
    class_weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shape = self.image.shape[1:]
        for name in ("target", "weight", "distance", "labels"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise AxesError(
                    f"The {name} has the shape {array.shape}, the image {shape}.",
                    "Give maps of the image's spatial shape.",
                )

    def total_weight(self) -> NDArray[np.float32] | None:
        """Return `weight` with that of the class; 0 where not annotated."""
        if self.weight is None or self.target is None:
            return self.weight
        total = self.weight
        if self.class_weights is not None:
            table = np.zeros(IGNORED + 1, np.float32)
            table[: self.class_weights.size] = self.class_weights
            total = total + table[self.target]
        return np.where(self.target == IGNORED, np.float32(0), total)


@dataclass(frozen=True)
class PatchPlan:
    """A patch: where it comes from, and how its intensities are changed.

    Parameters
    ----------
    image_shape
        (C, *spatial) of the image that it was planned for.
    warp
        Where its pixels come from.
    intensity
        Changes of the intensity.
    pixel_size
        Per axis, in units of that of the last axis.
    """

    image_shape: tuple[int, ...]
    warp: Warp
    intensity: IntensityPlan
    pixel_size: tuple[float, ...]


def plan_patch(
    rng: np.random.Generator,
    image_shape: tuple[int, ...],
    patch_shape: tuple[int, ...],
    *,
    centre: Sequence[float],
    augmentation: Augmentation,
    spacing: Spacing = None,
) -> PatchPlan:
    """Draw a patch; no pixel is touched.

    Parameters
    ----------
    rng
        All random numbers come from here.
    image_shape
        (C, *spatial), 2 or 3 spatial axes.
    patch_shape
        Pixels per spatial axis.
    centre
        Pixel that comes to lie at ``patch_shape // 2`` if nothing is varied. The patch
        is turned and zoomed about its middle.
    augmentation
        How patches are varied.
    spacing
        Pixel size, one number or one per axis; None: equal. Rotation, zoom, elastic
        deformation and blur act in physical space; where a length is given in pixels,
        those of the last axis are meant. Z, where coarser, is neither mirrored nor
        deformed.

    Raises
    ------
    AxesError
        Shapes, centre or spacing with the wrong number of axes.
    SettingsError
        A range that is reversed or not possible.
    """
    if not len(image_shape) - 1 == len(patch_shape) == len(centre):
        raise AxesError(
            f"A patch {tuple(patch_shape)} about {tuple(centre)} does not fit an image "
            f"of the shape {tuple(image_shape)} with channels first.",
            "Give the patch and its centre one number per spatial axis.",
        )
    pixel_size = relative_pixel_size(spacing, len(patch_shape))
    intensity = plan_intensity(rng, image_shape[0], augmentation=augmentation)
    middle = tuple(
        float(c) - n // 2 + (n - 1) / 2
        for c, n in zip(centre, patch_shape, strict=True)
    )
    matrix = draw_matrix(rng, augmentation, pixel_size=pixel_size)
    elastic = draw_elastic(rng, augmentation, patch_shape, pixel_size=pixel_size)
    warp = Warp(tuple(patch_shape), middle, matrix, elastic)
    return PatchPlan(tuple(image_shape), warp, intensity, pixel_size)


def apply_patch(plan: PatchPlan, sample: Sample) -> Sample:
    """Return the planned patch of `sample`; only the region that it needs is read.

    Its `weight` is the total.

    Parameters
    ----------
    plan
        From `plan_patch`, for an image of this shape.
    sample
        Is not changed. May be used from several threads.

    Raises
    ------
    AxesError
        The plan was made for another shape.
    """
    if sample.image.shape != plan.image_shape:
        raise AxesError(
            f"A patch planned for the shape {plan.image_shape} cannot be taken from an "
            f"image of the shape {sample.image.shape}.",
            "Plan the patch with the shape of this image.",
        )
    image = resample(sample.image, plan.warp, "cubic")
    image = apply_intensity(image, plan.intensity, pixel_size=plan.pixel_size)
    bent = Sample(
        image,
        _take(sample.target, plan.warp, "nearest"),
        _take(sample.weight, plan.warp, "linear"),
        distance=_take(sample.distance, plan.warp, "linear"),
        labels=_take(sample.labels, plan.warp, "nearest"),
        class_weights=sample.class_weights,
    )
    return replace(bent, weight=bent.total_weight(), class_weights=None)


def _take(array: NDArray[Any] | None, warp: Warp, interpolation: Interpolation) -> Any:
    return None if array is None else resample(array[None], warp, interpolation)[0]
