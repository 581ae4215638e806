"""Scaling: annotated images at the pixels that the network is to learn from.

Planned from sizes alone, then applied as in prediction: intensities are normalised on
the whole image first, and interpolated point by point; labels take the nearest pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.resample import (
    Resampling,
    plan_resampling,
    resample_nearest,
    resampled_reader,
    resampled_shape,
)
from napari_unet.errors import SettingsError
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.model import Model
from napari_unet.nn.samples import (
    common_pixel_size,
    median_diameter,
    normalise,
    pixel_sizes,
)
from napari_unet.settings import Normalization, Recipe
from napari_unet.training_settings import Training

# Beyond this, a size is a mistake rather than another magnification.
LARGEST_FACTOR = 100.0
# Objects are as large as the model's if their diameters differ by less than this.
ALIKE = 1.5

Factors = tuple[float, ...]


@dataclass(frozen=True)
class Scaling:
    """How images are scaled before training.

    Parameters
    ----------
    factors
        Network pixels per image pixel, per image and spatial axis; empty: as they are.
    pixel_size
        What all images are brought to; None: they keep that of their own pixels.
    notes
        What was decided, or might be, one sentence each.
    """

    factors: tuple[Factors, ...] = ()
    pixel_size: Factors | None = None
    notes: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """What images of no known size are scaled by later: what all were, or 1."""
        each = [factor for factors in self.factors for factor in factors]
        alike = bool(each) and np.allclose(each, each[0], rtol=0.01, atol=0)
        return each[0] if alike else 1.0

    @property
    def volume(self) -> float:
        """Network pixels in an image pixel, the median of the images."""
        each = [float(np.prod(factors)) for factors in self.factors]
        return float(np.median(each)) if each else 1.0

    def apply(
        self, images: Sequence[TrainingImage], normalization: Normalization
    ) -> list[TrainingImage]:
        """Return images that are normalised and scaled, if there is anything to do."""
        if not self.factors:
            return list(images)
        return [
            self._apply(image, factors, normalization)
            for image, factors in zip(images, self.factors, strict=True)
        ]

    def _apply(
        self, image: TrainingImage, factors: Factors, normalization: Normalization
    ) -> TrainingImage:
        (ready,) = normalise([image], normalization)
        sizes = dict(zip(image.axes[1:], factors, strict=True))
        if self.pixel_size is not None:
            known = dict(zip(image.axes[1:], self.pixel_size, strict=True))
        else:
            known = {a: size / sizes[a] for a, size in image.pixel_size.items()}
        ready = replace(ready, pixel_size=known)
        resampling = plan_resampling(image.labels.shape, factors)
        if resampling is None:
            return ready
        return replace(
            ready,
            image=_interpolated(ready.image, resampling),
            labels=resample_nearest(image.labels, resampling),
        )

    def unmixed(self, images: Sequence[TrainingImage]) -> list[npt.NDArray[Any]]:
        """Return pixels of the scaled size with values that the files hold.

        What interpolation hides is seen in them: NaN, copies, labels as the image.
        """
        if not self.factors:
            return [image.image for image in images]
        plans = [
            plan_resampling(image.labels.shape, factors)
            for image, factors in zip(images, self.factors, strict=True)
        ]
        return [
            image.image if plan is None else resample_nearest(image.image, plan)
            for image, plan in zip(images, plans, strict=True)
        ]


def plan_scaling(
    images: Sequence[TrainingImage], training: Training, model: Model | None = None
) -> Scaling:
    """Decide by what each image is scaled.

    Parameters
    ----------
    images
        All of them, of one kind.
    training
        `scale_to` or `image_scale` say what is wanted.
    model
        That is trained further; it says what `image_scale` does not.

    Raises
    ------
    SettingsError
        If a size that is needed is not known, or a factor is absurd.
    """
    recipe = None if model is None else model.recipe
    if training.scale_to == "pixel_size":
        return _to_pixel_size(images, recipe)
    is_about_cells = training.loss.target != "semantic"
    if training.scale_to == "diameter" and not is_about_cells:
        raise SettingsError(
            "Labels are classes here, which have no diameter to scale by.",
            "Scale by pixel size, or give image_scale, a number.",
        )
    if training.scale_to == "diameter":
        factor = _to_diameter(images, recipe)
    else:
        usual = 1.0 if recipe is None else recipe.scale
        factor = usual if training.image_scale is None else training.image_scale
    if factor == 1:
        other = _other_diameter(images, recipe) if is_about_cells else []
        return Scaling(notes=(*_differing(images), *other))
    _check(factor)
    note = (
        f"Images are scaled by {factor:.3g} before training, and those that the model "
        "segments as well, unless a pixel size or a diameter says otherwise."
    )
    return Scaling(tuple((factor,) * i.labels.ndim for i in images), notes=(note,))


def _to_diameter(images: Sequence[TrainingImage], recipe: Recipe | None) -> float:
    if recipe is None or recipe.diameter is None:
        raise SettingsError(
            "There is no model to start from that knows the diameter of its objects.",
            "Start from one that does, or give image_scale, a number.",
        )
    found = median_diameter(images)
    if found is None:
        raise SettingsError(
            "Without any object there is no diameter to scale by.",
            "Annotate some, or give image_scale, a number.",
        )
    return recipe.diameter / found


def _to_pixel_size(images: Sequence[TrainingImage], recipe: Recipe | None) -> Scaling:
    sizes = [_known(image) for image in images]
    wanted = None if recipe is None else recipe.pixel_size
    if wanted is None:
        wanted = sorted(sizes, key=lambda size: size[-1])[len(sizes) // 2]
    factors = tuple(
        tuple(a / b for a, b in zip(size, wanted, strict=True)) for size in sizes
    )
    across = [each[-1] for each in factors]
    _check(min(across))
    _check(max(across))
    shown = " x ".join(f"{size:.3g}" for size in wanted)
    note = (
        f"Images are scaled by {min(across):.3g} to {max(across):.3g} in X, to pixels "
        f"of {shown} micrometres."
    )
    return Scaling(factors, wanted, (note,))


def _known(image: TrainingImage) -> Factors:
    sizes = pixel_sizes(image)
    if sizes is None:
        raise SettingsError(
            f"The pixel size of {image.name} is not known.",
            "Give it (pixel_size, --pixel-size), or scale by diameter or by a number.",
        )
    return sizes


def _check(factor: float) -> None:
    if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise SettingsError(
            f"An image would be scaled by {factor:.3g} before training.",
            "Correct the pixel size or the scale.",
        )


def _differing(images: Sequence[TrainingImage]) -> list[str]:
    """Say that pixel sizes differ, if they are known and do."""
    sizes = [pixel_sizes(image) for image in images]
    known = [size[-1] for size in sizes if size is not None]
    if len(known) < len(sizes) or common_pixel_size(images) is not None:
        return []
    note = (
        f"Pixel sizes differ ({min(known):.3g} to {max(known):.3g} micrometres in X): "
        "images are trained on as they are, and the model will know no pixel size; "
        "scale_to=pixel_size brings them to one."
    )
    return [note]


def _other_diameter(
    images: Sequence[TrainingImage], recipe: Recipe | None
) -> list[str]:
    """Say that objects are much larger or smaller than those of the model."""
    theirs = None if recipe is None else recipe.diameter
    ours = None if theirs is None else median_diameter(images)
    if theirs is None or ours is None or 1 / ALIKE < ours / theirs < ALIKE:
        return []
    note = (
        f"The median object is {ours:.0f} px wide, that of the model was "
        f"{theirs:.0f} px: scale_to=diameter would scale images to what it knows."
    )
    return [note]


def _interpolated(
    image: npt.NDArray[np.float32], resampling: Resampling
) -> npt.NDArray[np.float32]:
    """Return (C, *spatial) at the other size, as prediction reads it."""
    read = resampled_reader(lambda region: image[(slice(None), *region)], resampling)
    return read(tuple(slice(0, n) for n in resampled_shape(resampling)))
