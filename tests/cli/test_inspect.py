"""The page that `inspect` prints, and that it runs nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture

MARKER = "executed"


@pytest.fixture
def network() -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet(Architecture(base_channels=2, depth=1)).eval()


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert not stopped.value.code


class Attack:
    """Leaves a marker when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    run("inspect", "nuclei")
    printed = capsys.readouterr().out
    assert nu.load_model("nuclei").sha256 in printed
    for words in ("safetensors", "runs         yes", "code         none", "interior"):
        assert words in printed


def test_code_is_named_and_not_run(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    marker = tmp_path / MARKER
    torch.save({"net": network.state_dict(), "evil": Attack(marker)}, path)
    run("inspect", str(path))
    printed = capsys.readouterr().out
    assert "getattr (pickled name), not run" in printed
    assert "runs         yes" in printed
    assert not marker.exists()


def test_json_is_complete(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"net": network.state_dict(), "epoch": 3}, path)
    run("inspect", str(path), "--json")
    found = json.loads(capsys.readouterr().out)
    state = network.state_dict()
    assert [tensor["name"] for tensor in found["tensors"]] == list(state)
    assert found["n_parameters"] == sum(tensor.numel() for tensor in state.values())
    assert found["metadata"]["epoch"] == 3
    assert found["status"] == "runs"
    assert found["recipe"]["architecture"]["base_channels"] == 2
    assert found["n_bytes"] == path.stat().st_size


def test_long_lists_are_cut_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = UNet(Architecture(base_channels=1, depth=3))
    torch.save(network.state_dict(), path := tmp_path / "weights.pt")
    run("inspect", str(path))
    assert "more (--all)" in capsys.readouterr().out
    run("inspect", str(path), "--all")
    printed = capsys.readouterr().out
    assert all(name in printed for name in network.state_dict())


def test_nothing_in_a_file_steers_the_terminal(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = network.state_dict()
    content = {"net": state, "note": "\x1b[2Jgone\x07", "[red]x": "[bold]y[/]"}
    torch.save(content, path := tmp_path / "weights.pt")
    run("inspect", str(path))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]y[/]" in printed


def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(path)])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is a web page" in said


def test_an_answer_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "nuclei", "--assume", "valid"])
    assert "padding=valid" in capsys.readouterr().err


def test_sets_of_weights_can_be_chosen(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = {name: 2 * value for name, value in network.state_dict().items()}
    content = {"model": network.state_dict(), "model_ema": double}
    torch.save(content, path := tmp_path / "weights.pt")
    run("inspect", str(path))
    assert "model_ema was taken" in " ".join(capsys.readouterr().out.split())
    run("inspect", str(path), "--assume", "weights=model")
    assert "was taken" not in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="paths in messages")
def test_what_inspect_says_runs_does_run(network: UNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), path := tmp_path / "weights.pt")
    assert nu.inspect_model(path).status == "runs"
    image = np.random.default_rng(0).integers(0, 99, (32, 32), np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", image)
    out = tmp_path / "labels.tif"
    run("segment", str(tmp_path / "image.tif"), "-m", str(path), "-o", str(out))
    assert tifffile.imread(out).shape == (32, 32)
