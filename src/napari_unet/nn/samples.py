"""Samples: each training image prepared once for the network and its loss.

Normalised by the whole image, as in prediction; turned into classes; weighed. Patches
are cut from this later, and bend image, classes and weights together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_unet.core.augment import Sample
from napari_unet.core.border_weights import border_weights, falk_weights
from napari_unet.core.normalize import measure_intensity
from napari_unet.core.split_parts import Part
from napari_unet.core.targets import (
    IGNORED,
    carve_gap,
    distance_target,
    three_class,
    two_class,
)
from napari_unet.errors import SettingsError
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.losses import CELL_NAMES, Objective
from napari_unet.settings import Normalization
from napari_unet.training_settings import Loss

Classes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Spacing = tuple[float, ...]
LARGEST_RATIO = 10.0
"""Of two classes' weights: of a class of a hundred pixels, more would teach noise."""


def normalise(
    images: Iterable[TrainingImage], settings: Normalization
) -> list[TrainingImage]:
    """Scale each image by the percentiles of all its pixels, as prediction does."""
    return [
        image
        if image.normalised
        else replace(image, image=normalised(image.image, settings), normalised=True)
        for image in images
    ]


def take_parts(
    images: Sequence[TrainingImage], parts: Iterable[Part], objective: Objective
) -> list[TrainingImage]:
    """Return the parts of images that a split names."""
    semantic = objective.task == "semantic"
    return [
        replace(
            images[part.image],
            image=part.image_of(images[part.image].image),
            labels=part.labels_of(images[part.image].labels, semantic=semantic),
        )
        for part in parts
    ]


def prepare_samples(
    images: Sequence[TrainingImage], objective: Objective, by_class: Floats
) -> list[Sample]:
    """Turn normalised images into what patches are cut from.

    Parameters
    ----------
    images
        From `normalise`.
    objective
        Says what is taught.
    by_class
        From `class_weights`.
    """
    return [_prepare(image, objective, by_class) for image in images]


def _prepare(image: TrainingImage, objective: Objective, by_class: Floats) -> Sample:
    target = make_target(image, objective)
    of_place, of_class = make_weight(image, objective.loss, by_class)
    return Sample(
        image=np.ascontiguousarray(image.image, np.float32),
        target=target,
        weight=of_place,
        class_weights=of_class,
        distance=_distance(image) if objective.has_distance else None,
        # Without labels, patches are drawn by class.
        labels=image.labels if objective.task == "instances" else None,
    )


def pixel_sizes(image: TrainingImage) -> Spacing | None:
    """Return micrometres per pixel for each spatial axis; None if not all are known."""
    known = [image.pixel_size.get(axis) for axis in image.axes[1:]]
    sizes = tuple(float(size) for size in known if size)
    return sizes if len(sizes) == len(known) else None


def relative_spacing(image: TrainingImage) -> Spacing:
    """Return the pixel size per axis in pixels of X, the unit of widths and sigmas."""
    sizes = pixel_sizes(image)
    if sizes is None:
        return (1.0,) * image.labels.ndim
    return tuple(size / sizes[-1] for size in sizes)


def make_target(image: TrainingImage, objective: Objective) -> Classes:
    """Return the class of each pixel, `IGNORED` where not annotated."""
    loss = objective.loss
    if loss.target == "semantic":
        return _semantic(image, objective.n_classes)
    if loss.target == "two_class":
        return two_class(image.labels)
    return three_class(
        image.labels, loss.boundary_width, spacing=relative_spacing(image)
    )


def make_weight(
    image: TrainingImage, loss: Loss, by_class: Floats
) -> tuple[Floats, Floats | None]:
    """Return the weight of each pixel for its place, and that of its class.

    The border term is that of the cells as they are taught: set apart by a gap for the
    two-class form. Classes of pixels have none. The formula of 2019 is one whole:
    classes have no weights of their own.
    """
    labels, spacing = image.labels, relative_spacing(image)
    if not _has_border(loss):
        return _apart(np.zeros(labels.shape, np.float32), by_class)
    cells = carve_gap(labels) if loss.target == "two_class" else labels
    sigma = _sigma(image, loss)
    if loss.formula == "falk2019":
        return falk_weights(cells, loss.w0, sigma=sigma, spacing=spacing), None
    border = border_weights(
        cells, loss.w0, sigma, class_weights=(0.0, 0.0), spacing=spacing
    )
    return _apart(border, by_class)


def check_sigma(images: Iterable[TrainingImage], loss: Loss) -> None:
    """Raise `SettingsError` if the reach of the border weights is not known in one."""
    if _has_border(loss):
        for image in images:
            _sigma(image, loss)


def _has_border(loss: Loss) -> bool:
    return loss.target != "semantic" and loss.w0 > 0


