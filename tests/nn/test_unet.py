from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_unet.errors import AxesError, CheckpointError, SettingsError
from napari_unet.nn.unet import (
    UPSAMPLINGS,
    UNet,
    empty_unet,
    infer_architecture,
    ronneberger2015,
)
from napari_unet.settings import Architecture

ISOTROPIC = [
    {"depth": 2, "padded": padded, "upsampling": upsampling}
    for padded in (True, False)
    for upsampling in UPSAMPLINGS
]
ANISOTROPIC = [
    {"depth": 2, "pooling": ((3, 1), (2, 4)), "padded": padded, "upsampling": up}
    for padded in (True, False)
    for up in UPSAMPLINGS
]
VOLUMES = [
    {"ndim": 3, "depth": 2, "pooling": ((1, 2, 2), (2, 2, 3)), "padded": True},
    {"ndim": 3, "depth": 1, "padded": False, "upsampling": "bilinear"},
    {"ndim": 3, "depth": 2, "pooling": ((1, 2, 2), (2, 1, 1)), "padded": False},
]


def tiny(**arguments: Any) -> UNet:
    arguments = {"base_channels": 1, "out_channels": 1, "norm": "none", **arguments}
    return UNet(Architecture(**arguments)).eval().requires_grad_(False)


# -- the 2015 network ------------------------------------------------------------


def test_the_2015_network_has_its_published_number_of_parameters() -> None:
    network = empty_unet(ronneberger2015())
    assert sum(p.numel() for p in network.parameters()) == 31_030_658
    widths = [stage.conv2.weight.shape[0] for stage in network.encoder]
    assert widths == [64, 128, 256, 512, 1024]


def test_the_2015_network_turns_572_pixels_into_388() -> None:
    network = UNet(ronneberger2015(base_channels=1)).eval()
    assert network.output_size(572, 0) == 388
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_initial_weights_have_the_published_deviation() -> None:
    network = UNet(ronneberger2015(base_channels=16))
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [m for m in network.modules() if isinstance(m, kinds)]
    assert len(layers) == 23
    for layer in layers:
        assert layer.bias is not None
        assert not layer.bias.any()
        # Nodes that feed one output pixel; transposed: kernel = stride, one tap each.
        taps = (
            1 if isinstance(layer, nn.ConvTranspose2d) else math.prod(layer.kernel_size)
        )
        wanted = math.sqrt(2 / (taps * layer.in_channels))
        n = layer.weight.numel()
        # Four standard errors of a Gaussian sample's deviation and mean.
        assert layer.weight.std().item() == pytest.approx(
            wanted, rel=4 / (2 * n) ** 0.5
        )
        assert abs(layer.weight.mean().item()) < 4 * wanted / n**0.5


def test_dropout_acts_in_training_alone() -> None:
    network = UNet(ronneberger2015(base_channels=2))
    x = torch.randn(1, 1, 188, 188)
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(x), network(x))
        network.train()
        assert not torch.equal(network(x), network(x))
        network.dropout.p = 0.0
        trained, evaluated = network(x), network.eval()(x)
    assert torch.equal(trained, evaluated)


# -- sizes -----------------------------------------------------------------------


