"""Fixtures for the tests of the pipeline: networks whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from napari_unet.nn.checkpoint import Model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe

CHANNELS = ("background", "interior", "boundary")
MakeModel = Callable[..., Model]
Scene = Callable[..., npt.NDArray[Any]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Threshold(nn.Module):
    """Interior where the last channel is above one half, background elsewhere."""

    def __init__(self, ndim: int, in_channels: int) -> None:
        super().__init__()
        kind = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.head = kind(in_channels, 3, 1)
        self.head.weight.data.zero_()
        self.head.weight.data[:2, -1] = torch.tensor([-99.0, 99.0]).reshape(
            2, *(1,) * ndim
        )
        self.head.bias.data = torch.tensor([49.5, -49.5, -99.0])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(x)
        return result


@pytest.fixture
def threshold_model() -> MakeModel:
    """Return a function: a model that finds what is brighter than the middle."""

    def make(ndim: int = 2, in_channels: int = 1, **recipe: Any) -> Model:
        architecture = Architecture(ndim=ndim, in_channels=in_channels, out_channels=3)
        network = Threshold(ndim, in_channels).eval().requires_grad_(False)
        given = {"channels": CHANNELS, **recipe}
        return Model(network, Recipe(architecture=architecture, **given), "0" * 64)

    return make


@pytest.fixture
def random_model() -> MakeModel:
    """Return a function: a small U-Net with random weights, which sees around it."""

    def make(**arguments: Any) -> Model:
        arguments = {"base_channels": 4, "depth": 2, **arguments}
        architecture = Architecture(**arguments)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            network = UNet(architecture).eval().requires_grad_(False)
        recipe = Recipe(
            architecture=architecture,
            channels=CHANNELS,
            separation={"seed_threshold": 0.0, "mask_threshold": 0.6},
        )
        return Model(network, recipe, "1" * 64)

    return make


def blocks(shape: tuple[int, ...] = (48, 60), seed: int = 0) -> npt.NDArray[np.uint8]:
    """Bright blocks, at least 6 pixels wide and as far apart, on a dark ground."""
    rng = np.random.default_rng(seed)
    cells = tuple(-(-side // 12) for side in shape)
    bright = rng.random(cells) < 0.6
    bright.flat[:2] = True, False
    tile = np.zeros((12,) * len(shape), np.uint8)
    tile[(slice(3, 9),) * len(shape)] = 200
    whole = np.kron(bright.astype(np.uint8), tile)
    return whole[tuple(slice(0, side) for side in shape)]


@pytest.fixture
def scene() -> Scene:
    return blocks


@pytest.fixture
def components() -> Callable[[npt.NDArray[Any]], npt.NDArray[np.int32]]:
    """Return a function: the objects of a scene, by SciPy."""

    def label(image: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        found, _ = ndimage.label(image > 100)
        return np.asarray(found, np.int32)

    return label
