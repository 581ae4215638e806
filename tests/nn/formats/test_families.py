from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.families import FAMILIES, recognise
from napari_unet.nn.formats.nnunet_plans import channels_of, plan_of
from napari_unet.nn.formats.reading import read_network

_spec = importlib.util.spec_from_file_location(
    "formats_originals", Path(__file__).with_name("originals.py")
)
assert _spec is not None
assert _spec.loader is not None
originals = importlib.util.module_from_spec(_spec)
sys.modules["formats_originals"] = originals
_spec.loader.exec_module(originals)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", originals.CASES, ids=lambda case: case.name)
def test_a_family_equals_the_original_package(case: Any):
    try:
        network = originals.jittered(case.make())
    except ImportError:
        pytest.skip(f"{case.package} is not installed")
    reading = read_network(
        network.state_dict(), case.name, choices=case.choices, hints=case.hints
    )
    x = torch.randn(case.shape)
    wanted = case.logits(network, x)
    torch.testing.assert_close(reading.network(x), wanted, rtol=1e-5, atol=1e-5)
    assert next(f for f in FAMILIES if f.name == reading.report.family).verified


class Block(nn.Module):
    """Two convolutions under the names of one of the families."""

    def __init__(self, name: str, n_in: int, n_mid: int, n_out: int) -> None:
        super().__init__()
        bias = {"bias": False}
        layers = nn.Sequential(
            nn.Conv2d(n_in, n_mid, 3, padding=1, **bias),  # type: ignore[arg-type]
            nn.BatchNorm2d(n_mid),
            nn.ReLU(),
            nn.Conv2d(n_mid, n_out, 3, padding=1, **bias),  # type: ignore[arg-type]
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )
        self.name = name
        self.add_module(name, layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = getattr(self, self.name)(x)
        return result


class Milesial(nn.Module):
    """From its published description, under its published names."""

    def __init__(self, bilinear: bool) -> None:
        super().__init__()
        half = 2 if bilinear else 1
        name = "double_conv"
        self.inc = Block(name, 3, 8, 8)
        for number, (a, b) in enumerate([(8, 16), (16, 32 // half)], start=1):
            inner = nn.Sequential(nn.MaxPool2d(2), Block(name, a, b, b))
            down = nn.Module()
            down.maxpool_conv = inner
            self.add_module(f"down{number}", down)
        for number, (a, b) in enumerate([(32, 16 // half), (16, 8)], start=1):
            up = nn.Module()
            if not bilinear:
                up.up = nn.ConvTranspose2d(a, a // 2, 2, stride=2)
            up.conv = Block(name, a, a // 2 if bilinear else b, b)
            self.add_module(f"up{number}", up)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(8, 2, 1)
        self.bilinear = bilinear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.inc(x)]
        for down in (self.down1, self.down2):
            skips.append(down.maxpool_conv(skips[-1]))  # type: ignore[operator]
        x = skips.pop()
        for up in (self.up1, self.up2):
            if self.bilinear:
                grown = functional.interpolate(
                    x, scale_factor=2, mode="bilinear", align_corners=True
                )
            else:
                grown = up.up(x)  # type: ignore[operator]
            x = up.conv(torch.cat([skips.pop(), grown], 1))  # type: ignore[operator]
        result: torch.Tensor = self.outc.conv(x)  # type: ignore[operator]
        return result


class Mateuszbuda(nn.Module):
    """From its published description, under its published names."""

    def __init__(self) -> None:
        super().__init__()
        widths = [8, 16, 32]
        for level, (a, b) in enumerate(zip([3, *widths], widths, strict=False), 1):
            self.add_module(f"encoder{level}", self.block(f"enc{level}", a, b))
        self.bottleneck = self.block("bottleneck", 32, 64)
        for level, width in enumerate(widths, 1):
            up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            self.add_module(f"upconv{level}", up)
            self.add_module(
                f"decoder{level}", self.block(f"dec{level}", 2 * width, width)
            )
        self.conv = nn.Conv2d(8, 1, 1)

    def block(self, name: str, a: int, b: int) -> nn.Sequential:
        found = nn.Sequential()
        for number, n_in in ((1, a), (2, b)):
            conv = nn.Conv2d(n_in, b, 3, padding=1, bias=False)
            found.add_module(f"{name}conv{number}", conv)
            found.add_module(f"{name}norm{number}", nn.BatchNorm2d(b))
            found.add_module(f"{name}relu{number}", nn.ReLU())
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in (1, 2, 3):
            x = self.get_submodule(f"encoder{level}")(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for level in (3, 2, 1):
            grown = self.get_submodule(f"upconv{level}")(x)
            x = self.get_submodule(f"decoder{level}")(
                torch.cat([grown, skips.pop()], 1)
            )
        result: torch.Tensor = self.conv(x)
        return result


class FastMri(nn.Module):
    """From its published description, under its published names."""

    def __init__(self) -> None:
        super().__init__()
        self.down_sample_layers = nn.ModuleList([self.block(3, 8), self.block(8, 16)])
        self.conv = self.block(16, 32)
        self.up_transpose_conv = nn.ModuleList([self.grow(32, 16), self.grow(16, 8)])
        last = nn.Sequential(self.block(16, 8), nn.Conv2d(8, 2, 1))
        self.up_conv = nn.ModuleList([self.block(32, 16), last])

    def wrapped(self, *layers: nn.Module) -> nn.Module:
        outer = nn.Sequential()
        outer.add_module("layers", nn.Sequential(*layers))
        return outer

    def unit(self, conv: nn.Module, n: int) -> tuple[nn.Module, ...]:
        return conv, nn.InstanceNorm2d(n), nn.LeakyReLU(0.2)

    def block(self, a: int, b: int) -> nn.Module:
        first = nn.Conv2d(a, b, 3, padding=1, bias=False)
        second = nn.Conv2d(b, b, 3, padding=1, bias=False)
        drop = nn.Dropout2d(0.0)
        return self.wrapped(*self.unit(first, b), drop, *self.unit(second, b), drop)

    def grow(self, a: int, b: int) -> nn.Module:
        conv = nn.ConvTranspose2d(a, b, 2, stride=2, bias=False)
        return self.wrapped(*self.unit(conv, b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for layer in self.down_sample_layers:
            x = layer(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)
        x = self.conv(x)
        for grow, stage in zip(self.up_transpose_conv, self.up_conv, strict=True):
            x = stage(torch.cat([grow(x), skips.pop()], 1))
        return x


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (FastMri, "fastMRI U-Net"),
        (lambda: Milesial(bilinear=False), "milesial Pytorch-UNet"),
        (lambda: Milesial(bilinear=True), "milesial Pytorch-UNet"),
        (Mateuszbuda, "mateuszbuda brain-segmentation"),
    ],
)
def test_a_family_without_a_package_equals_its_description(make: Any, family: str):
    network = originals.jittered(make())
    reading = read_network(network.state_dict(), "net")
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(reading.network(x), network(x), rtol=1e-4, atol=1e-4)
    assert reading.report.family == family
    assert not reading.report.verified


def test_a_choice_against_a_family_is_no_longer_verified():
    network = Mateuszbuda()
    reading = read_network(
        network.state_dict(), "net", choices={"concatenation": "skip_first"}
    )
    assert "concatenation: skip_first (your choice)" in reading.report.assumed
    assert "activation: relu (as the family does)" in reading.report.assumed


SHARED = os.environ.get("NAPARI_UNET_SHARED", "")
PAIRS = {
    "giacomo_brain_mri_layers_bn": ("sigmoid", {}),
    "bioimageio_unet2d_fixed_shape": ("", {}),
    "bioimageio_unet2d_diff_output_shape": ("", {"output": "half"}),
    "bioimageio_unet2d_multi_tensor": ("", {}),
}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="NAPARI_UNET_SHARED is not set")
@pytest.mark.parametrize("folder", PAIRS)
def test_shipped_outputs_are_reproduced(folder: str):
    activation, choices = PAIRS[folder]
    path = Path(SHARED) / "checkpoints" / folder
    file = torch.load(path / "weights.pt", map_location="cpu", weights_only=True)
    with np.load(path / "pair.npz") as arrays:
        images = [arrays[k] for k in sorted(arrays) if k.startswith("input")]
        outputs = [arrays[k] for k in sorted(arrays) if k.startswith("output")]
    reading = read_network(file.get("state_dict", file), folder, choices=choices)
    result = reading.network(torch.from_numpy(np.concatenate(images, axis=1)))
    result = getattr(result, activation)() if activation else result
    wanted = torch.from_numpy(np.concatenate(outputs, axis=1))
    torch.testing.assert_close(result, wanted, rtol=0, atol=5e-5)
    assert reading.report.verified or choices


@pytest.mark.parametrize(
    ("name", "message"),
    [("fc.0.weight", "fully connected"), ("psi.weight", "attention gates")],
)
def test_gates_are_refused_by_name(name: str, message: str):
    state = dict(Mateuszbuda().state_dict())
    state[name] = torch.rand(4, 4) if name[0] == "f" else torch.rand(1, 5, 1, 1)
    with pytest.raises(CheckpointError, match=message):
        read_network(state, "gated.pth")


def test_a_file_that_only_looks_like_a_family_is_refused():
    state = {
        "model.0.conv.weight": torch.rand(4, 1, 3, 3),
        "model.1.submodule.conv.weight": torch.rand(4, 4, 3, 3),
    }
    assert recognise(state, {}).name == "MONAI UNet"
    with pytest.raises(CheckpointError, match="looks like MONAI UNet"):
        read_network(state, "half.pth")


def test_every_family_says_what_it_knows_in_terms_of_the_questions():
    for family in FAMILIES:
        assert family.name
        assert all(re.compile(pattern) for pattern in family.pattern)
        assert family.known


PLANS = {
    "configurations": {
        "2d": {"pool_op_kernel_sizes": [[1, 1], [2, 2]], "spacing": [1.0, 1.0]},
        "3d_fullres": {
            "architecture": {"arch_kwargs": {"strides": [[1, 1, 1], [1, 2, 2]]}}
        },
        "3d_low": {"inherits_from": "3d_fullres", "spacing": [2, 2, 2]},
    }
}


@pytest.mark.parametrize(
    ("configuration", "strides"),
    [
        ("2d", [[1, 1], [2, 2]]),
        ("3d_fullres", [[1, 1, 1], [1, 2, 2]]),
        ("3d_low", [[1, 1, 1], [1, 2, 2]]),
        ("other", None),
    ],
)
def test_plans_give_the_strides_of_the_configuration(configuration: str, strides: Any):
    hints = {"plans": PLANS, "init_args": {"configuration": configuration}}
    assert plan_of(hints).get("strides") == strides


def test_dataset_json_names_the_outputs():
    hints = {"dataset": {"labels": {"background": 0, "cell": 1, "ignore": 2}}}
    assert channels_of(hints) == ("background", "cell")
    assert channels_of({"dataset": {"labels": {"a": 1}}}) == ()
    assert channels_of({}) == ()


@pytest.mark.filterwarnings("ignore")
def test_what_the_file_of_a_family_does_not_tell_is_a_condition():
    nets = pytest.importorskip("monai.networks.nets")
    network = nets.SegResNet(2, 8, 1, 2)
    report = read_network(network.state_dict(), "net").report
    assert report.verified
    assert report.guessed == ("norm group_8", "activation relu")
    assert report.lines()[0] == (
        "Family: MONAI SegResNet (verified, if norm group_8, activation relu)."
    )
    assert "no running statistics" in report.doubt


def test_options_that_were_never_compared_are_not_called_verified():
    family = next(f for f in FAMILIES if f.name == "pytorch-3dunet UNet")
    tensors = {"a.weight": torch.zeros(1, 1, 3, 3, 3)}
    known = {"norm": "group_8", "activation": "relu"}
    assert family.unconfirmed(known, tensors) == ()
    other = {**known, "norm": "group_4"}
    assert family.unconfirmed(other, tensors) == ("norm group_4",)
    flat = next(f for f in FAMILIES if f.name == "nnU-Net v2 residual encoder")
    assert flat.unconfirmed({"norm": "instance"}, tensors) == ("dimensions 3",)
