"""Packages around real checkpoints of bioimage.io, with their authors' own pairs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import load_model
from napari_unet.nn.formats.bioimageio_package import write_package
from napari_unet.pipeline import segment

pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.usefixtures("bioimageio"),
    pytest.mark.filterwarnings("ignore"),  # the library's own
]


@pytest.fixture
def wrapped(by_hand: Any, shared: Path, tmp_path: Path) -> Any:
    """Return a function: folder of a checkpoint, weights' entry -> its package."""

    def wrap(name: str, weights: dict[str, Any], *, image: str, **given: Any) -> Path:
        source, folder = shared / "checkpoints" / name, tmp_path / "package"
        folder.mkdir()
        with np.load(source / "pair.npz") as pair:
            np.save(folder / "input.npy", pair[image])
            np.save(folder / "output.npy", pair["output"])
        (entry,) = weights.values()
        shutil.copy(source / entry["source"], folder / "weights.pt")
        (folder / "network.py").write_text("raise RuntimeError('it was run')")
        entry["source"] = "weights.pt"
        if "architecture" in entry:
            entry["architecture"] = {
                "source": "network.py",
                "callable": "UNet2d",
                "kwargs": {},
            }
        described = {"before": [], "after": [], "names": ("channel0",), **given}
        arguments = {"in_channels": 1}
        found: Path = by_hand.version_5(folder, arguments, weights=weights, **described)
        return found

    return wrap


def test_state_dict_gives_the_described_output_and_is_exported(
    wrapped: Any, tmp_path: Path
) -> None:
    entry = {"source": "weights.pt", "pytorch_version": "2.4", "architecture": {}}
    weights = {"pytorch_state_dict": entry}
    folder = wrapped("bioimageio_unet2d_fixed_shape", weights, image="input")
    model = load_model(folder)
    assert any("was reproduced" in note for note in model.notes)
    again = tmp_path / "again"
    again.mkdir()
    description = write_package(model, again)
    assert description["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]


def test_an_output_of_half_the_size_is_seen_in_the_description(wrapped: Any) -> None:
    entry = {"source": "weights.pt", "pytorch_version": "2.4", "architecture": {}}
    weights = {"pytorch_state_dict": entry}
    folder = wrapped("bioimageio_unet2d_diff_output_shape", weights, image="input")
    description = json.loads((folder / "rdf.yaml").read_text())
    for axis in description["outputs"][0]["axes"][2:]:
        axis["scale"] *= 2
    (folder / "rdf.yaml").write_text(json.dumps(description))
    model = load_model(folder)
    assert any("was reproduced" in note for note in model.notes)
    image = np.load(folder / "input.npy")[0, 0]
    with pytest.raises(CheckpointError, match="pixels where the input"):
        segment(image, model, axes="YX")


KINDS = {
    "onnx": {"source": "weights.onnx", "opset_version": 12},
    "torchscript": {"source": "weights_torchscript.pt", "pytorch_version": "1.13"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_one_kind_of_weights_runs_as_it_is(
    wrapped: Any, kind: str
) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    normal = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}
    folder = wrapped(
        "bioimageio_unet2d_nuclei_broad_onnx_torchscript",
        {kind: dict(KINDS[kind])},
        image="input_raw",
        before=[normal],
        after=[{"id": "sigmoid"}],
    )
    if kind == "torchscript":
        with pytest.raises(CheckpointError, match="trust"):
            load_model(folder)
    model = load_model(folder, trust=kind == "torchscript")
    assert any("was reproduced" in note for note in model.notes)
    image = np.load(folder / "input.npy")[0, 0]
    wanted = np.load(folder / "output.npy")[0]
    found = segment(image, model, axes="YX", device="cpu").probabilities / 65535
    assert np.abs(found - wanted).max() < 2e-3