def _sigma(image: TrainingImage, loss: Loss) -> float:
    """Return the reach of the border weights in pixels of X, the unit of spacings."""
    if loss.sigma_unit == "pixels":
        return loss.sigma
    sizes = pixel_sizes(image)
    if sizes is None:
        raise SettingsError(
            f"The pixel size of {image.name} is not known, but sigma is in "
            "micrometres.",
            "Give it (pixel_size, --pixel-size), or sigma in pixels.",
        )
    return loss.sigma / sizes[-1]


def _apart(of_place: Floats, of_class: Floats) -> tuple[Floats, Floats | None]:
    """Keep the weights of classes apart, if they differ."""
    if (of_class == of_class[0]).all():
        return of_place + of_class[0], None
    return of_place, of_class


def class_weights(images: Sequence[TrainingImage], objective: Objective) -> Floats:
    """Return the weight of each class: 1, or by inverse frequency.

    At most `LARGEST_RATIO` times the lightest. Scaled so that the average annotated
    pixel weighs 1: the height of the border term keeps its meaning beside them. A class
    that does not occur weighs 1.
    """
    n_classes = objective.n_classes
    if objective.loss.class_weights == "none":
        return np.ones(n_classes, np.float32)
    counts = np.zeros(IGNORED + 1, np.int64)
    for image in images:
        target = make_target(image, objective)
        counts += np.bincount(target.ravel(), minlength=IGNORED + 1)
    found = counts[:n_classes].astype(np.float64)
    inverse = 1 / np.where(found > 0, found, 1)
    inverse = np.minimum(inverse, LARGEST_RATIO * inverse[found > 0].min(initial=1.0))
    total = (found * inverse).sum() or 1.0
    return np.where(found > 0, inverse * found.sum() / total, 1).astype(np.float32)


def normalised(image: npt.NDArray[np.generic], settings: Normalization) -> Floats:
    """Scale (C, ...) by the percentiles of the whole image, as prediction does."""
    measured = measure_intensity(
        [lambda region: image[(slice(None), *region)]],
        image.shape[1:],
        image.dtype,
        settings,
    )
    return measured.apply(image, settings)


def find_classes(
    images: Sequence[TrainingImage], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return a name for each class in the labels, background first.

    Parameters
    ----------
    images
        Their labels are classes; all of one data set may name them.
    names
        That count more; empty: none.

    Raises
    ------
    SettingsError
        If there are more classes than names, or more than fit.
    """
    largest = max((_largest_class(image.labels) for image in images), default=0)
    names = names or named_by_data(images)
    if not names:
        return ("background", *(f"class_{i}" for i in range(1, largest + 1)))
    if largest >= len(names):
        raise SettingsError(
            f"The labels hold class {largest}, but {len(names)} classes are named.",
            "Name every class, background first, or correct the labels.",
        )
    return names


def named_by_data(images: Sequence[TrainingImage]) -> tuple[str, ...]:
    """Return the names that all images agree on, unless they are those of cells."""
    found = {image.classes for image in images}
    names = found.pop() if len(found) == 1 else ()
    return () if set(names) <= CELL_NAMES else names


def median_diameter(images: Sequence[TrainingImage]) -> float | None:
    """Return the median diameter of circles (balls) as large as the objects.

    In pixels of X; None without any object.
    """
    diameters = [_diameters(image) for image in images]
    found = np.concatenate([*diameters, np.zeros(0)])
    return float(np.median(found)) if found.size else None


def common_pixel_size(images: Sequence[TrainingImage]) -> Spacing | None:
    """Return the pixel size that all images share to within 1 %, or None."""
    known = [sizes for sizes in map(pixel_sizes, images) if sizes is not None]
    if not known or len(known) < len(images):
        return None
    return known[0] if np.allclose(known, known[0], rtol=0.01, atol=0) else None


def _semantic(image: TrainingImage, n_classes: int) -> Classes:
    labels = image.labels
    ignored = (labels < 0) | (labels == IGNORED)
    known = np.where(ignored, 0, labels)
    if known.max(initial=0) >= n_classes:
        raise SettingsError(
            f"{image.name} holds class {known.max()}, but the model knows "
            f"{n_classes} classes.",
            "Correct the labels, or train a new model.",
        )
    return np.where(ignored, IGNORED, known).astype(np.uint8)


def _distance(image: TrainingImage) -> Floats:
    distance = distance_target(image.labels, spacing=relative_spacing(image))
    # Interpolation must not spread NaN; such pixels weigh nothing.
    return np.nan_to_num(distance, copy=False, nan=0.0)


def _largest_class(labels: npt.NDArray[np.int32]) -> int:
    return int(labels[labels != IGNORED].max(initial=0))


def _diameters(image: TrainingImage) -> npt.NDArray[np.float64]:
    labels, ndim = image.labels, image.labels.ndim
    sizes = np.unique(labels[labels > 0], return_counts=True)[1]
    volumes = sizes * float(np.prod(relative_spacing(image)))
    ball = np.pi / 4 if ndim == 2 else np.pi / 6
    return np.asarray((volumes / ball) ** (1 / ndim))
