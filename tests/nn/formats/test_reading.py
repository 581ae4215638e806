from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import Model, load_model, save_model
from napari_unet.nn.formats.reading import read_network
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture

_spec = importlib.util.spec_from_file_location(
    "formats_builder", Path(__file__).with_name("builder.py")
)
assert _spec is not None
assert _spec.loader is not None
builder = importlib.util.module_from_spec(_spec)
import sys  # noqa: E402

sys.modules["formats_builder"] = builder
_spec.loader.exec_module(builder)
Style, remembering = builder.Style, builder.remembering


def known(style: Any) -> dict[str, str]:
    """What no file tells: the answers for a network without batch norm."""
    slope = f"leaky_relu_{style.slope:g}" if style.slope else "relu"
    answers = {"padding": "same", "activation": slope}
    answers["pooling"] = "average" if style.average else "max"
    if not style.add:
        answers["concatenation"] = "up_first" if style.up_first else "skip_first"
    if style.up != "transposed":
        answers["upsampling"] = "nearest" if style.up == "nearest" else "linear"
    if style.norm == "none":
        answers["norm"] = "none"
    if style.norm == "instance":
        answers["norm"] = "instance"
        late = "convolution_activation_norm"
        answers["order"] = late if style.late_norm else "convolution_norm_activation"
    return answers


def assert_equal(style: Any, network: nn.Module, read: nn.Module) -> None:
    size = 2 ** (len(style.widths) + 1)
    x = torch.rand((1, style.n_in, *(size,) * style.ndim))
    with torch.no_grad():
        torch.testing.assert_close(read(x), network(x), rtol=1e-4, atol=1e-5)


STYLES = st.builds(
    Style,
    ndim=st.sampled_from([2, 2, 3]),
    n_in=st.integers(1, 3),
    n_out=st.integers(1, 3),
    widths=st.sampled_from(
        [(4, 8, 16), (6, 6, 6), (4, 10, 12), (4, 8, 16, 32), (8, 12), (5, 7, 9, 11)]
    ),
    n_convs=st.integers(2, 3),
    kernel=st.sampled_from([3, 3, 5]),
    norm=st.sampled_from(["batch", "instance", "none"]),
    bias=st.booleans(),
    up=st.sampled_from(["transposed", "nearest", "linear", "narrow"]),
    up_first=st.booleans(),
    residual=st.booleans(),
    slope=st.sampled_from([0.0, 0.2]),
    average=st.booleans(),
    naming=st.integers(0, 2),
    decoder_first=st.booleans(),
    reversed_levels=st.booleans(),
)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(style=STYLES)
def test_any_unet_is_read_back_given_what_no_shape_tells(style: Any):
    network = remembering(style)
    reading = read_network(network.state_dict(), "net", choices=known(style))
    assert_equal(style, network, reading.network)
    assert not reading.report.unused


@pytest.mark.parametrize(
    "style",
    [
        Style(),
        Style(up_first=True, bias=False, naming=1),
        Style(slope=0.2, up="nearest", widths=(6, 10, 12)),
        Style(up="narrow", up_first=True, decoder_first=True),
        Style(late_norm=True, widths=(8, 8, 8)),
        Style(residual=True, naming=2, reversed_levels=True),
        Style(add=True, n_in=3),
        Style(average=True, naming=1, up="linear"),
    ],
)
def test_running_statistics_answer_what_shapes_cannot(style: Any):
    """Nothing is told: the memory of batch norm must find all of it."""
    network = remembering(style)
    reading = read_network(network.state_dict(), "net")
    assert_equal(style, network, reading.network)
    assert not reading.report.verified
    assert reading.report.family == "unknown"


def test_the_order_of_keys_may_be_lost():
    style = Style(naming=1, widths=(4, 8, 12))
    network = remembering(style)
    state = network.state_dict()
    shuffled = {key: state[key] for key in sorted(state)}
    assert_equal(style, network, read_network(shuffled, "net").network)


def test_every_assumption_is_reported_with_its_runner_up():
    reading = read_network(remembering(Style()).state_dict(), "net")
    report = reading.report
    assert {"padding", "pooling", "activation", "concatenation"} <= set(
        report.alternatives
    )
    told = {line.split(":")[0] for line in report.assumed}
    several = {q for q, options in report.alternatives.items() if len(options) > 1}
    assert several <= told
    for options in report.alternatives.values():
        assert list(options) == sorted(options, key=lambda option: option.loss)
    assert any("2-D, 1 channels in, 2 out, depth 2" in line for line in report.lines())


