from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_unet.core.tiling import Geometry, Grid, make_grid
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor, as_bits, make_predictor, to_stored
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.unet import UPSAMPLINGS, UNet
from napari_unet.settings import Architecture, Prediction, Recipe

CPU = torch.device("cpu")
Pixels = npt.NDArray[np.float32]
MakeModel = Callable[..., Model]
MakeImage = Callable[..., Pixels]
Reference = Callable[..., Pixels]
Tiled = Callable[[Predictor, Pixels, Grid], Pixels]
Run = Callable[..., npt.NDArray[Any]]


def predictor_of(model: Model, **prediction: Any) -> Predictor:
    return model.predictor(Prediction(**prediction), CPU)


PADDED = [
    {"upsampling": upsampling, "norm": norm, "depth": 2}
    for upsampling in UPSAMPLINGS
    for norm in ("none", "batch")
] + [
    {"depth": 1, "norm": "batch", "in_channels": 2},
    {"depth": 3, "base_channels": 1},
    {"pooling": ((2, 1), (3, 2)), "upsampling": "bilinear"},
    {"pooling": ((4, 2), (1, 3)), "norm": "none", "upsampling": "nearest"},
]
VALID = [
    {"upsampling": upsampling, "norm": norm, "depth": depth, "padded": False}
    for upsampling in UPSAMPLINGS
    for norm, depth in (("none", 1), ("batch", 2))
] + [{"pooling": ((2, 1), (3, 2)), "upsampling": "bilinear", "padded": False}]
VOLUMES = [
    {"ndim": 3, "depth": 1, "upsampling": "bilinear"},
    {"ndim": 3, "pooling": ((1, 2, 2), (2, 2, 2)), "norm": "none"},
    {"ndim": 3, "pooling": ((1, 3, 2),), "depth": 1, "upsampling": "nearest"},
    {"ndim": 3, "depth": 1, "padded": False, "norm": "none"},
]
# Image and tile: odd sizes, tiles that do not fit, images smaller than a tile or the
# divisor, lines and a single pixel.
PLANES = [
    ((61, 83), (16, 24)),
    ((40, 37), (8, 64)),
    ((3, 50), (12, 12)),
    ((1, 31), (8, 8)),
    ((1, 1), (4, 4)),
    ((64, 48), (1, 32)),
]
STACKS = [
    ((7, 30, 41), (4, 12, 12)),
    ((1, 13, 5), (2, 4, 8)),
    ((12, 12, 24), (3, 6, 6)),
]


def agrees(
    model: Model,
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]],
    border: str,
    functions: tuple[Reference, Tiled, Run, MakeImage],
) -> None:
    """Compare tiled with untiled, before and after storing."""
    reference, tiled, run, random_image = functions
    predict, geometry = predictor_of(model), model.geometry
    for shape, tile in shapes:
        image = random_image(shape, model.recipe.architecture.in_channels)
        grid = make_grid(shape, tile, geometry, border=border)
        wanted = reference(model.network, image, *frame(model, shape, border))
        assert np.abs(tiled(predict, image, grid) - wanted).max() <= 1e-5
        found = run(predict, image, grid).astype(int)
        assert np.abs(found - np.rint(wanted * 65535)).max() <= 1


