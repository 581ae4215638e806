from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_unet.core.tiling import AxisGeometry, Geometry
from napari_unet.errors import CheckpointError
from napari_unet.nn.receptive_field import network_geometry, tile_dependent_layers
from napari_unet.nn.shapes import bytes_per_pixel
from napari_unet.nn.unet import UNet
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


class Functional(nn.Module):
    """Pooling and up-sampling as functions, and a skip; any size is accepted."""

    def __init__(self, factor: int = 2, **how: Any) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)
        self.factor, self.how = factor, how or {"mode": "nearest"}

    def forward(self, x: Tensor) -> Tensor:
        top = F.relu(self.down(x))
        low = F.leaky_relu(self.deep(F.max_pool2d(top, self.factor)))
        low = F.interpolate(low, scale_factor=self.factor, **self.how)
        missing = [a - b for a, b in zip(top.shape[2:], low.shape[2:], strict=True)]
        low = F.pad(low, [0, missing[1], 0, missing[0]])
        result: Tensor = self.head(torch.cat([top, low], dim=1))
        return result


class Shuffled(nn.Module):
    """Counts its channels: they become pixels, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.PixelUnshuffle(2),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.PReLU(8),
            nn.PixelShuffle(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result


def strided() -> nn.Module:
    """Every second pixel is never looked at below; bottom and top are added."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 1, stride=2), nn.ConvTranspose2d(2, 1, 2, stride=2)
    )


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def square(divisor: int, halo: tuple[int, int], crop: tuple[int, int] = (0, 0)) -> Any:
    smallest = divisor if crop == (0, 0) else sum(crop) + 1
    return (AxisGeometry(divisor, halo, crop, smallest),) * 2


CONV = functools.partial(nn.Conv2d, 1, 1)


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        (CONV(3, padding=1), square(1, (1, 1))),
        (
            sequential(CONV(3, padding=1), nn.ReLU(), CONV(5, padding=2)),
            square(1, (3, 3)),
        ),
        (CONV(3), square(1, (1, 1), (1, 1))),
        (CONV(5, padding=4, dilation=2), square(1, (4, 4))),
        (sequential(CONV(4), CONV(3)), square(1, (2, 3), (2, 3))),
        # An even kernel: 1 pixel to the left, 2 to the right.
        (sequential(nn.ZeroPad2d((1, 2, 1, 2)), CONV(4)), square(1, (1, 2))),
        # A reflection needs as many pixels beside the edge.
        (
            sequential(nn.ReflectionPad2d(2), CONV(5)),
            (AxisGeometry(1, (2, 2), (0, 0), 3),) * 2,
        ),
        # A pixel at the edge of its cell of 3: nothing beyond the cell matters.
        (sequential(nn.MaxPool2d(3), nn.Upsample(scale_factor=3)), square(3, (0, 0))),
        (
            sequential(
                nn.MaxPool2d(3), CONV(3, padding=1), nn.Upsample(scale_factor=3)
            ),
            square(3, (3, 3)),
        ),
        (strided(), square(2, (0, 0))),
        (
            sequential(nn.MaxPool2d(2), nn.MaxPool2d(3), nn.Upsample(scale_factor=6.0)),
            square(6, (0, 0)),
        ),
        # Linear interpolation reaches one coarse pixel beyond the block.
        (
            sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=4.0, mode="bilinear")),
            square(4, (4, 4)),
        ),
        # One fine pixel, then one coarse pixel: 1 + 2, from the block's own edge; the
        # coarse cell beyond the edge looks one fine pixel further: 3.
        (Functional(), square(2, (3, 3))),
        (Functional(3), square(3, (4, 4))),
        (Functional(mode="bilinear", align_corners=False), square(2, (5, 5))),
        (Shuffled(), square(2, (3, 3))),
    ],
)
def test_networks_of_others(network: nn.Module, wanted: Geometry) -> None:
    assert geometry_of(network.eval()) == wanted
    assert geometry_of(Generic(network).eval()) == wanted


def test_our_network_is_the_same_without_its_methods() -> None:
    for arguments in (
        {"padded": False, "depth": 1},
        {"norm": "batch", "in_channels": 2},
    ):
        network = tiny(**{"depth": 2, **arguments})
        n_in = network.architecture.in_channels
        given = {"ndim": 2, "in_channels": n_in}
        assert network_geometry(Generic(network), **given) == geometry_of(network)
        wanted = bytes_per_pixel(Generic(network), **given)
        assert bytes_per_pixel(network, **given) == pytest.approx(wanted)