def test_a_choice_is_kept_against_the_evidence():
    state = remembering(Style()).state_dict()
    told = read_network(state, "net", choices={"activation": "elu"})
    free = read_network(state, "net")
    x = torch.rand(1, 1, 32, 32)
    assert not torch.allclose(told.network(x), free.network(x))
    assert "activation: elu (your choice)" in told.report.assumed


def test_valid_convolutions_crop_their_skips():
    state = remembering(Style()).state_dict()
    network = read_network(state, "net", choices={"padding": "valid"}).network
    assert tuple(network(torch.rand(1, 1, 52, 52)).shape) == (1, 2, 12, 12)


def test_what_was_read_is_saved_tiled_and_loaded_again(tmp_path: Path):
    reading = read_network(remembering(Style()).state_dict(), "net")
    path = tmp_path / "net.safetensors"
    save_model(path, reading.network, reading.recipe)
    again = load_model(path)
    assert again.recipe == reading.recipe
    x = torch.rand(1, 1, 24, 24)
    assert torch.equal(again.network(x), reading.network(x))
    own = UNet(Architecture(depth=2, base_channels=4, out_channels=2))
    recipe = reading.recipe.replace(architecture=own.architecture)
    assert again.geometry == Model(own.eval().requires_grad_(False), recipe).geometry
    assert again.tile_dependent_layers == ()


def test_our_own_state_dict_is_known():
    own = UNet(Architecture(depth=2, base_channels=2))
    reading = read_network(own.state_dict(), "own")
    assert reading.recipe.architecture == own.architecture
    assert reading.report.verified


def test_an_output_for_training_alone_is_reported():
    network = remembering(Style())
    state = {**network.state_dict(), "aux.weight": torch.rand(2, 8, 1, 1)}
    state["aux.bias"] = torch.rand(2)
    report = read_network(state, "net").report
    assert report.unused == ("aux.weight (2, 8, 1, 1)", "aux.bias (2,)")


def test_a_second_name_of_the_same_tensors_is_no_second_layer():
    network = remembering(Style())
    state = dict(network.state_dict())
    state |= {f"twin.{key}": value.clone() for key, value in state.items()}
    reading = read_network(state, "net")
    assert_equal(Style(), network, reading.network)
    assert len(reading.report.unused) == 1
    assert "under another name" in reading.report.unused[0]


def unet_with(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    extra = {key.replace("__", "."): value for key, value in more.items()}
    return {**remembering(Style()).state_dict(), **extra}


CHAIN = {
    f"{n}.weight": torch.rand(o, i, 3, 3) for n, (i, o) in enumerate([(1, 4), (4, 4)])
}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "holds no convolutions"),
        ({"a.weight": torch.rand(3)}, "fits no convolution|no convolutions"),
        (CHAIN, "cannot be joined to a U-Net"),
        (unet_with(fc__weight=torch.rand(4, 4)), r"fc\.weight.*fully connected"),
        (unet_with(x__weight=torch.rand(9, 7, 3, 3)), r"x, which has no place"),
        (unet_with(odd__table=torch.rand(5, 5, 5)), r"odd\.table"),
        (unet_with(n__weight=torch.rand(99), n__bias=torch.rand(99)), "n, which fits"),
        (unet_with(v__weight=torch.rand(2, 2, 3, 3, 3)), "2-D and 3-D"),
    ],
)
def test_what_is_no_unet_is_refused_in_one_line(state: Any, message: str):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_network(state, "thing.pth")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"colour": "red"}, "no question called colour"),
        ({"padding": "wide"}, "wide is no answer to padding"),
        ({"factors": "2x2"}, "does not give 2 poolings"),
        ({"factors": "axb,2x2"}, "does not give 2 poolings"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(choices: Any, message: str):
    with pytest.raises(CheckpointError, match=message):
        read_network(remembering(Style()).state_dict(), "net", choices=choices)


def test_absurd_shapes_are_refused_before_anything_is_allocated():
    """Expanded tensors take no memory; a network of these shapes would."""
    one = torch.zeros(1)
    state = {
        "a.weight": one.expand(60000, 1, 3, 3),
        "b.weight": one.expand(60000, 60000, 3, 3),
    }
    with pytest.raises(CheckpointError, match=r"b\.weight claims .* 1 numbers"):
        read_network({**state, "a.weight": torch.zeros(4, 1, 3, 3)}, "huge")


def test_weights_that_are_not_finite_are_refused():
    state = dict(remembering(Style()).state_dict())
    key = next(k for k in state if k.endswith("conv1.weight"))
    state[key] = torch.full_like(state[key], float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        read_network(state, "net", choices={"padding": "same"})