def frame(
    model: Model, shape: tuple[int, ...], border: str
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Return the divisors and the margins of the untiled reference."""
    network: Any = model.network
    divisors = tuple(np.prod(network.pooling, axis=0).tolist())
    if model.recipe.architecture.padded:
        if border == "network":
            return divisors, ()
        # The halo on both sides, in whole divisors so that the pooling grid stays.
        pairs = zip(model.geometry, divisors, strict=True)
        aligned = ([-(-side // d) * d for side in axis.halo] for axis, d in pairs)
        return divisors, tuple((low, high) for low, high in aligned)
    # Mirrored by what is cut off, and on the high side as far as it takes.
    margins = []
    for axis, n in enumerate(shape):
        smallest = network.nearest_size(1, axis)
        crop = (smallest - network.output_size(smallest, axis)) // 2
        size = next(
            m for m in itertools.count(n + 2 * crop) if network.output_size(m, axis)
        )
        margins.append((crop, size - n - crop))
    return (1,) * len(shape), tuple(margins)


@pytest.mark.parametrize("border", ["network", "mirror"])
@pytest.mark.parametrize("arguments", PADDED)
def test_tiled_is_untiled(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    reference: Reference,
    tiled: Tiled,
    arguments: dict[str, Any],
    border: str,
) -> None:
    agrees(
        make_model(**arguments), PLANES, border, (reference, tiled, run, random_image)
    )


@pytest.mark.parametrize("arguments", VALID)
def test_tiled_is_untiled_without_padding(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    reference: Reference,
    tiled: Tiled,
    arguments: dict[str, Any],
) -> None:
    agrees(
        make_model(**arguments),
        PLANES,
        "network",
        (reference, tiled, run, random_image),
    )


@pytest.mark.parametrize("border", ["network", "mirror"])
@pytest.mark.parametrize("arguments", VOLUMES)
def test_tiled_is_untiled_in_volumes(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    reference: Reference,
    tiled: Tiled,
    arguments: dict[str, Any],
    border: str,
) -> None:
    agrees(
        make_model(**arguments), STACKS, border, (reference, tiled, run, random_image)
    )


def shrunk(geometry: Geometry) -> Geometry:
    """Return the geometry with a halo that is one divisor too small."""
    return tuple(
        replace(axis, halo=tuple(side - axis.divisor for side in axis.halo))
        for axis in geometry
    )


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_smaller_halo_would_not_do(
    random_image: MakeImage,
    make_model: MakeModel,
    reference: Reference,
    tiled: Tiled,
    upsampling: str,
) -> None:
    """The oracle above can fail: it does where the halo is one divisor less."""
    model = make_model(depth=1, upsampling=upsampling, norm="none", base_channels=4)
    image = random_image((64, 64))
    wanted = reference(model.network, image, *frame(model, (64, 64), "network"))
    errors = [
        np.abs(
            tiled(predictor_of(model), image, make_grid((64, 64), (16, 16), geometry))
            - wanted
        ).max()
        for geometry in (model.geometry, shrunk(model.geometry))
    ]
    assert errors[0] <= 1e-5 < errors[1]


class Functional(nn.Module):
    """Somebody else's network: pooling by 3, an even kernel, a clamped edge."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Sequential(nn.ZeroPad2d((1, 2, 2, 1)), nn.Conv2d(1, 3, 4))
        self.deep = nn.Conv2d(3, 3, 3, padding=2, dilation=2)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.top(x).relu()
        deep = self.deep(nn.functional.avg_pool2d(top, 3)).relu()
        up = nn.functional.interpolate(deep, scale_factor=3, mode="bilinear")
        result: Tensor = self.head(torch.cat([top, up], dim=1))
        return result


def test_a_foreign_network_is_exact_too(
    random_image: MakeImage, make_model: MakeModel, reference: Reference, tiled: Tiled
) -> None:
    torch.manual_seed(0)
    network = Functional().eval().requires_grad_(False)
    geometry = network_geometry(network, ndim=2, in_channels=1)
    predict = Predictor(network, "softmax", Prediction(), CPU, 2)
    for shape, tile in PLANES:
        image = random_image(shape)
        wanted = reference(network, image, (3, 3))
        found = tiled(predict, image, make_grid(shape, tile, geometry))
        assert np.abs(found - wanted).max() <= 1e-5


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("softmax", lambda x: x.softmax(dim=0)),
        ("sigmoid", torch.sigmoid),
        ("none", lambda x: x.clamp(0, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_activations_and_storage(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    reference: Reference,
    activation: str,
    function: Callable[[Tensor], Tensor],
    kind: str,
) -> None:
    model = make_model(recipe={"activation": activation})
    image = random_image((40, 40))
    wanted = reference(model.network, image, (4, 4), activation=function)
    grid = make_grid((40, 40), (16, 16), model.geometry)
    found = run(predictor_of(model, stored=kind), image, grid)
    scale = np.iinfo(kind).max
    assert found.dtype == kind
    assert np.abs(found - wanted * scale).max() <= 0.5 + 1e-5 * scale


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_an_accelerator_gives_the_same_bits(kind: str) -> None:
    """Its way of rounding, here on the CPU, for every number that can be stored."""
    largest = np.iinfo(kind).max
    whole = torch.arange(largest + 1, dtype=torch.float32)
    found = as_bits(whole, kind).numpy().view(kind)
    assert np.array_equal(found, np.arange(largest + 1))
    assert np.array_equal(found, to_stored(whole / largest, kind))


def test_a_distance_is_no_class_of_the_softmax() -> None:
    """What was taught by regression beside a softmax over three classes stays so."""
    channels = ("background", "interior", "boundary", "distance")
    architecture = Architecture(depth=1, base_channels=4, out_channels=4)
    torch.manual_seed(0)
    network = UNet(architecture).eval().requires_grad_(False)
    recipe = Recipe(architecture=architecture, channels=channels)
    predict = make_predictor(network, recipe, Prediction(), CPU)
    image = 3 * torch.randn(1, 1, 16, 16)
    logits = network(image)[0]
    found = predict.probabilities(image[0].numpy())
    torch.testing.assert_close(found[:3], logits[:3].softmax(dim=0))
    torch.testing.assert_close(found[3], logits[3].clamp(0, 1))
    assert logits[3].min() < 0
