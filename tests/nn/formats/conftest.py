"""Fixtures for foreign formats: skips where an extra is missing, packages by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bioimageio_extra import require_bioimageio
from napari_unet.nn.formats.bioimageio_package import network_source


@pytest.fixture
def bioimageio() -> None:
    """Skip where bioimageio.core is missing or cannot work."""
    try:
        require_bioimageio()
    except CheckpointError as error:
        pytest.skip(str(error))


@pytest.fixture
def by_hand() -> SimpleNamespace:
    """Descriptions of both versions, written by hand around small networks."""
    return SimpleNamespace(
        write_files=write_files, version_4=version_4, version_5=version_5
    )


Values = dict[str, Any]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def named(path: Path) -> Values:
    return {"source": path.name, "sha256": digest(path)}


def write_files(
    folder: Path,
    network: nn.Module,
    images: npt.NDArray[Any],
    outputs: npt.NDArray[Any],
    *,
    source: str | None = None,
) -> Values:
    """Write weights, architecture and test tensors; return the factory's arguments."""
    folder.mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "weights.pt")
    made, arguments = network_source(network)
    (folder / "network.py").write_text(made if source is None else source)
    np.save(folder / "input.npy", images)
    np.save(folder / "output.npy", outputs)
    return arguments


def write(folder: Path, description: Values) -> Path:
    """Write the description; JSON is YAML, too."""
    (folder / "rdf.yaml").write_text(json.dumps(description))
    return folder


def version_5(
    folder: Path,
    arguments: Values,
    *,
    before: list[Values],
    after: list[Values],
    names: tuple[str, ...],
    **changes: Any,
) -> Path:
    space = [
        {
            "type": "space",
            "id": axis,
            "size": {"min": 8, "step": 8},
            "unit": "nanometer",
            "scale": 500.0,
        }
        for axis in "yx"
    ]
    sized = [
        {**axis, "size": {"tensor_id": "raw", "axis_id": axis["id"]}} for axis in space
    ]
    n_channels = arguments["in_channels"]
    inputs = {
        "id": "raw",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": [f"c{i}" for i in range(n_channels)]},
            *space,
        ],
        "data": {"type": "float32"},
        "test_tensor": named(folder / "input.npy"),
        "preprocessing": before,
    }
    outputs = {
        "id": "prediction",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": list(names)},
            *sized,
        ],
        "data": {"type": "float32"},
        "test_tensor": named(folder / "output.npy"),
        "postprocessing": after,
    }
    weights = {
        **named(folder / "weights.pt"),
        "pytorch_version": "2.4",
        "architecture": {
            **named(folder / "network.py"),
            "callable": "make_network",
            "kwargs": arguments,
        },
    }
    description = {
        "format_version": "0.5.3",
        "type": "model",
        "name": "a foreign model",
        "description": "by hand",
        "authors": [{"name": "Emmy Noether"}],
        "license": "MIT",
        "cite": [{"text": "a paper", "doi": "10.1000/abc"}],
        "documentation": None,
        "inputs": [inputs],
        "outputs": [outputs],
        "weights": {"pytorch_state_dict": weights},
    }
    return write(folder, description | changes)


def version_4(
    folder: Path,
    arguments: Values,
    *,
    before: list[Values],
    after: list[Values],
    **changes: Any,
) -> Path:
    (folder / "README.md").write_text("# Validation\n")
    (folder / "cover.png").write_bytes(b"")
    n_in, n_out = arguments["in_channels"], arguments["out_channels"]
    description = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "an older model",
        "description": "by hand",
        "authors": [{"name": "Emmy Noether"}],
        "license": "MIT",
        "cite": [{"text": "a paper", "doi": "10.1000/abc"}],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "tags": ["2d"],
        "timestamp": "2022-01-01T00:00:00",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, n_in, 16, 16], "step": [0, 0, 8, 8]},
                "preprocessing": before,
            }
        ],
        "outputs": [
            {
                "name": "prediction",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {
                    "reference_tensor": "raw",
                    "scale": [1, n_out / n_in, 1, 1],
                    "offset": [0, 0, 0, 0],
                },
                "halo": [0, 0, 4, 4],
                "postprocessing": after,
            }
        ],
        "test_inputs": ["input.npy"],
        "test_outputs": ["output.npy"],
        "weights": {
            "pytorch_state_dict": {
                **named(folder / "weights.pt"),
                "architecture": "network.py:make_network",
                "architecture_sha256": digest(folder / "network.py"),
                "kwargs": arguments,
            }
        },
    }
    return write(folder, description | changes)
