"""Fixtures for the tests of networks: tiny models, and the untiled reference."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_unet.core.mirror import read_mirrored
from napari_unet.core.tiling import Geometry, Grid
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor, iter_predict
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe

Pixels = npt.NDArray[np.float32]
MakeModel = Callable[..., Model]
Reference = Callable[..., Pixels]
Tiled = Callable[[Predictor, Pixels, Grid], Pixels]
Run = Callable[..., npt.NDArray[Any]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks lose more than they gain by sharing the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def random_network(architecture: Architecture, seed: int) -> UNet:
    """Return a network with random weights, biases and running statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(architecture)
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.3, 3.0)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0.0, 0.3)
            elif "norm" in name and name.endswith("weight"):
                value.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


@functools.cache
def known_geometry(architecture: Architecture) -> Geometry:
    """Probe each geometry once for all tests; channels do not matter for it."""
    network = UNet(architecture)
    return network_geometry(network, ndim=architecture.ndim, in_channels=1)


@pytest.fixture
def make_model() -> MakeModel:
    """Return a function: arguments of the architecture -> a random tiny model."""

    def make(
        *, seed: int = 0, recipe: dict[str, Any] | None = None, **arguments: Any
    ) -> Model:
        arguments = {"base_channels": 2, "depth": 2, **arguments}
        architecture = Architecture(**arguments)
        names = tuple(f"class_{i}" for i in range(architecture.out_channels))
        given = {"channels": names, "task": "semantic", **(recipe or {})}
        network = random_network(architecture, seed)
        model = Model(network, Recipe(architecture=architecture, **given))
        thin = architecture.replace(in_channels=1, out_channels=1, base_channels=1)
        model.__dict__["geometry"] = known_geometry(thin)
        return model

    return make


@pytest.fixture
def reference() -> Reference:
    """Return a function: model and image (C, ...) -> what the untiled network gives.

    Written after DESIGN's words, and not after the code: the image is reflected as far
    as the divisor needs on the high side, and by margins (low, high) per axis before.
    """

    def compute(
        network: torch.nn.Module,
        image: Pixels,
        divisors: tuple[int, ...],
        margins: tuple[tuple[int, int], ...] = (),
        *,
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> Pixels:
        shape = image.shape[1:]
        pads = [(0, 0)]
        for n, divisor, (low, high) in zip(
            shape, divisors, margins or ((0, 0),) * len(shape), strict=True
        ):
            pads.append((low, high + -(low + n + high) % divisor))
        canvas = torch.from_numpy(np.pad(image, pads, mode="reflect"))[None]
        with torch.inference_mode():
            logits = network(canvas)[0]
            found = activation(logits) if activation else logits.softmax(dim=0)
        # A valid network has cut off what its margin gave.
        lost = [a - b for a, b in zip(canvas.shape[2:], found.shape[1:], strict=True)]
        starts = [low - cut // 2 for (low, _), cut in zip(pads[1:], lost, strict=True)]
        inside = (slice(s, s + n) for s, n in zip(starts, shape, strict=True))
        return found[(slice(None), *inside)].numpy()

    return compute


@pytest.fixture
def tiled() -> Tiled:
    """Return a function: float probabilities, tile by tile."""

    def compute(predict: Predictor, image: Pixels, grid: Grid) -> Pixels:
        result: Pixels | None = None
        for tile in grid.tiles:
            pixels = read_mirrored(
                lambda region: image[(slice(None), *region)], tile.read, grid.shape
            )
            found = predict.probabilities(pixels).numpy()[(slice(None), *tile.crop)]
            if result is None:
                result = np.full((len(found), *grid.shape), np.nan, np.float32)
            result[(slice(None), *tile.write)] = found
        assert result is not None
        return result

    return compute


@pytest.fixture
def random_image() -> Callable[..., Pixels]:
    """Return a function: shape -> noise (C, ...)."""

    def make(shape: tuple[int, ...], n_channels: int = 1) -> Pixels:
        rng = np.random.default_rng(sum(shape))
        return rng.normal(0.3, 1.0, (n_channels, *shape)).astype(np.float32)

    return make


@pytest.fixture
def run() -> Run:
    """Return a function that runs `iter_predict` to its end, and checks its events."""

    def compute(
        predict: Predictor,
        image: Pixels,
        grid: Grid,
        *,
        n_channels: int = 3,
        **how: Any,
    ) -> npt.NDArray[Any]:
        def read(region: tuple[slice, ...]) -> Pixels:
            return image[(slice(None), *region)]

        out = np.zeros((n_channels, *grid.shape), predict.prediction.stored)
        events = list(iter_predict(predict, read, grid, out, **how))
        assert [event.tile for event in events] == list(grid.tiles)
        numbers = [(event.n_done, event.n_tiles) for event in events]
        n_tiles = len(grid.tiles)
        assert numbers == [(i, n_tiles) for i in range(1, n_tiles + 1)]
        return out

    return compute


def pairs_of_discs(
    seed: int = 0, shape: tuple[int, int] = (64, 64), radius: int = 6
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
    """Bright discs in touching pairs on dark ground, one pair in each 32 x 32 pixels.

    Returns
    -------
    image, labels
        Both (Y, X).
    """
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for top, left in itertools.product(range(0, shape[0], 32), range(0, shape[1], 32)):
        cy, cx = np.array((top, left)) + 16 + rng.integers(-2, 3, 2)
        for side in (-1, 1):
            centre = cx + side * (radius - 0.5)
            inside = (y - cy) ** 2 + (x - centre) ** 2 < radius**2
            labels[inside & (labels == 0)] = labels.max() + 1
    image = np.where(labels > 0, 900, 100) + rng.normal(0, 30, shape)
    return image.clip(0).astype(np.uint16), labels


@pytest.fixture(scope="session")
def discs() -> Callable[..., tuple[npt.NDArray[Any], npt.NDArray[np.int32]]]:
    """The function `pairs_of_discs`: seed and shape -> image and labels."""
    return pairs_of_discs
