"""The oracle: what torch reads with `weights_only=True`, name by name, bit for bit."""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import load_model
from napari_unet.nn.formats.containers import open_checkpoint
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture


def small_network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(Architecture(base_channels=2, depth=2)).eval()


@pytest.fixture
def network() -> nn.Module:
    return small_network()


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_bare_state_dict_is_what_torch_reads(
    legacy: bool, network: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    kind: dict[str, Any] = {"_use_new_zipfile_serialization": not legacy}
    torch.save(network.state_dict(), path, **kind)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, torch.load(path, weights_only=True))
    assert contents.format == ("PyTorch before 1.6" if legacy else "PyTorch")
    assert contents.code == ()
    assert contents.notes == ()
    assert [info.name for info in contents.listed] == list(contents.tensors)
    for info in contents.listed:
        tensor = contents.tensors[info.name]
        assert info.shape == tuple(tensor.shape)
        assert info.n_bytes == tensor.nbytes
        assert f"torch.{info.dtype}" == str(tensor.dtype)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int8,
        torch.uint8,
        torch.int16,
        torch.int32,
        torch.bool,
        torch.complex64,
    ],
    ids=str,
)
def test_types_views_and_odd_layouts(
    dtype: torch.dtype, legacy: bool, tmp_path: Path
) -> None:
    base = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(dtype)
    state = {
        "whole.weight": base,
        "turned.weight": base.permute(3, 1, 0, 2),
        "part.weight": base[1, :, 1:, ::2],
        "scalar": base[1, 2, 3, 4],
        "nothing": base[:0],
    }
    path = tmp_path / "weights.pt"
    kind: dict[str, Any] = {"_use_new_zipfile_serialization": not legacy}
    torch.save(state, path, **kind)
    assert_same(open_checkpoint(path).tensors, state)


@pytest.mark.parametrize(
    "name",
    [
        "state_dict",
        "model_state_dict",
        "model_state",
        "model",
        "net",
        "network",
        "network_weights",
        "params",
        "weights",
        "generator",
        "unheard of",
    ],
)
def test_nested_beside_an_optimiser(
    name: str, network: nn.Module, tmp_path: Path
) -> None:
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    path = tmp_path / "weights.pth"
    content = {
        "optimizer_state_dict": optimizer.state_dict(),
        "epoch": 7,
        name: network.state_dict(),
        "config": {"in_channels": 1, "widths": [2, 4, 8]},
    }
    torch.save(content, path)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, network.state_dict())
    assert contents.hints["epoch"] == 7
    assert contents.hints["config"] == {"in_channels": 1, "widths": [2, 4, 8]}


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.", "module.model.", "model.net."]
)
def test_prefixes_go(prefix: str, network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = network.state_dict()
    torch.save({f"{prefix}{name}": value for name, value in state.items()}, path)
    assert_same(open_checkpoint(path).tensors, dict(state))


def test_a_numbered_sequence_keeps_the_name_of_its_network(tmp_path: Path) -> None:
    state = {f"model.{i}.weight": torch.ones(1, 1, 3, 3) for i in range(3)}
    torch.save(
        {f"net.{name}": value for name, value in state.items()},
        path := tmp_path / "a.pt",
    )
    assert_same(open_checkpoint(path).tensors, state)


def test_the_averaged_copy_is_taken_and_said(
    network: nn.Module, tmp_path: Path
) -> None:
    average = {name: value * 2 for name, value in network.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({"model": network.state_dict(), "model_ema": average}, path)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, average)
    assert "model_ema was taken, not model" in contents.notes[0]
    other = open_checkpoint(path, weights="model")
    assert_same(other.tensors, dict(network.state_dict()))


def test_an_incomplete_average_is_not_taken(network: nn.Module, tmp_path: Path) -> None:
    parts = {name: value * 2 for name, value in network.named_parameters()}
    path = tmp_path / "weights.pth"
    torch.save({"ema": parts, "model": network.state_dict()}, path)
    assert_same(open_checkpoint(path).tensors, dict(network.state_dict()))


def test_an_averaged_copy_within_one_state_dict(
    network: nn.Module, tmp_path: Path
) -> None:
    state = network.state_dict()
    both = {
        **{f"net.{name}": value for name, value in state.items()},
        **{f"ema_model.{name}": value * 2 for name, value in state.items()},
        "criterion.weight": torch.ones(3),
    }
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": both}, path)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, {name: value * 2 for name, value in state.items()})
    assert "net, criterion left out" in contents.notes[0]
    assert_same(open_checkpoint(path, weights="net").tensors, dict(state))


def test_swa_and_profilers_leave_counters(network: nn.Module, tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network)
    state = averaged.state_dict()
    state["module.head.total_ops"] = torch.zeros(1)
    torch.save(state, path := tmp_path / "weights.pt")
    contents = open_checkpoint(path)
    assert_same(contents.tensors, dict(network.state_dict()))
    assert "2 counters" in contents.notes[0]


class Unknown:
    """Nothing that torch would load."""

    def __init__(self) -> None:
        self.value = {"depth": 3, "name": "x"}


def test_lightning_with_objects_in_its_hyper_parameters(
    network: nn.Module, tmp_path: Path
) -> None:
    content = {
        "state_dict": {f"model.{k}": v for k, v in network.state_dict().items()},
        "hyper_parameters": {
            "lr": np.float64(0.25),
            "steps": np.int32(-7),
            "big_endian": np.dtype(">f4").type(1.5),
            "args": argparse.Namespace(in_channels=1, path=Path("a/b")),
            "unknown": Unknown(),
            "many": {"x", "y"},
            "ordered": OrderedDict(a=[1, (2, None)]),
            "dtype": torch.float32,
        },
        "pytorch-lightning_version": "2.4.0",
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 1, 3, 3)}}}],
    }
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, dict(network.state_dict()))
    found = contents.hints["hyper_parameters"]
    assert found["lr"] == 0.25
    assert found["steps"] == -7
    assert found["big_endian"] == 1.5
    assert found["args"] == {"in_channels": 1, "path": "a/b"}
    assert found["unknown"] == {"value": {"depth": 3, "name": "x"}}
    assert sorted(found["many"]) == ["x", "y"]
    assert found["ordered"] == {"a": [1, [2, None]]}
    json.dumps(found)
    names = [code.name for code in contents.code]
    assert any(name.endswith(".Unknown") for name in names)
    assert "argparse.Namespace" in names


