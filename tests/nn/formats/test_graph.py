from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_unet.errors import AxesError, CheckpointError, SettingsError
from napari_unet.graph_settings import (
    Activation,
    Convolution,
    Graph,
    Merge,
    Norm,
    Pool,
)
from napari_unet.nn.building import build
from napari_unet.nn.checkpoint import Model, load_model, save_model
from napari_unet.nn.graph import GraphNetwork, with_outputs
from napari_unet.nn.predict import fold_batch_norm
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe


def conv(source: int, name: str, out: int, k: int = 3, **more: Any) -> Convolution:
    given = {"stride": (1, 1), "padding": (k // 2,) * 2, **more}
    return Convolution(inputs=(source,), name=name, out=out, kernel=(k, k), **given)


def tiny_graph() -> Graph:
    """One level: conv, norm, relu, pool, conv, up, concatenate, head."""
    return Graph(
        in_channels=2,
        steps=(
            conv(0, "top.0", 4, bias=False),
            Norm(inputs=(1,), name="top.1", kind="batch", tracked=True),
            Activation(inputs=(2,), kind="relu"),
            Pool(inputs=(3,), kernel=(2, 2)),
            conv(4, "deep", 6),
            Activation(inputs=(5,), kind="leaky_relu", slope=0.1),
            conv(6, "up", 3, 2, stride=(2, 2), padding=(0, 0), transposed=True),
            Merge(inputs=(3, 7), kind="concatenate"),
            conv(8, "head", 2, 1),
        ),
    )


class Same(nn.Module):
    """The same network in plain torch."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Sequential(
            nn.Conv2d(2, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        )
        self.deep = nn.Conv2d(4, 6, 3, 1, 1)
        self.up = nn.ConvTranspose2d(6, 3, 2, 2)
        self.head = nn.Conv2d(7, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top = self.top(x).relu()
        deep = nn.functional.leaky_relu(
            self.deep(nn.functional.max_pool2d(top, 2)), 0.1
        )
        result: torch.Tensor = self.head(torch.cat([top, self.up(deep)], 1))
        return result


def same() -> Same:
    torch.manual_seed(0)
    network = Same()
    network.top[1].running_mean.uniform_(-1, 1)
    network.top[1].running_var.uniform_(0.5, 2)
    return network.eval()


def recipe() -> Recipe:
    return Recipe(architecture=tiny_graph(), channels=("background", "interior"))


def test_a_graph_equals_the_network_it_describes():
    original = same()
    network = build(tiny_graph(), original.state_dict())
    x = torch.rand(2, 2, 12, 16)
    torch.testing.assert_close(network(x), original(x), rtol=0, atol=1e-6)
    assert list(network.state_dict()) == list(original.state_dict())


def test_a_graph_is_saved_and_rebuilt(tmp_path: Path):
    network = build(tiny_graph(), same().state_dict())
    save_model(tmp_path / "a.safetensors", network, recipe())
    again = load_model(tmp_path / "a.safetensors")
    assert again.recipe == recipe()
    x = torch.rand(1, 2, 8, 8)
    assert torch.equal(again.network(x), network(x))


def test_a_graph_is_not_mistaken_for_our_own_unet():
    text = recipe().model_dump_json()
    assert isinstance(Recipe.model_validate_json(text).architecture, Graph)
    own = Recipe(architecture=Architecture(), channels=("a", "b", "c"))
    again = Recipe.model_validate_json(own.model_dump_json())
    assert isinstance(again.architecture, Architecture)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape"])
def test_a_graph_loads_strictly(damage: str):
    state = dict(same().state_dict())
    if damage == "missing":
        del state["deep.bias"]
    elif damage == "extra":
        state["other.weight"] = torch.zeros(1)
    else:
        state["deep.bias"] = torch.zeros(5)
    with pytest.raises(CheckpointError, match=r"deep\.bias|other\.weight"):
        build(tiny_graph(), state)


def test_geometry_of_a_graph_is_that_of_our_own_unet():
    own = UNet(Architecture(depth=1, base_channels=2, norm="none", out_channels=2))
    given = own.eval().requires_grad_(False)
    a = Model(given, Recipe(architecture=own.architecture, channels=("a", "b")))
    graph = Graph(
        steps=(
            conv(0, "a", 2),
            Activation(inputs=(1,)),
            conv(2, "b", 2),
            Activation(inputs=(3,)),
            Pool(inputs=(4,), kernel=(2, 2)),
            conv(5, "c", 4),
            Activation(inputs=(6,)),
            conv(7, "d", 4),
            Activation(inputs=(8,)),
            conv(9, "e", 2, 2, stride=(2, 2), padding=(0, 0), transposed=True),
            Merge(inputs=(4, 10), kind="concatenate"),
            conv(11, "f", 2),
            Activation(inputs=(12,)),
            conv(13, "g", 2),
            Activation(inputs=(14,)),
            conv(15, "h", 2, 1),
        )
    )
    b = Model(
        GraphNetwork(graph).eval().requires_grad_(False),
        Recipe(architecture=graph, channels=("a", "b")),
    )
    assert a.geometry == b.geometry
    assert b.tile_dependent_layers == ()
    assert b.bytes_per_pixel == pytest.approx(a.bytes_per_pixel, rel=0.3)


def test_a_size_that_would_lose_pixels_is_refused_with_the_nearest():
    network = GraphNetwork(tiny_graph()).eval()
    with pytest.raises(AxesError, match=r"nearest size that it can take is \(8, 12\)"):
        network(torch.zeros(1, 2, 7, 11))
    with pytest.raises(AxesError, match=r"takes \(N, 2, Y, X\)"):
        network(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    "steps",
    [
        (conv(1, "a", 2),),  # reads itself
        (conv(0, "a", 2), conv(1, "a", 2)),  # one name twice
        (conv(0, "a", 2), Merge(inputs=(0, 1), kind="add")),  # 1 + 2 channels
        (conv(0, "a", 4), Norm(inputs=(1,), kind="group", groups=3)),
        (Pool(inputs=(0,), kernel=(2, 2, 2)),),
        (),
    ],
)
def test_an_unsound_graph_is_refused(steps: Any):
    with pytest.raises(SettingsError, match=r"^Graph: "):
        Graph.parse({"steps": steps})


def test_another_number_of_outputs_changes_the_last_convolution():
    changed, name = with_outputs(tiny_graph(), 5)
    assert (name, changed.out_channels, changed.channels[:-1]) == (
        "head",
        5,
        tiny_graph().channels[:-1],
    )


def test_folding_batch_norm_changes_nothing_but_speed():
    network = build(tiny_graph(), same().state_dict())
    x = torch.rand(1, 2, 8, 8)
    wanted = network(x)
    folded = fold_batch_norm(network)
    torch.testing.assert_close(folded(x), wanted, rtol=1e-5, atol=1e-6)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())


def test_a_graph_trains():
    network = GraphNetwork(tiny_graph()).train()
    network(torch.rand(2, 2, 8, 8)).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_three_axes_have_their_own_divisors():
    steps = (
        Convolution(
            inputs=(0,),
            name="a",
            out=2,
            kernel=(1, 3, 3),
            stride=(1, 1, 1),
            padding=(0, 1, 1),
        ),
        Pool(inputs=(1,), kernel=(1, 2, 2)),
        Convolution(
            inputs=(2,),
            name="b",
            out=1,
            kernel=(1, 2, 2),
            stride=(1, 2, 2),
            padding=(0, 0, 0),
            transposed=True,
        ),
    )
    graph = Graph(ndim=3, steps=steps)
    network = GraphNetwork(graph).eval().requires_grad_(False)
    model = Model(network, Recipe(architecture=graph, channels=("interior",)))
    assert [axis.divisor for axis in model.geometry] == [1, 2, 2]
    assert dataclasses.asdict(model.geometry[0])["halo"] == (0, 0)


def test_slopes_may_be_shared_and_nothing_else():
    def prelu(source: int, n: int = 1) -> Activation:
        return Activation(inputs=(source,), name="act", kind="prelu", parameters=n)

    steps = (conv(0, "a", 2), prelu(1), conv(2, "b", 2), prelu(3))
    network = GraphNetwork(Graph(in_channels=1, steps=steps))
    assert len([key for key in network.state_dict() if key.startswith("act")]) == 1
    with torch.no_grad():
        network.state_dict()["act.weight"].fill_(-1.0)  # the absolute value
        a, b = (network.get_submodule(name) for name in "ab")
        x = torch.randn(1, 1, 8, 8)
        torch.testing.assert_close(network(x), b(a(x).abs()).abs())
    for unsound in (
        (conv(0, "a", 2), conv(1, "a", 2)),
        (conv(0, "a", 2), prelu(1), prelu(2, 2)),
    ):
        with pytest.raises(SettingsError, match="share one name"):
            Graph.parse({"in_channels": 1, "steps": unsound})


def test_a_gate_reaches_as_far_as_what_opens_it():
    """The gate reads far: its reach counts, although a product may be zero."""
    steps = (
        conv(0, "near", 2, 1),
        conv(0, "far", 1, 7),
        Activation(inputs=(2,), kind="sigmoid"),
        Merge(inputs=(1, 3), kind="multiply"),
        conv(4, "head", 1, 1),
    )
    graph = Graph(in_channels=1, steps=steps)
    network = GraphNetwork(graph).eval().requires_grad_(False)
    recipe = Recipe(architecture=graph, channels=("interior",))
    model = Model(network, recipe)
    assert [axis.halo for axis in model.geometry] == [(3, 3), (3, 3)]
    x = torch.rand(1, 1, 9, 9)
    parts = [network.get_submodule(name) for name in ("near", "far", "head")]
    wanted = parts[2](parts[0](x) * parts[1](x).sigmoid())
    torch.testing.assert_close(network(x), wanted)
