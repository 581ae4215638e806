from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from napari_unet.core.tiling import AxisGeometry, Grid, make_grid
from napari_unet.errors import SettingsError
from napari_unet.nn.averaging import averaged_geometry, turn, turn_back, turns_of
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.settings import Prediction

CPU = torch.device("cpu")
Pixels = npt.NDArray[np.float32]
MakeModel = Callable[..., Model]
MakeImage = Callable[..., Pixels]
Tiled = Callable[[Predictor, Pixels, Grid], Pixels]


# -- the copies ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("averaging", "ndim", "n"),
    [
        ("none", 2, 1),
        ("flips", 2, 4),
        ("flips", 3, 8),
        ("rotations", 2, 8),
        ("rotations", 3, 16),
    ],
)
def test_all_copies_differ_and_come_back(averaging: str, ndim: int, n: int) -> None:
    x = torch.randn(1, 2, *range(3, 3 + ndim))
    copies = [turn(x, *how) for how in turns_of(averaging, ndim)]
    assert len({copy.numpy().tobytes() for copy in copies}) == n == len(copies)
    for how, copy in zip(turns_of(averaging, ndim), copies, strict=True):
        assert torch.equal(turn_back(copy, *how), x)


# -- the promise, averaged -------------------------------------------------------


def positions(averaging: str, ndim: int) -> list[tuple[tuple[int, ...], int]]:
    """Return (axes to mirror, quarter turns) in NumPy's terms, C being the first."""
    axes = range(1, 1 + ndim)
    if averaging == "flips":
        subsets = (itertools.combinations(axes, n) for n in range(ndim + 1))
        return [(flips, 0) for flips in itertools.chain(*subsets)]
    mirrored = [(), (ndim,)] if ndim == 2 else [(), (ndim,), (1,), (1, ndim)]
    return [(flips, quarters) for flips in mirrored for quarters in range(4)]