class DictConfig:
    """Pickles as a configuration of OmegaConf does."""

    def __init__(self, **items: object) -> None:
        self._metadata = {"ref_type": object}
        self._parent = None
        self._content = {key: Node(value) for key, value in items.items()}


class Node:
    def __init__(self, value: object) -> None:
        self._metadata, self._parent, self._val = None, None, value


def test_configurations_of_objects_become_plain(
    network: nn.Module, tmp_path: Path
) -> None:
    config = DictConfig(depth=3, model=DictConfig(name="unet", widths=[8, 16]))
    torch.save({"net": network.state_dict(), "cfg": config}, path := tmp_path / "a.pt")
    wanted = {"depth": 3, "model": {"name": "unet", "widths": [8, 16]}}
    assert open_checkpoint(path).hints["cfg"] == wanted


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol: int, network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    content = {"net": network.state_dict(), "more": [b"ab", 1 << 70, "é", -5, 1e300]}
    torch.save(content, path, pickle_protocol=protocol)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, dict(network.state_dict()))
    assert contents.hints["more"] == ["2 bytes", 1 << 70, "é", -5, 1e300]


def test_a_whole_pickled_network_is_read_and_not_made(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.ConvTranspose2d(4, 4, 2, stride=2), nn.LeakyReLU(0.2)),
    )
    path = tmp_path / "model.pt"
    torch.save({"model": network, "epoch": 1}, path)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, dict(network.state_dict()))
    layers = contents.hints["layers"]
    assert layers["0"]["class"] == "torch.nn.modules.conv.Conv2d"
    assert layers["2.0"]["stride"] == [2, 2]
    assert layers["2.1"]["negative_slope"] == 0.2
    assert "torch.nn.modules.conv.Conv2d" in [code.name for code in contents.code]


