"""Where training patches are drawn: anywhere, on objects, or on rare classes.

The i-th patch of a run depends on the random seed and on i alone, not on the patches
before it: training can be resumed at any step, and threads may draw in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.core.patch_places import (
    ObjectChoice,
    Pixel,
    PixelChoice,
    count_classes,
)
from napari_unet.core.targets import IGNORED
from napari_unet.core.warp_draw import Spacing
from napari_unet.errors import AxesError, SettingsError
from napari_unet.training_settings import Augmentation

Draw = Callable[[np.random.Generator], Pixel]

RAREST = 0.05
"""A class rarer than this share of the pixels is drawn as if it had this share."""


@dataclass(frozen=True)
class PatchPlace:
    """Where a patch is taken.

    Parameters
    ----------
    image
        Index of the sample.
    pixel
        The pixel that was drawn.
    centre
        Centre of the patch: `pixel`, moved as little as needed for the patch to lie
        inside the image; the middle of an axis that is shorter than the patch.
    """

    image: int
    pixel: Pixel
    centre: Pixel


@dataclass(frozen=True, eq=False)
class PatchSampler:
    """Draws where the patches of a run are taken; make one with `build`.

    With probability `foreground` a patch is drawn for its content, otherwise anywhere:

    - anywhere: an image, all as likely whatever their size, then an annotated pixel;
    - with labels: an image, an object of it, all as likely whatever their size, then a
      pixel of it; anywhere in an image without objects;
    - with classes only: a class, the more likely the fewer pixels it has
      (``1 / max(share of the annotated pixels, RAREST)``), then one of the images that
      show it, then a pixel of it.

    Images without any annotated pixel are left out, unless no image has one: then all
    their pixels count as annotated.

    Parameters
    ----------
    shapes
        Spatial shape of each image.
    patch_shape
        Pixels per spatial axis.
    foreground
        Share of patches drawn for their content.
    random_seed
        The same number, the same patches.
    anywhere
        Image and how to draw one of its pixels, for the images that are used.
    objects
        By image: how to draw a pixel of an object.
    classes
        Image and how to draw a pixel, for each class.
    shares
        How likely each class is.
    """

    shapes: tuple[tuple[int, ...], ...]
    patch_shape: tuple[int, ...]
    foreground: float
    random_seed: int
    anywhere: tuple[tuple[int, Draw], ...]
    objects: dict[int, Draw]
    classes: tuple[tuple[tuple[int, Draw], ...], ...]
    shares: NDArray[np.float64]

    @classmethod
    def build(
        cls,
        samples: Sequence[Sample],
        patch_shape: tuple[int, ...],
        *,
        foreground: float = 0.5,
        random_seed: int = 0,
    ) -> Self:
        """Look for annotated pixels, objects and classes; keeps the arrays.

        Parameters
        ----------
        samples
            With labels, patches are drawn on objects; with targets only, on classes.
        patch_shape
            Pixels per spatial axis.
        foreground
            Share of patches drawn for their content, 0 to 1.
        random_seed
            The same number, the same patches.

        Raises
        ------
        AxesError
            Image and patch do not have the same number of axes.
        SettingsError
            No image; a share that is none.
        """
        _check(samples, patch_shape, foreground)
        has_labels = any(sample.labels is not None for sample in samples)
        anywhere = tuple(_annotated(samples))
        used = [image for image, _ in anywhere]
        objects = _objects(samples, used)
        classes, shares = _classes(samples, [] if has_labels else used)
        return cls(
            shapes=tuple(sample.image.shape[1:] for sample in samples),
            patch_shape=tuple(patch_shape),
            foreground=foreground,
            random_seed=random_seed,
            anywhere=anywhere,
            objects=objects,
            classes=classes,
            shares=shares,
        )

    def place(self, index: int) -> PatchPlace:
        """Return where patch number `index` is taken."""
        rng = self._rng(index, 0)
        image, draw = self._choose(rng)
        pixel = draw(rng)
        centre = tuple(
            _moved_inside(p, n, size)
            for p, n, size in zip(
                pixel, self.shapes[image], self.patch_shape, strict=True
            )
        )
        return PatchPlace(image, pixel, centre)

    def rng(self, index: int) -> np.random.Generator:
        """Return the random numbers for `plan_patch` of patch number `index`."""
        return self._rng(index, 1)

    def _rng(self, index: int, purpose: int) -> np.random.Generator:
        """Return what spawning `index` + 1 children, then two of the last, would."""
        key = (index, purpose)
        return np.random.default_rng(
            np.random.SeedSequence(self.random_seed, spawn_key=key)
        )

    def _choose(self, rng: np.random.Generator) -> tuple[int, Draw]:
        """Draw an image and from which of its pixels to draw."""
        for_content = rng.random() < self.foreground
        if for_content and self.classes:
            images = self.classes[int(rng.choice(len(self.classes), p=self.shares))]
            return images[int(rng.integers(len(images)))]
        image, draw = self.anywhere[int(rng.integers(len(self.anywhere)))]
        return image, self.objects.get(image, draw) if for_content else draw


def draw_patch(
    samples: Sequence[Sample],
    sampler: PatchSampler,
    *,
    index: int,
    augmentation: Augmentation,
    spacing: Spacing = None,
) -> Sample:
    """Return patch number `index` of a run.

    Parameters
    ----------
    samples
        Those that `sampler` was built for.
    sampler
        Says where.
    index
        From 0; patches do not depend on one another.
    augmentation
        How patches are varied.
    spacing
        Pixel size, as in `plan_patch`.
    """
    place = sampler.place(index)
    sample = samples[place.image]
    plan = plan_patch(
        sampler.rng(index),
        sample.image.shape,
        sampler.patch_shape,
        centre=place.centre,
        augmentation=augmentation,
        spacing=spacing,
    )
    return apply_patch(plan, sample)


def _check(
    samples: Sequence[Sample], patch_shape: tuple[int, ...], foreground: float
) -> None:
    if not samples:
        raise SettingsError("There is no image to draw patches from.", "Give one.")
    if not 0 <= foreground <= 1:
        raise SettingsError(
            f"foreground = {foreground!r} is not accepted: it is a share.",
            "Give a number from 0 to 1.",
        )
    for sample in samples:
        if sample.image.ndim - 1 != len(patch_shape) or 0 in sample.image.shape:
            raise AxesError(
                f"Patches {tuple(patch_shape)} cannot be drawn from an image of the "
                f"shape {sample.image.shape} with channels first.",
                "Give the patch one number per spatial axis of the image.",
            )


def _moved_inside(pixel: int, n: int, size: int) -> int:
    """Return the centre nearest to `pixel` whose patch lies within 0 to n - 1."""
    if n <= size:
        return n // 2 if n < size else size // 2
    return min(max(pixel, size // 2), n - size + size // 2)


def _annotated(samples: Sequence[Sample]) -> Sequence[tuple[int, Draw]]:
    """Return images with annotated pixels and how to draw one of these."""
    found: list[tuple[int, Draw]] = []
    for image, sample in enumerate(samples):
        choice = _annotated_pixels(sample)
        if choice is None:
            found.append((image, partial(_any_pixel, sample.image.shape[1:])))
        elif choice.n_pixels:
            found.append((image, choice.draw))
    if found:
        return found
    return [
        (image, partial(_any_pixel, sample.image.shape[1:]))
        for image, sample in enumerate(samples)
    ]


def _annotated_pixels(sample: Sample) -> PixelChoice | None:
    """Return the annotated pixels; None for all."""
    if sample.target is not None:
        choice = PixelChoice.find(sample.target, 0, IGNORED - 1)
    elif sample.labels is not None:
        largest = np.iinfo(sample.labels.dtype).max
        choice = PixelChoice.find(sample.labels, 0, int(largest))
    else:
        return None
    is_whole = choice.n_pixels == choice.array.size
    return None if is_whole else choice


def _any_pixel(shape: tuple[int, ...], rng: np.random.Generator) -> Pixel:
    return tuple(int(p) for p in rng.integers(shape))


def _objects(samples: Sequence[Sample], used: Sequence[int]) -> dict[int, Draw]:
    """Return how to draw a pixel of an object, for images that have one."""
    found: dict[int, Draw] = {}
    for image in used:
        labels = samples[image].labels
        choice = None if labels is None else ObjectChoice.find(labels)
        if choice is not None and choice.objects:
            found[image] = choice.draw
    return found


def _classes(
    samples: Sequence[Sample], used: Sequence[int]
) -> tuple[tuple[tuple[tuple[int, Draw], ...], ...], NDArray[np.float64]]:
    """Return the images that show each class, and how likely each class is drawn."""
    targets = [(i, t) for i in used if (t := samples[i].target) is not None]
    counts = {image: count_classes(target)[:IGNORED] for image, target in targets}
    total = sum(counts.values(), np.zeros(IGNORED, np.int64))
    present = np.flatnonzero(total)
    classes = tuple(
        tuple(
            (image, PixelChoice.find(target, value, value).draw)
            for image, target in targets
            if counts[image][value]
        )
        for value in present.tolist()
    )
    rarity = 1 / np.maximum(total[present] / max(1, total.sum()), RAREST)
    return classes, rarity / rarity.sum()
