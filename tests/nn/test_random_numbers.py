"""Torch has one sequence of random numbers: who needs none must not draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import napari_unet as nu
from napari_unet.nn.checkpoint import save_model
from napari_unet.nn.graph import GraphNetwork
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_a_model_is_read_measured_and_used_without_drawing(
    tmp_path: Path, upsampling: str
) -> None:
    """A preview beside a training must not change how that one begins."""
    path = tmp_path / "m.safetensors"
    architecture = Architecture.parse(
        {"depth": 2, "base_channels": 4, "upsampling": upsampling, "out_channels": 3}
    )
    channels = ("background", "interior", "boundary")
    recipe = Recipe(architecture=architecture, channels=channels)
    save_model(path, UNet(architecture), recipe)
    before = torch.get_rng_state()
    model = nu.load_model(path)
    assert model.geometry
    nu.segment(np.zeros((40, 30), np.float32), model, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_so_is_a_foreign_one(tmp_path: Path) -> None:
    network = nn.ModuleDict(
        {
            "enc": nn.Conv2d(1, 4, 3, padding=1),
            "deep": nn.Conv2d(4, 8, 3, padding=1),
            "up": nn.ConvTranspose2d(8, 4, 2, stride=2),
            "dec": nn.Conv2d(8, 4, 3, padding=1),
            "out": nn.Conv2d(4, 3, 1),
        }
    )
    path = tmp_path / "theirs.pth"
    torch.save(network.state_dict(), path)
    before = torch.get_rng_state()
    model = nu.load_model(path)
    assert isinstance(model.network, GraphNetwork)
    assert model.geometry
    assert torch.equal(torch.get_rng_state(), before)
