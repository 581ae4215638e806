"""A picture of augmented patches, for a person to judge whether they still look real.

Numbers of an augmentation say little; one look shows whether cells are torn, folded or
drowned in noise, and whether the weights followed them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.core.patches import PatchSampler
from napari_unet.core.targets import IGNORED
from napari_unet.core.warp_draw import Spacing
from napari_unet.errors import SettingsError
from napari_unet.training_settings import Augmentation

Picture = NDArray[np.uint8]

GAP = 4
# Outlines by remainder of the id, so that most neighbours differ.
OUTLINES = np.array(
    [(255, 90, 90), (80, 220, 255), (255, 220, 60), (120, 240, 110), (225, 130, 255)],
    np.uint8,
)
NOT_ANNOTATED = np.array((60, 60, 160), np.uint8)
# Black, dark red, orange, white: weights of 0, a third, two thirds, and the largest.
HEAT = np.array([(0, 0, 0), (140, 20, 30), (250, 160, 40), (255, 255, 255)], float)


def augmentation_sheet(
    sample: Sample,
    augmentation: Augmentation,
    *,
    n: int = 12,
    patch_shape: tuple[int, ...] | None = None,
    random_seed: int = 0,
    spacing: Spacing = None,
) -> Picture:
    """Draw one place of an image, first as it is and then augmented.

    Each patch is shown twice: its first channel from 0 (black) to 1 (white) with the
    outlines of its objects or classes, and beside it the weights, from 0 (black) to the
    largest of the image (white). Blue is not annotated. Of a 3-D patch the middle plane
    is shown.

    Parameters
    ----------
    sample
        Image with labels or target, and weights.
    augmentation
        How patches are varied.
    n
        Number of patches, the unchanged one among them.
    patch_shape
        Pixels per spatial axis; none given: 128 in Y and X, 16 in Z.
    random_seed
        The same number, the same picture.
    spacing
        Pixel size, as in `plan_patch`.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8.

    Raises
    ------
    SettingsError
        `n` below 1.
    """
    if n < 1:
        raise SettingsError(f"A sheet of {n} patches is empty.", "Ask for 1 or more.")
    shape = patch_shape or (16, 128, 128)[4 - sample.image.ndim :]
    sampler = PatchSampler.build(
        [sample], shape, foreground=1.0, random_seed=random_seed
    )
    centre = sampler.place(0).centre
    weight = sample.total_weight()
    heaviest = 1.0 if weight is None else float(weight.max(initial=1e-6))
    pictures = []
    for index in range(n):
        plan = plan_patch(
            sampler.rng(index),
            sample.image.shape,
            shape,
            centre=centre,
            augmentation=augmentation if index else Augmentation.none(),
            spacing=spacing,
        )
        patch = _middle_plane(apply_patch(plan, sample))
        pictures.append(np.hstack([_draw_image(patch), _draw_weights(patch, heaviest)]))
    return _tabulate(pictures)


def _middle_plane(patch: Sample) -> Sample:
    """Return the middle plane of a 3-D patch; a 2-D patch as it is."""
    if patch.image.ndim == 3:
        return patch
    middle = patch.image.shape[1] // 2
    maps = (patch.target, patch.weight, patch.distance, patch.labels)
    return Sample(
        patch.image[:, middle], *(None if m is None else m[middle] for m in maps)
    )


def _draw_image(patch: Sample) -> Picture:
    """Grey image with outlines; what is not annotated is tinted."""
    grey = np.clip(patch.image[0] * 255, 0, 255).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    ids = patch.target if patch.labels is None else patch.labels
    if ids is None:
        return picture
    unknown = (ids == IGNORED) if patch.labels is None else (ids < 0)
    picture[unknown] = picture[unknown] // 2 + NOT_ANNOTATED // 2
    outline = _inner_outline(ids) & ~unknown
    picture[outline] = OUTLINES[ids[outline] % len(OUTLINES)]
    return picture


def _inner_outline(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels above 0 that have another value beside them."""
    padded = np.pad(ids, 1, mode="edge")
    beside = (
        padded[:-2, 1:-1],
        padded[2:, 1:-1],
        padded[1:-1, :-2],
        padded[1:-1, 2:],
    )
    differs = np.logical_or.reduce([other != ids for other in beside])
    return np.asarray(differs & (ids > 0))


def _draw_weights(patch: Sample, heaviest: float) -> Picture:
    """Weights from black over red to white; blue where not annotated."""
    if patch.weight is None:
        return np.zeros((*patch.image.shape[1:], 3), np.uint8)
    shares = np.clip(patch.weight / heaviest, 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(shares, stops, HEAT[:, c]) for c in range(3)]
    picture = np.stack(channels, axis=-1).astype(np.uint8)
    if patch.target is not None:
        picture[patch.target == IGNORED] = NOT_ANNOTATED
    return picture


def _tabulate(pictures: list[Picture]) -> Picture:
    """Lay the pictures out in rows, as square as they allow."""
    height, width, _ = pictures[0].shape
    n_columns = max(1, round(math.sqrt(len(pictures) * height / width)))
    n_rows = math.ceil(len(pictures) / n_columns)
    cell = np.array((height + GAP, width + GAP))
    sheet = np.full((*(cell * (n_rows, n_columns) + GAP), 3), 40, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = cell * divmod(index, n_columns) + GAP
        sheet[y : y + height, x : x + width] = picture
    return sheet
