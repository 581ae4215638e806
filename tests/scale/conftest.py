"""Tiny models, and thresholds under which their noise looks like cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

import napari_unet as nu
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe, Separation

MakeModel = Callable[..., Model]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_model(
    *, seed: int = 0, recipe: dict[str, Any] | None = None, **given: Any
) -> Model:
    """A random network, its last layer scaled so that no class wins everywhere."""
    architecture = Architecture(**{"base_channels": 4, "depth": 1, **given})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(architecture).eval().requires_grad_(False)
        pixels = torch.rand(1, architecture.in_channels, *(32,) * architecture.ndim)
    convolutions = (nn.Conv2d, nn.Conv3d)
    *_, head = (m for m in network.modules() if isinstance(m, convolutions))
    with torch.no_grad():
        logits = network(pixels)[0].flatten(1)
        factor = 1.5 / logits.std(dim=1)
        head.weight.mul_(factor.reshape(-1, *(1,) * (head.weight.ndim - 1)))
        head.bias.sub_(logits.mean(dim=1)).mul_(factor)
    names = ("background", "interior", "boundary")[: architecture.out_channels]
    recipe = {"channels": names, **(recipe or {})}
    return Model(network, Recipe(architecture=architecture, **recipe))


@pytest.fixture
def make_model() -> MakeModel:
    return tiny_model


def _cell_like(image: np.ndarray, model: Model, **options: Any) -> Separation:
    found = nu.segment(image, model, **options)
    p = found.probabilities.astype(np.int64)
    seeds, mask = p[1] - p[2], p[1] + p[2]
    return Separation(
        seed_threshold=float(np.quantile(seeds, 0.9)) / 65535,
        mask_threshold=float(np.quantile(mask, 0.4)) / 65535,
        min_seed_size=2,
        min_size=4,
    )


@pytest.fixture
def cell_like() -> Callable[..., Separation]:
    """Return a function: thresholds at quantiles of what a model says of an image."""
    return _cell_like


def _noise(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.uint16) -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    values = (values - values.min()) / (values.max() - values.min())
    return np.asarray(np.round(values * 40).astype(dtype) * 100)


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Return a function: shape -> smooth noise in few levels."""
    return _noise