def test_a_generic_volume() -> None:
    network = nn.Sequential(
        nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1)),
        nn.MaxPool3d((1, 2, 2)),
        nn.ConvTranspose3d(2, 1, (1, 2, 2), stride=(1, 2, 2)),
    )
    side = AxisGeometry(2, (1, 1), (0, 0), 2)
    assert geometry_of(network, ndim=3) == (
        AxisGeometry(1, (0, 0), (0, 0), 1),
        side,
        side,
    )


# -- memory ----------------------------------------------------------------------


def test_memory_of_one_convolution() -> None:
    # 3 channels in, 5 out, and the map that a skip would keep: float32.
    found = bytes_per_pixel(nn.Conv2d(3, 5, 3, padding=1), ndim=2, in_channels=3)
    assert found == 4 * (3 + 5 + 5)


def test_memory_grows_with_the_channels() -> None:
    narrow, wide = (
        bytes_per_pixel(tiny(depth=2, base_channels=n), ndim=2, in_channels=1)
        for n in (4, 8)
    )
    assert wide == pytest.approx(2 * narrow, rel=0.1)


# -- refusals --------------------------------------------------------------------


class Global(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean(dim=(2, 3), keepdim=True)


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        weights = (flat.transpose(1, 2) @ flat).softmax(dim=-1)
        return (flat @ weights).reshape(x.shape)


class Positional(nn.Module):
    """Each row is multiplied by another number: no shift leaves it as it was."""

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.arange(1.0, 1.0 + x.shape[2], dtype=x.dtype, device=x.device)
        return x * rows[:, None] / x.shape[2]


class Corners(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        small = F.avg_pool2d(x, 2)
        return F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=True)


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.MaxPool2d(2), r"output has 128 pixels where the input has 256"),
        (nn.Upsample(scale_factor=2), r"output has 512 pixels where the input has 256"),
        (CONV(3, padding=2), r"output has 258 pixels where the input has 256"),
        (Global(), "has no end within 4096 pixels"),
        (Attention(), "has no end within 4096 pixels"),
        (Positional(), "not convolutional"),
        (Corners(), "not convolutional"),
        (Blind(), "does not depend on its input"),
        (nn.Conv2d(2, 1, 3), "takes no image of up to 1024 pixels"),
        (sequential(CONV(3, padding=1), CONV(3)), "pads some of its convolutions"),
    ],
)
def test_what_cannot_be_tiled_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as refusal:
        geometry_of(network)
    assert refusal.value.remedy


# -- layers that depend on the tile ----------------------------------------------


def instance(**arguments: Any) -> nn.Module:
    return nn.InstanceNorm2d(4, **arguments)


@pytest.mark.parametrize(
    ("layer", "dependent"),
    [
        (instance(), True),
        (instance(track_running_stats=True), False),
        (nn.GroupNorm(2, 4), True),
        (nn.LayerNorm([4, 8, 8]), True),
        (nn.BatchNorm2d(4), False),
        (nn.BatchNorm2d(4, track_running_stats=False), True),
        (nn.AdaptiveAvgPool2d(1), True),
        (nn.AdaptiveMaxPool2d(2), True),
        (nn.MultiheadAttention(4, 1), True),
        (nn.Upsample(scale_factor=2, mode="bilinear"), False),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), True),
        (nn.Upsample(size=(8, 8)), True),
        (nn.UpsamplingBilinear2d(scale_factor=2), True),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), True),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), False),
        (nn.CircularPad2d(1), True),
        (nn.MaxPool2d(2), False),
        (nn.Dropout(), False),
    ],
)
def test_layers_that_depend_on_the_tile(layer: nn.Module, dependent: bool) -> None:
    named = f"1 ({type(layer).__name__})"
    found = tile_dependent_layers(nn.Sequential(nn.ReLU(), layer))
    assert (named in found) == dependent
    assert bool(found) == dependent
    assert bool(tile_dependent_layers(layer)) == dependent


@pytest.mark.parametrize(("norm", "n"), [("none", 0), ("batch", 0), ("instance", 10)])
def test_our_layers_that_depend_on_the_tile(norm: str, n: int) -> None:
    assert len(tile_dependent_layers(tiny(depth=2, norm=norm))) == n
