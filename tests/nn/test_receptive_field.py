from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_unet.core.tiling import AxisGeometry, Geometry
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.shapes import bytes_per_pixel
from napari_unet.nn.unet import UPSAMPLINGS, UNet
from napari_unet.settings import Architecture


def tiny(**arguments: Any) -> UNet:
    arguments = {"base_channels": 1, "out_channels": 1, "norm": "none", **arguments}
    return UNet(Architecture(**arguments)).eval().requires_grad_(False)


class Generic(nn.Module):
    """Anybody's network: its sizes cannot be asked for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.network(x)
        return result


def geometry_of(network: nn.Module, ndim: int = 2, in_channels: int = 1) -> Geometry:
    return network_geometry(network, ndim=ndim, in_channels=in_channels)


# -- known values ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "upsampling", "padded", "side"),
    [
        (4, "transposed", True, 94),
        (4, "bilinear", True, 110),
        (4, "nearest", True, 94),
        (4, "transposed", False, 92),
        (2, "transposed", True, 22),
        (2, "bilinear", True, 26),
        (3, "transposed", True, 46),
        (3, "bilinear", True, 54),
        (5, "transposed", True, 190),
        (5, "bilinear", True, 222),
    ],
)
def test_known_halos(depth: int, upsampling: str, padded: bool, side: int) -> None:
    network = tiny(depth=depth, upsampling=upsampling, padded=padded)
    found = geometry_of(network)
    crop = (0, 0) if padded else (side, side)
    smallest = 2**depth if padded else 188
    assert found == (AxisGeometry(2**depth, (side, side), crop, smallest),) * 2


def test_a_volume_has_a_geometry_for_each_axis() -> None:
    pooling = ((1, 3, 3), (2, 2, 2), (2, 2, 2))
    found = geometry_of(tiny(ndim=3, depth=3, pooling=pooling), ndim=3)
    assert [axis.divisor for axis in found] == [4, 12, 12]
    assert [axis.smallest for axis in found] == [4, 12, 12]
    # Along Z the first stage is not pooled: four convolutions there reach 4 pixels,
    # those of the other two stages what a network of depth 2 needs, less the phases.
    assert found[0].halo == (24, 24)
    assert found[1] == found[2]


# -- brute force -----------------------------------------------------------------


def moved_outputs(
    network: nn.Module, shape: tuple[int, int], position: int, seed: int
) -> Tensor:
    """Return the rows of the output that change when one input row does."""
    generator = torch.Generator().manual_seed(seed)
    given: Any = {"dtype": torch.float64, "generator": generator}
    image = torch.randn(1, 1, *shape, **given)
    other = image.clone()
    other[0, 0, position] += torch.randn(shape[1], **given)
    with torch.inference_mode():
        change = network(image) != network(other)
    return torch.nonzero(change.any(dim=(0, 1, 3)))[:, 0]


def reach(network: nn.Module, axis: AxisGeometry, seeds: int) -> tuple[int, int]:
    """Return how far beyond their block rows were seen to matter (left, right).

    Blocks of outputs begin at multiples of the divisor, and end where a tile could.
    """
    divisor, crop = axis.divisor, axis.crop[0]
    shape = axis.input_size(2 * max(axis.halo) + 4 * divisor), axis.input_size(12)
    end = axis.output_size(1) % divisor
    middle = shape[0] // 2
    left = right = 0
    for position in range(middle, middle + divisor):
        for seed in range(seeds):
            for row in moved_outputs(network, shape, position, seed).tolist():
                start = row // divisor * divisor
                stop = (row - end) // divisor * divisor + divisor + end
                left = max(left, start + crop - position)
                right = max(right, position - (stop + crop) + 1)
    return left, right


def positive(network: nn.Module) -> nn.Module:
    """Return a copy in which nothing cancels and no ReLU is closed."""
    found = copy.deepcopy(network).double()
    for name, parameter in found.named_parameters():
        parameter.abs_().add_(0.1)
        if name.endswith("bias"):
            parameter.fill_(100.0)
    return found


BRUTE = [
    {"depth": depth, "upsampling": upsampling, "padded": padded}
    for depth in (1, 2)
    for upsampling in UPSAMPLINGS
    for padded in (True, False)
] + [
    {"depth": 1, "pooling": ((3, 2),), "padded": True, "upsampling": "bilinear"},
    {"depth": 2, "pooling": ((2, 1), (3, 2)), "padded": True},
    {"depth": 2, "pooling": ((1, 2), (4, 2)), "padded": True, "upsampling": "nearest"},
]


@pytest.mark.parametrize("arguments", BRUTE)
def test_no_output_beyond_the_halo_moves(arguments: dict[str, Any]) -> None:
    torch.manual_seed(3)
    network = tiny(**arguments, base_channels=2).double()
    axis = geometry_of(network)[0]
    found = reach(network, axis, seeds=2)
    assert all(a <= b for a, b in zip(found, axis.halo, strict=True))


@pytest.mark.parametrize("arguments", [a for a in BRUTE if a["padded"]])
def test_every_pixel_of_the_halo_matters(arguments: dict[str, Any]) -> None:
    """With average pooling, which no single pixel dominates."""
    network = positive(tiny(**arguments))
    for index, pool in enumerate(network.pools):
        network.pools[index] = nn.AvgPool2d(pool.kernel_size)
    axis = geometry_of(tiny(**arguments))[0]
    assert reach(network, axis, seeds=1) == axis.halo


# -- the network itself ----------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_network_is_not_changed(training: bool, wrapped: bool) -> None:
    network = tiny(depth=2, norm="batch", dropout=0.5).train(training)
    network.requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    probed = Generic(network).train(training) if wrapped else network
    geometry_of(probed)
    bytes_per_pixel(probed, ndim=2, in_channels=1)
    assert all(module.training == training for module in network.modules())
    assert all(p.requires_grad and not p.is_meta for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_weights_of_zero_hide_nothing() -> None:
    network = tiny(depth=1)
    for parameter in network.parameters():
        parameter.zero_()
    assert geometry_of(network)[0].halo == (8, 8)
    assert math.isfinite(bytes_per_pixel(network, ndim=2, in_channels=1))
