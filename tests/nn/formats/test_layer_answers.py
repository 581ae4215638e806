"""A network that was pickled whole says what its state dict leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napari_unet as nu
from napari_unet.nn.formats.layer_answers import layer_answers

OPTIONS = {
    "activation": ["relu", "leaky_relu_0.01", "leaky_relu_0.2", "elu"],
    "pooling": ["max", "average"],
    "upsampling": ["linear", "nearest", "linear_corners"],
}


def answers(*layers: dict[str, Any]) -> dict[str, str]:
    hints = {"layers": {str(i): layer for i, layer in enumerate(layers)}}
    return layer_answers(hints, OPTIONS)


def test_classes_and_attributes_answer() -> None:
    found = answers(
        {"class": "torch.nn.modules.conv.Conv2d"},
        {"class": "torch.nn.modules.activation.LeakyReLU", "negative_slope": 0.2},
        {"class": "__torch__.torch.nn.modules.pooling.___mangle_1.AvgPool2d"},
        {"class": "my.Upsample", "mode": "bilinear", "align_corners": True},
    )
    assert found == {
        "activation": "leaky_relu_0.2",
        "pooling": "average",
        "upsampling": "linear_corners",
    }


def test_layers_that_disagree_or_are_unknown_do_not_answer() -> None:
    kinds = ({"class": "a.ReLU"}, {"class": "a.ELU"}, {"class": "a.Swish"})
    assert answers(*kinds) == {}
    assert answers({"class": "a.LeakyReLU", "negative_slope": "x"}) == {}
    assert layer_answers({}, OPTIONS) == {}
    assert layer_answers({"layers": 3}, OPTIONS) == {}


class Net(nn.Module):
    """What shapes do not tell: slope, pooling and up-sampling that are seldom seen."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1 = self.stage(1, 4)
        self.enc2 = self.stage(4, 8)
        self.pool = nn.AvgPool2d(2)
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.dec = self.stage(12, 4)
        self.out = nn.Conv2d(4, 2, 1)

    @staticmethod
    def stage(n_in: int, n_out: int) -> nn.Sequential:
        layers = [nn.Conv2d(n_in, n_out, 3, padding=1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(n_out, n_out, 3, padding=1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        top = self.enc1(x)
        low = self.up(self.enc2(self.pool(top)))
        result: Tensor = self.out(self.dec(torch.cat([top, low], dim=1)))
        return result


@pytest.fixture
def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().eval()


def test_a_pickled_network_is_rebuilt_as_it_was(net: Net, tmp_path: Path) -> None:
    torch.save(net, path := tmp_path / "net.pt")
    choices = {"concatenation": "skip_first", "padding": "same"}
    model = nu.load_model(path, choices=choices)
    assert "activation: leaky_relu_0.2 (as its layers say)" in model.notes
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.network(image), net(image), atol=1e-5)
