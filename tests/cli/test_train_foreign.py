"""`napari-unet train --from` a file of another trainer goes on from its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import napari_unet as nu
from napari_unet.cli.app import app
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.errors import SettingsError

FEW = ["--patch", "32", "--batch", "2", "--precision", "float32", "--device", "cpu"]
ENOUGH = ["--batch", "4", "--steps", "60", "--learning-rate", "1e-2"]


class Double(nn.Module):
    """Two convolutions, as milesial's trainer calls them."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.double_conv(x)
        return result


class Milesial(nn.Module):
    """One level, under the published names."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = Double(1, 4)
        self.down1 = nn.Module()
        self.down1.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Double(4, 8))
        self.up1 = nn.Module()
        self.up1.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.up1.conv = Double(8, 4)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.inc(x)
        x = self.up1.up(self.down1.maxpool_conv(skip))  # type: ignore[operator]
        x = self.up1.conv(torch.cat([skip, x], 1))  # type: ignore[operator]
        result: Tensor = self.outc.conv(x)  # type: ignore[operator]
        return result


def basic_unet() -> nn.Module:
    """Return MONAI's network, or skip."""
    nets = pytest.importorskip("monai.networks.nets")
    network: nn.Module = nets.BasicUNet(2, 1, 3, (4, 4, 8, 8, 16, 4))
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four simulated images in images/, their labels in labels/."""
    root = tmp_path / "data"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for seed in range(4):
        image, labels = simulate(
            Simulation(shape=(64, 64), diameter=12, random_seed=seed)
        )
        tifffile.imwrite(root / "images" / f"{seed}.tif", image)
        tifffile.imwrite(root / "labels" / f"{seed}.tif", labels.astype(np.uint16))
    return root


def run(*arguments: object) -> str:
    """Run the shell command; return what it said, errors as they are raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("make", [Milesial, basic_unet])
def test_training_goes_on_from_foreign_weights(
    make: Callable[[], nn.Module], folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    source, out = tmp_path / "theirs.pth", tmp_path / "mine.safetensors"
    torch.save({"state_dict": network.state_dict()}, source)
    few = [*FEW, "--steps", "1", "--learning-rate", "1e-6"]
    run("train", folder, "-o", out, *few, "--from", source)
    before, after = nu.load_model(source), nu.load_model(out)
    assert after.report is None  # a file of our own, with a recipe
    assert after.recipe.architecture == before.recipe.architecture
    x = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        # One step of a millionth: still what it was, which a fresh network is not.
        torch.testing.assert_close(after.network(x), network(x), atol=1e-2, rtol=1e-2)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("make", [Milesial, basic_unet])
def test_a_foreign_network_learns(
    make: Callable[[], nn.Module], folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    source, out = tmp_path / "theirs.pth", tmp_path / "mine.safetensors"
    torch.save(network.state_dict(), source)
    run("train", folder, "-o", out, *FEW, *ENOUGH, "--from", source)
    learned = nu.load_model(out)
    # The start finds nothing; it would be kept if training did not improve on it.
    assert learned.recipe.scores["validation"]["ap@0.5"] > 0
    state, known = network.state_dict(), learned.network.state_dict()
    kernels = [key for key, weights in known.items() if weights.ndim == 4]
    assert kernels
    assert not any(torch.equal(known[key], state[key]) for key in kernels)
    image = tifffile.imread(folder / "images" / "0.tif")
    labels = nu.segment(image, learned, axes="YX")
    assert labels.labels.shape == (64, 64)


def test_what_the_file_does_not_say_is_assumed_as_told(
    folder: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "theirs.pth", tmp_path / "mine.safetensors"
    torch.save(Milesial().state_dict(), source)
    few = [*FEW, "--steps", "1"]
    told = ["--from", source, "--assume", "pooling=average"]
    run("train", folder, "-o", out, *few, *told)
    pools = [s for s in nu.load_model(out).recipe.architecture.steps if s.op == "pool"]
    assert [pool.kind for pool in pools] == ["average"]
    with pytest.raises(SettingsError, match="--assume pooling is no answer"):
        run("train", folder, "-o", out, *few, "--assume", "pooling")
    with pytest.raises(SettingsError, match="--assume would do nothing"):
        run("train", folder, "-o", tmp_path / "b.safetensors", *few, *told[2:])
