"""Files that bring their own network: run as they are, TorchScript only if trusted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napari_unet as nu
from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.containers import open_checkpoint


class Tiny(nn.Module):
    """A U-Net of one level that is none of this package's."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2.0)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.down(x).relu()
        low = self.up(self.deep(self.pool(top)).relu())
        result: Tensor = self.head(torch.cat([top, low], dim=1)).softmax(dim=1)
        return result


@pytest.fixture
def tiny() -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny().eval()


def save_script(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.script(network).save(path)


def save_onnx(network: nn.Module, path: Path, **how: Any) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 1, 16, 16),), path, dynamo=False, **how
        )


def test_trusted_torchscript_gives_what_the_network_gives(
    tiny: Tiny, tmp_path: Path
) -> None:
    save_script(tiny, path := tmp_path / "net.pt")
    model = nu.load_model(path, trust=True)
    image = torch.randn(2, 1, 32, 48)
    with torch.inference_mode():
        assert torch.equal(model.network(image), tiny(image))
    assert model.recipe.activation == "none"
    assert model.recipe.architecture.out_channels == 2
    assert any("measured, not computed" in note for note in model.notes)
    assert {axis.divisor for axis in model.geometry} == {2}


def test_the_labels_of_opaque_networks_do_not_depend_on_the_tiles(
    tiny: Tiny, tmp_path: Path
) -> None:
    save_onnx(tiny, path := tmp_path / "net.onnx")
    model = nu.load_model(path)
    image = np.random.default_rng(0).normal(size=(70, 90)).astype(np.float32)
    parts = [
        nu.segment(
            image, model, axes="YX", tiling=nu.Tiling(tile=(tile,)), device="cpu"
        )
        for tile in (16, 128)
    ]
    difference = parts[0].probabilities.astype(int) - parts[1].probabilities
    assert np.abs(difference).max() <= 1
    assert np.array_equal(parts[0].labels, parts[1].labels)


def test_onnx_gives_what_the_network_gives_at_any_size(
    tiny: Tiny, tmp_path: Path
) -> None:
    save_onnx(tiny, path := tmp_path / "net.onnx")
    contents = open_checkpoint(path)
    state = tiny.state_dict()
    assert {n: torch.equal(state[n], t) for n, t in contents.tensors.items()} == (
        dict.fromkeys(state, True)
    )
    network = nu.load_model(path).network
    for shape in ((1, 1, 16, 16), (2, 1, 40, 64)):
        image = torch.randn(shape)
        with torch.inference_mode():
            found, wanted = network(image), tiny(image)
        assert torch.allclose(found, wanted, atol=1e-6)


def test_onnx_with_its_data_beside_it(tiny: Tiny, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    save_onnx(tiny, path := tmp_path / "net.onnx")
    inline = open_checkpoint(path).tensors
    model = onnx.load(path)
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    beside = open_checkpoint(path).tensors
    assert inline.keys() == beside.keys()
    assert all(torch.equal(inline[name], beside[name]) for name in inline)
    assert nu.load_model(path).recipe.architecture.in_channels == 1


@pytest.mark.parametrize("trust", [False, True])
def test_code_runs_only_with_trust(
    trust: bool, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_script(tiny, path := tmp_path / "net.pt")
    calls = []
    load = torch.jit.load

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(torch.jit, "load", counted)
    try:
        nu.load_model(path, trust=trust)
    except CheckpointError as error:
        assert not trust
        assert "trust" in error.remedy  # noqa: PT017 - with trust there is no error
    assert bool(calls) is trust


def test_opaque_networks_are_not_saved(tiny: Tiny, tmp_path: Path) -> None:
    save_script(tiny, path := tmp_path / "net.pt")
    model = nu.load_model(path, trust=True)
    with pytest.raises(CheckpointError, match="neither trained nor saved"):
        nu.save_model(tmp_path / "x.safetensors", model.network, model.recipe)


@pytest.mark.shared
@pytest.mark.parametrize("file", ["weights.onnx", "weights_torchscript.pt"])
def test_the_shipped_pair_is_reproduced(file: str, shared: Path) -> None:
    folder = shared / "checkpoints" / "bioimageio_unet2d_nuclei_broad_onnx_torchscript"
    if file.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    pair = np.load(folder / "pair.npz")
    image = torch.from_numpy(pair["input_raw"])
    mean = image.mean(dim=(2, 3), keepdim=True)
    spread = image.std(dim=(2, 3), keepdim=True, correction=0)
    model = nu.load_model(folder / file, trust=True)
    with torch.inference_mode():
        found = model.network((image - mean) / (spread + 1e-6)).sigmoid().numpy()
    assert np.abs(found - pair["output"]).max() < 1e-5
