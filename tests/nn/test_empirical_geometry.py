"""The oracle is the exact probe of the same network, whose layers can be looked at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.empirical_geometry import empirical_geometry, looks_everywhere
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture


def random_unet(**arguments: Any) -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet(Architecture(base_channels=4, **arguments)).eval()


@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 1},
        {"depth": 2},
        {"depth": 2, "upsampling": "bilinear"},
        {"depth": 2, "upsampling": "nearest"},
        {"depth": 2, "pooling": ((1, 2), (2, 2))},
        {"depth": 1, "padded": False, "norm": "none"},
        {"depth": 2, "padded": False, "norm": "none"},
    ],
    ids=str,
)
def test_the_measured_geometry_is_the_exact_one(arguments: dict[str, Any]) -> None:
    network = random_unet(**arguments)
    exact = network_geometry(network, ndim=2, in_channels=1)
    measured = empirical_geometry(network, ndim=2, in_channels=1)
    for found, wanted in zip(measured, exact, strict=True):
        assert (found.divisor, found.crop) == (wanted.divisor, wanted.crop)
        assert found.smallest == wanted.smallest
        # Tiles use the halo rounded up to the divisor.
        assert found.aligned_halo == wanted.aligned_halo
    assert not looks_everywhere(measured)


def test_three_dimensions() -> None:
    network = random_unet(ndim=3, depth=1)
    exact = network_geometry(network, ndim=3, in_channels=1)
    measured = empirical_geometry(network, ndim=3, in_channels=1)
    assert [g.aligned_halo for g in measured] == [g.aligned_halo for g in exact]


def test_a_network_that_looks_everywhere_is_found_out() -> None:
    network = random_unet(depth=1, norm="instance")
    assert looks_everywhere(empirical_geometry(network, ndim=2, in_channels=1))


class OneSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 1, 512, 512)


class HalfSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


@pytest.mark.parametrize(
    ("network", "problem"),
    [(OneSize(), "takes no image of 128 pixels"), (HalfSize(), "has 64 pixels where")],
)
def test_what_cannot_be_tiled_is_refused(network: nn.Module, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        empirical_geometry(network, ndim=2, in_channels=1)
