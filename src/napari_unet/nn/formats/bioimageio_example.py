"""An example for a packaged model: a simulated image and what this package makes of it.

Simulated, so that no one's image is passed on; predicted as everywhere else here, in
float32 on the CPU, so that the test of the package is one of this package, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.core.fixed_point import to_fixed_point
from napari_unet.core.normalize import IntensityRange, Region, measure_intensity
from napari_unet.core.processing import Processing, measure_steps
from napari_unet.core.separation import separate_instances, separate_semantic
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.overlay import overlay
from napari_unet.nn.formats.bioimageio_axes import axis_sizes
from napari_unet.nn.model import Model
from napari_unet.settings import Prediction

COVER_HEIGHT = 256
# Below these sides a test image shows nothing.
LEAST_SIDES = {2: 64, 3: 16}

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """An image, what the network sees of it, and the probabilities.

    Parameters
    ----------
    image
        (C, [Z,] Y, X) in counts.
    seen
        The same, normalised.
    probabilities
        (C, [Z,] Y, X) after the activation; smaller for valid convolutions.
    """

    image: Pixels
    seen: Pixels
    probabilities: Pixels


def make_example(model: Model) -> Example:
    """Simulate an image of a size that the model takes as it is, and predict."""
    recipe = model.recipe
    least = LEAST_SIDES[recipe.architecture.ndim]
    shape = tuple(axis_sizes(axis).test_size(least) for axis in model.geometry)
    image = _simulated(shape, recipe.architecture.in_channels, recipe.diameter)

    def read(region: Region) -> npt.NDArray[Any]:
        return image[(slice(None), *region)]

    settings = recipe.normalization
    intensity: IntensityRange | Processing
    if recipe.preprocessing:
        intensity = measure_steps([read], shape, image.dtype, recipe.preprocessing)[0]
    else:
        intensity = measure_intensity([read], shape, image.dtype, settings)
    seen = intensity.apply(image, settings)
    predictor = model.predictor(Prediction(), torch.device("cpu"))
    return Example(image, seen, predictor.probabilities(seen).numpy())


def draw_cover(model: Model, example: Example) -> npt.NDArray[np.uint8]:
    """Return a picture twice as wide as high: the image, and the objects found."""
    recipe, stored = model.recipe, to_fixed_point(example.probabilities.clip(0, 1))
    # The picture has the network's pixels, of which sizes count others.
    separation = recipe.separation.scaled(recipe.size_volume)
    semantic = recipe.task == "semantic"
    labels = (
        separate_semantic(stored)
        if semantic
        else separate_instances(stored, recipe.channels, separation)
    )
    image = _centre(example.image[0], labels.shape)
    if image.ndim == 3:
        image, labels = image[len(image) // 2], labels[len(labels) // 2]
    side = min(image.shape)
    square = _centre(image, (side, side)), _centre(labels, (side, side))
    found = overlay(*square, semantic=semantic, class_names=recipe.channels)
    plain = overlay(square[0], np.zeros_like(square[1]))
    zoom = max(1, COVER_HEIGHT // side)
    both = np.concatenate([plain, found[:side, :side]], axis=1)
    return np.kron(both, np.ones((zoom, zoom, 1), np.uint8))


def _simulated(
    shape: tuple[int, ...], n_channels: int, diameter: float | None
) -> Pixels:
    """Return one simulated image a channel."""
    largest = max(4.0, min(shape[-2:]) / 3)
    usual = 22.0 if diameter is None else diameter
    images = [
        simulate(
            Simulation(
                shape=shape,
                diameter=min(max(usual, 4.0), largest),
                random_seed=channel,
            )
        )[0]
        for channel in range(n_channels)
    ]
    return np.stack(images).astype(np.float32)


def _centre(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    starts = [(n - m) // 2 for n, m in zip(array.shape, shape, strict=True)]
    inside = (slice(s, s + m) for s, m in zip(starts, shape, strict=True))
    return array[tuple(inside)]
