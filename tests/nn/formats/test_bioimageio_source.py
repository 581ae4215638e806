"""The source that travels with an exported network, run without this package."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.graph_settings import (
    Activation,
    Convolution,
    Graph,
    Merge,
    Norm,
    Pool,
    Resize,
)
from napari_unet.nn.formats.bioimageio_package import network_source, traced
from napari_unet.nn.graph import GraphNetwork
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture

PAIR = (3, 3)
GRAPH = Graph(
    in_channels=2,
    steps=(
        Convolution(
            inputs=(0,),
            name="down.0",
            out=3,
            kernel=PAIR,
            stride=(1, 1),
            padding=(1, 1),
        ),
        Norm(inputs=(1,), name="down.1", kind="batch", tracked=True),
        Activation(inputs=(2,), kind="leaky_relu"),
        Pool(inputs=(3,), kernel=(2, 2)),
        Resize(inputs=(4,), factor=(2, 2), mode="linear"),
        Merge(inputs=(5, 3), kind="concatenate"),
        Convolution(
            inputs=(6,), name="out", out=2, kernel=(1, 1), stride=(1, 1), padding=(0, 0)
        ),
    ),
)
NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "padded": (Architecture(depth=2, base_channels=2), (32, 48)),
    "valid": (Architecture(depth=1, base_channels=2, padded=False), (30, 34)),
    "valid bilinear": (
        Architecture(depth=2, base_channels=2, padded=False, upsampling="bilinear"),
        (92, 92),
    ),
    "volume": (
        Architecture(
            ndim=3,
            depth=2,
            base_channels=2,
            pooling=((1, 2, 2), (2, 2, 2)),
            norm="none",
        ),
        (4, 16, 24),
    ),
    "instance norm": (Architecture(depth=1, base_channels=2, norm="instance"), (8, 8)),
    "graph": (GRAPH, (8, 12)),
}


def make(architecture: Architecture | Graph) -> UNet | GraphNetwork:
    torch.manual_seed(0)
    if isinstance(architecture, Graph):
        return GraphNetwork(architecture).eval()
    return UNet(architecture).eval()


def run_source(source: str, arguments: dict[str, Any]) -> nn.Module:
    space: dict[str, Any] = {"__name__": "elsewhere"}
    exec(compile(source, "network.py", "exec"), space)
    found: nn.Module = space["make_network"](**arguments)
    return found.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_source_alone_makes_the_same_network(name: str) -> None:
    architecture, shape = NETWORKS[name]
    network = make(architecture)
    source, arguments = network_source(network)
    other = run_source(source, arguments)
    other.load_state_dict(network.state_dict(), strict=True)
    image = torch.randn(2, architecture.in_channels, *shape)
    assert torch.equal(other(image), network(image))


@pytest.mark.parametrize("name", ["padded", "graph"])
def test_source_imports_torch_and_the_standard_library_only(name: str) -> None:
    source, _ = network_source(make(NETWORKS[name][0]))
    tree = ast.parse(source)
    modules = {
        a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    modules |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    roots = {module.partition(".")[0] for module in modules}
    assert roots <= {"torch", "__future__", "itertools", "math", "collections"} | {
        "functools",
        "typing",
    }
    assert "pydantic" not in source


def test_source_refuses_a_size_in_plain_words() -> None:
    network = make(NETWORKS["padded"][0])
    source, arguments = network_source(network)
    with pytest.raises(ValueError, match="cannot take an image of"):
        run_source(source, arguments)(torch.zeros(1, 1, 30, 32))


@pytest.mark.parametrize("name", NETWORKS)
def test_trace_takes_other_sizes(name: str) -> None:
    architecture, shape = NETWORKS[name]
    network = make(architecture).requires_grad_(False)
    n_channels = architecture.in_channels
    script = traced(network, torch.randn(1, n_channels, *shape))
    larger = tuple(n + 8 for n in shape)
    image = torch.randn(2, n_channels, *larger)
    assert torch.allclose(script(image), network(image), atol=1e-6)


def test_a_foreign_module_is_refused() -> None:
    with pytest.raises(CheckpointError, match="type Conv2d cannot be exported"):
        network_source(nn.Conv2d(1, 1, 1))