def averaged(
    network: nn.Module, canvas: Pixels, averaging: str, plane: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Run the whole image in each position, put each result back, and average."""
    results = []
    for flips, quarters in positions(averaging, canvas.ndim - 1):
        turned = np.rot90(np.flip(canvas, flips), quarters, plane)
        x = torch.from_numpy(np.ascontiguousarray(turned))[None]
        with torch.inference_mode():
            found = network(x)[0].softmax(dim=0).numpy().astype(np.float64)
        results.append(np.flip(np.rot90(found, -quarters, plane), flips))
    return np.mean(results, axis=0)


CASES = [
    ({}, (40, 56), (4, 4)),
    ({"depth": 1, "upsampling": "bilinear", "norm": "none"}, (31, 22), (2, 2)),
    # Divisors 4 and 2: a turned tile must fit both.
    ({"pooling": ((2, 1), (2, 2)), "upsampling": "nearest"}, (30, 26), (4, 4)),
    ({"ndim": 3, "pooling": ((1, 2, 2),), "depth": 1}, (3, 18, 21), (1, 2, 2)),
]


@pytest.mark.parametrize("averaging", ["flips", "rotations"])
@pytest.mark.parametrize(("arguments", "shape", "divisors"), CASES)
def test_tiled_average_is_untiled_average(
    make_model: MakeModel,
    random_image: MakeImage,
    tiled: Tiled,
    averaging: str,
    arguments: dict[str, Any],
    shape: tuple[int, ...],
    divisors: tuple[int, ...],
) -> None:
    model = make_model(**arguments)
    geometry = averaged_geometry(model.geometry, averaging)
    if averaging == "flips":
        divisors = tuple(axis.divisor for axis in model.geometry)
    assert tuple(axis.divisor for axis in geometry) == divisors
    image = random_image(shape)
    pads = [(0, -n % d) for n, d in zip(shape, divisors, strict=True)]
    canvas = np.pad(image, [(0, 0), *pads], mode="reflect")
    plane = len(shape) - 1, len(shape)
    wanted = averaged(model.network, canvas, averaging, plane)
    inside = (slice(None), *(slice(n) for n in shape))
    predict = model.predictor(Prediction(test_time_averaging=averaging), CPU)
    for size in (4, 12):
        grid = make_grid(shape, (size,) * len(shape), geometry)
        assert np.abs(tiled(predict, image, grid) - wanted[inside]).max() <= 1e-5


@pytest.mark.parametrize("averaging", ["flips", "rotations"])
def test_a_valid_network_can_be_averaged(
    make_model: MakeModel, random_image: MakeImage, tiled: Tiled, averaging: str
) -> None:
    model = make_model(padded=False, depth=1, upsampling="bilinear", norm="none")
    geometry = averaged_geometry(model.geometry, averaging)
    assert geometry == model.geometry
    crop = model.geometry[0].crop[0]
    image = random_image((30, 24))
    canvas = np.pad(image, [(0, 0), (crop, crop), (crop, crop)], mode="reflect")
    wanted = averaged(model.network, canvas, averaging, (1, 2))
    predict = model.predictor(Prediction(test_time_averaging=averaging), CPU)
    found = tiled(predict, image, make_grid((30, 24), (8, 8), geometry))
    assert np.abs(found - wanted).max() <= 1e-5


# -- symmetry --------------------------------------------------------------------


def make_symmetric(network: nn.Module) -> None:
    """Average each kernel over its eight positions."""
    for name, weight in network.named_parameters():
        if name.endswith("weight") and weight.ndim == 4:
            turns = turns_of("rotations", 2)
            weight.copy_(torch.stack([turn(weight, *how) for how in turns]).mean(0))


@pytest.mark.parametrize("averaging", ["flips", "rotations"])
def test_a_symmetric_network_gains_nothing(
    make_model: MakeModel, random_image: MakeImage, averaging: str
) -> None:
    model = make_model(upsampling="nearest")
    image = random_image((24, 32))
    average = Prediction(test_time_averaging=averaging)
    once = model.predictor(Prediction(), CPU).probabilities(image)
    often = model.predictor(average, CPU).probabilities(image)
    assert (once - often).abs().max() > 1e-2
    make_symmetric(model.network)
    model = Model(model.network, model.recipe)  # the old one keeps its predictor
    once = model.predictor(Prediction(), CPU).probabilities(image)
    often = model.predictor(average, CPU).probabilities(image)
    assert (once - often).abs().max() < 1e-5


# -- what it asks of tiling ------------------------------------------------------


def lopsided() -> nn.Module:
    """Pixels above and to the left are seen, those on the other side are not."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.ZeroPad2d((3, 0, 3, 0)), nn.Conv2d(1, 2, 4))
    return layers.eval().requires_grad_(False)


def test_a_mirrored_tile_needs_the_left_context_on_the_right(
    random_image: MakeImage, tiled: Tiled
) -> None:
    network = lopsided()
    geometry = network_geometry(network, ndim=2, in_channels=1)
    assert [axis.halo for axis in geometry] == [(3, 0)] * 2
    both = averaged_geometry(geometry, "flips")
    assert [axis.halo for axis in both] == [(3, 3)] * 2
    image = random_image((20, 20))
    wanted = averaged(network, image, "flips", (1, 2))
    prediction = Prediction(test_time_averaging="flips")
    predict = Predictor(network, "softmax", prediction, CPU, 2)
    for given, exact in ((geometry, False), (both, True)):
        found = tiled(predict, image, make_grid((20, 20), (5, 5), given))
        assert (np.abs(found - wanted).max() <= 1e-5) == exact


VALID = AxisGeometry(4, (20, 20), (20, 20), 44)


def test_without_averaging_nothing_is_asked() -> None:
    geometry = VALID, replace(VALID, crop=(20, 21), halo=(20, 21))
    assert averaged_geometry(geometry, "none") == geometry


def test_what_cannot_be_averaged_is_refused() -> None:
    odd = replace(VALID, crop=(20, 21), halo=(20, 21))
    with pytest.raises(SettingsError, match="cuts off more on one side"):
        averaged_geometry((VALID, odd), "flips")
    other = replace(VALID, divisor=2)
    assert averaged_geometry((VALID, other), "flips") == (VALID, other)
    with pytest.raises(SettingsError, match="treats Y and X differently"):
        averaged_geometry((VALID, other), "rotations")
    # Z may differ as it likes.
    volume = other, VALID, VALID
    assert averaged_geometry(volume, "rotations") == volume