def test_torchscript_is_read_without_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid())
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.trace(network, torch.zeros(1, 1, 16, 16)).save(path)
    monkeypatch.delattr(torch.jit, "load")
    contents = open_checkpoint(path)
    assert contents.format == "TorchScript"
    state = network.state_dict()
    assert contents.tensors.keys() == state.keys()
    assert all(torch.equal(contents.tensors[name], state[name]) for name in state)
    assert contents.network is None
    assert contents.needs_trust
    assert any("def forward" in code.text for code in contents.code)


def test_a_file_without_checksums_is_read_and_said(
    network: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(network.state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(before)
    contents = open_checkpoint(path)
    assert_same(contents.tensors, dict(network.state_dict()))
    assert "without checksums" in contents.notes[-1]


def test_safetensors_of_others(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = network.state_dict()
    config = {"in_channels": 1}
    metadata = {"format": "pt", "config": json.dumps(config)}
    save_file({f"module.{k}": v for k, v in state.items()}, path, metadata)
    contents = open_checkpoint(path)
    assert contents.recipe is None
    assert contents.tensors.keys() == state.keys()
    assert all(torch.equal(contents.tensors[name], state[name]) for name in state)
    assert contents.hints["metadata"] == {"format": "pt", "config": config}
    assert contents.hints["ordered"] is False


def test_nothing_is_read_before_it_is_asked_for(
    network: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    contents = open_checkpoint(path)
    torch.save(small_network(1).state_dict(), path)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        _ = contents.tensors


def nnunet_folder(folder: Path, network: nn.Module, folds: tuple[str, ...]) -> None:
    plans = {
        "dataset_name": "Dataset001_X",
        "configurations": {"2d": {"spacing": [1, 1]}},
    }
    folder.joinpath("plans.json").write_text(json.dumps(plans))
    folder.joinpath("dataset.json").write_text('{"labels": {"background": 0}}')
    content = {
        "network_weights": network.state_dict(),
        "optimizer_state": torch.optim.SGD(network.parameters(), 0.1).state_dict(),
        "grad_scaler_state": None,
        "logging": {"ema_fg_dice": [np.float64(0.5)]},
        "_best_ema": np.float32(0.75),
        "current_epoch": 10,
        "init_args": {"configuration": "2d", "fold": 0, "plans": plans},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    for fold in folds:
        folder.joinpath(f"fold_{fold}").mkdir()
        torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")


def test_an_nnunet_folder(network: nn.Module, tmp_path: Path) -> None:
    nnunet_folder(tmp_path, network, ("0", "1"))
    contents = open_checkpoint(tmp_path)
    assert_same(contents.tensors, dict(network.state_dict()))
    assert contents.format == "nnU-Net"
    assert contents.hints["plans"]["dataset_name"] == "Dataset001_X"
    assert contents.hints["dataset"] == {"labels": {"background": 0}}
    assert contents.hints["init_args"]["configuration"] == "2d"
    assert contents.hints["_best_ema"] == 0.75
    assert "averages its 2 folds" in contents.notes[-1]
    assert open_checkpoint(tmp_path, fold="1").path.parent.name == "fold_1"
    with pytest.raises(CheckpointError, match="has no fold 7"):
        open_checkpoint(tmp_path, fold="7")


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "bioimageio_unet2d_fixed_shape/weights.pt",
        "bioimageio_unet2d_diff_output_shape/weights.pt",
        "bioimageio_unet2d_multi_tensor/weights.pt",
        "giacomo_brain_mri_layers_bn/weights.pt",
        "starter_nuclei/starter.pt",
    ],
)
def test_checkpoints_of_others(name: str, shared: Path) -> None:
    path = shared / "checkpoints" / name
    found = torch.load(path, weights_only=True, map_location="cpu")
    assert_same(open_checkpoint(path).tensors, found.get("state_dict", found))


def test_tensors_of_no_network_are_refused_in_one_line(tmp_path: Path) -> None:
    state = {
        "0.weight": torch.ones(1, 1, 3, 3),
        "1.weight": torch.ones(1),
        "1.bias": torch.ones(1),
        "1.running_mean": torch.ones(1),
        "1.running_var": torch.ones(()),
        "2.weight": torch.ones(1, 1, 1, 1),
    }
    torch.save(state, path := tmp_path / "weights.pt")
    with pytest.raises(CheckpointError) as raised:
        load_model(path)
    assert "\n" not in str(raised.value)