def loses_nothing(network: UNet, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Run without the check; None if a pool drops pixels or torch refuses."""
    dropped = []

    def watch(pool: Any, inputs: tuple[Tensor], _: Tensor) -> None:
        sizes = zip(inputs[0].shape[2:], pool.kernel_size, strict=True)
        dropped.append(any(size % factor for size, factor in sizes))

    for pool in network.pools:
        pool.register_forward_hook(watch)
    network._check = lambda _: None  # type: ignore[method-assign]
    try:
        with torch.inference_mode():
            found = network(torch.zeros(1, 1, *shape)).shape[2:]
    except RuntimeError:
        return None
    return None if any(dropped) or 0 in found else tuple(found)


@pytest.mark.parametrize("arguments", ISOTROPIC + ANISOTROPIC + VOLUMES)
def test_output_size_is_that_of_the_real_network(arguments: dict[str, Any]) -> None:
    checked = tiny(**arguments)
    ndim = checked.architecture.ndim
    smallest = [checked.nearest_size(1, axis) for axis in range(ndim)]
    for axis in range(ndim):
        for size in range(1, smallest[axis] + 14):
            shape = (*smallest[:axis], size, *smallest[axis + 1 :])
            claimed = checked.output_size(size, axis)
            found = loses_nothing(tiny(**arguments), shape)
            assert claimed == (found and found[axis]), (axis, size)


@pytest.mark.parametrize("arguments", ISOTROPIC + ANISOTROPIC + VOLUMES)
def test_a_refused_size_names_the_nearest(arguments: dict[str, Any]) -> None:
    network = tiny(**arguments)
    ndim = network.architecture.ndim

    def nearest(size: int, axis: int) -> int:
        accepted = [n for n in range(1, 200) if network.output_size(n, axis)]
        return min(accepted, key=lambda n: (abs(n - size), -n))  # larger on ties

    for axis in range(ndim):
        for size in range(1, 70):
            assert network.nearest_size(size, axis) == nearest(size, axis)
    shape = tuple(range(31, 31 + ndim))
    wanted = tuple(nearest(n, axis) for axis, n in enumerate(shape))
    assert wanted != shape
    with pytest.raises(AxesError) as refusal:
        network(torch.zeros(1, 1, *shape))
    assert str(shape) in refusal.value.problem
    assert str(wanted) in refusal.value.remedy


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 1, 8), (1, 8, 8), (1, 1, 8, 8, 8)])
def test_other_channels_or_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AxesError, match=r"takes \(N, 1, Y, X\), but was given"):
        tiny(depth=1)(torch.zeros(shape))
    with pytest.raises(AxesError, match=r"takes \(N, 1, Z, Y, X\)"):
        tiny(depth=1, ndim=3)(torch.zeros(1, 2, 8, 8, 8))


@pytest.mark.parametrize("padded", [True, False])
def test_instance_norm_never_meets_a_single_pixel(padded: bool) -> None:
    arguments = {"depth": 2, "padded": padded, "norm": "instance"}
    network = tiny(**arguments)
    plain = tiny(**{**arguments, "norm": "none"})
    smallest = network.nearest_size(1, 0)
    assert smallest >= plain.nearest_size(1, 0) + padded
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, smallest, smallest)).isfinite().all()


@pytest.mark.parametrize("pooling", [((2, 2),), ((2, 2), (2,)), ((2, 2, 2), (2, 2, 2))])
def test_pooling_that_does_not_fit_is_refused(pooling: Any) -> None:
    with pytest.raises(SettingsError, match="2 stages of 2 factors"):
        UNet(Architecture(depth=2, pooling=pooling))


# -- alignment -------------------------------------------------------------------


def pass_through(network: UNet, level: int) -> None:
    """Let a pixel's value through one path only: down to `level`, and up again."""
    for stage in (*network.encoder, *network.decoder):
        for conv in (stage.conv1, stage.conv2):
            conv.weight.zero_()
            conv.weight[:, :1, 1, 1] = 1.0
    depth = len(network.decoder)
    for at, stage in enumerate(network.decoder):
        if depth - 1 - at < level:  # the skip comes first, then what came from below
            n_skip = stage.conv1.weight.shape[1] // 2
            stage.conv1.weight.zero_()
            stage.conv1.weight[:, n_skip, 1, 1] = 1.0
        network.up[at].conv.weight.zero_()
        network.up[at].conv.weight[:, :1] = 1.0
    network.head.weight.fill_(0.0)
    network.head.weight[:, :1] = 1.0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_skips_and_the_deep_path_land_on_their_pixels(level: int) -> None:
    network = tiny(padded=False, upsampling="nearest", depth=2)
    pass_through(network, level)
    # Constant on the cells of the grid that is pooled at `level`: stages cut 2 pixels
    # a side before each pooling, of 1, then 2 image pixels.
    origin, cell = {0: (0, 1), 1: (2, 2), 2: (6, 4)}[level]
    index = torch.div(torch.arange(60) - origin, cell, rounding_mode="floor") + 3.0
    image = index[:, None] + 100 * index[None]
    with torch.inference_mode():
        found = network(image[None, None])[0, 0]
    assert torch.equal(found, image[20:-20, 20:-20])


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_the_valid_form_moves_with_its_image(upsampling: str) -> None:
    """Also at the very edge: it pads nothing, and clamps nothing."""
    torch.manual_seed(1)
    network = tiny(padded=False, upsampling=upsampling, depth=2).double()
    image = torch.randn(1, 1, 80, 80, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(image)
        part = network(image[..., 4:-8, 8:-4])
    assert torch.allclose(part, whole[..., 4:-8, 8:-4], rtol=0, atol=1e-12)


# -- arguments -------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ndim": 3, "depth": 2},
        {"in_channels": 3, "out_channels": 5, "base_channels": 3},
        {"depth": 1, "norm": "none"},
        {"depth": 3, "norm": "instance", "upsampling": "bilinear"},
        {"padded": False, "norm": "none", "upsampling": "nearest"},
        {"depth": 2, "pooling": ((4, 2), (1, 3))},
        {"depth": 1, "ndim": 3, "pooling": ((1, 2, 2),), "padded": False},
    ],
)
def test_arguments_are_read_off_the_tensors(arguments: dict[str, Any]) -> None:
    architecture = Architecture(**{"base_channels": 2, **arguments})
    assert infer_architecture(UNet(architecture).state_dict()) == architecture


FOREIGN: list[dict[str, Tensor]] = [
    {},
    {"weight": torch.zeros(2, 2)},
    {
        "encoder.0.conv1.weight": torch.zeros(2, 1, 3, 3),
        "head.weight": torch.zeros(3, 2),
    },
]
FORMS = [
    torch.tensor(1),
    torch.tensor([1]),
    torch.tensor([1, -1, 2, 2]),
    torch.tensor([1, 9, 2, 2]),
    torch.tensor([1, 0, 0, 0]),
    torch.tensor([1.0, 0.0, math.nan, 2.0]),
    torch.tensor([1.0, 0.0, math.inf, 2.0]),
    torch.zeros(2, 2),
    torch.zeros(4, dtype=torch.complex64),
]


@pytest.mark.parametrize("state", FOREIGN)
def test_foreign_tensors_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="does not hold the tensors"):
        infer_architecture(state)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_form_is_refused(form: Tensor) -> None:
    state = tiny(depth=1).state_dict()
    with pytest.raises(CheckpointError, match="does not hold the tensors"):
        infer_architecture({**state, "form": form})


def test_an_empty_network_has_the_same_tensors_and_draws_nothing() -> None:
    architecture = Architecture(base_channels=2, depth=2, norm="batch")
    before = torch.get_rng_state()
    empty = empty_unet(architecture)
    assert torch.equal(torch.get_rng_state(), before)
    wanted = UNet(architecture).state_dict()
    found = empty.state_dict()
    assert {k: (v.shape, v.dtype) for k, v in found.items()} == {
        k: (v.shape, v.dtype) for k, v in wanted.items()
    }
    assert all(value.is_meta for value in found.values())
