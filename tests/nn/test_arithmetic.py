from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_unet.core.tiling import Grid, make_grid
from napari_unet.errors import SettingsError
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor, fold_batch_norm
from napari_unet.settings import Prediction

CPU = torch.device("cpu")
Pixels = npt.NDArray[np.float32]
MakeModel = Callable[..., Model]
MakeImage = Callable[..., Pixels]
Tiled = Callable[[Predictor, Pixels, Grid], Pixels]
Run = Callable[..., npt.NDArray[Any]]


def predictor_of(model: Model, **prediction: Any) -> Predictor:
    return model.predictor(Prediction(**prediction), CPU)


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


# -- arithmetic ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "error"), [("bfloat16", 0.05), ("float16", 0.01)]
)
def test_less_precision_stays_close(
    random_image: MakeImage,
    make_model: MakeModel,
    tiled: Tiled,
    precision: str,
    error: float,
) -> None:
    model = make_model(base_channels=4)
    image = random_image((64, 64))
    grid = make_grid((64, 64), (32, 32), model.geometry)
    exact, fast = (
        tiled(predictor_of(model, precision=p), image, grid)
        for p in ("float32", precision)
    )
    assert fast.dtype == np.float32
    assert 0 < np.abs(fast - exact).max() < error
    assert np.abs(fast - exact).mean() < error / 10


def test_numbers_too_large_are_told_or_become_zero(
    random_image: MakeImage, make_model: MakeModel
) -> None:
    model = make_model(norm="none")
    image = random_image((16, 16))
    image[0, 5, 5] = 3e38
    exact = predictor_of(model).probabilities(image)
    assert exact.isfinite().all()
    with pytest.raises(SettingsError, match=r"too large for float16\. Choose"):
        predictor_of(model, precision="float16").probabilities(image)


@pytest.mark.parametrize(
    "arguments", [{}, {"padded": False}, {"ndim": 3, "depth": 1}, {"norm": "none"}]
)
def test_folding_batch_norm_changes_nothing(
    random_image: MakeImage, make_model: MakeModel, arguments: dict[str, Any]
) -> None:
    model = make_model(**arguments)
    before = copy.deepcopy(model.network.state_dict())
    predict = predictor_of(model)
    kinds = (nn.BatchNorm2d, nn.BatchNorm3d)
    assert not any(isinstance(m, kinds) for m in predict.network.modules())
    network: Any = model.network
    shape = tuple(network.nearest_size(48, axis) for axis in range(predict.ndim))
    x = torch.from_numpy(random_image(shape))[None]
    with torch.inference_mode():
        assert torch.allclose(predict.network(x), network(x), rtol=0, atol=1e-5)
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_folding_rounds_once() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).data.uniform_(0.1, 3.0)
    mean, variance = (b.double() for b in (norm.running_mean, norm.running_var))
    scale = norm.weight.double() / (variance + norm.eps).sqrt()
    weight = conv.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() + (conv.bias.double() - mean) * scale
    folded: Any = fold_batch_norm(nn.Sequential(conv, norm).eval())[0]
    assert folded.weight.dtype == folded.bias.dtype == torch.float32
    assert torch.allclose(folded.weight.double(), weight, rtol=6e-8, atol=0)
    assert torch.allclose(folded.bias.double(), bias, rtol=6e-8, atol=0)


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_copy_is_as_exact_as_the_plain_network(
    random_image: MakeImage, make_model: MakeModel, scale: float
) -> None:
    """Both against float64; large logits make rounding visible."""
    model = make_model(base_channels=8)
    network: Any = model.network
    network.head.weight.mul_(scale)
    x = torch.from_numpy(random_image((64, 64)))[None]
    with torch.inference_mode():
        exact = copy.deepcopy(network).double()(x.double()).softmax(1)
        plain = (network(x).softmax(1) - exact).abs().max()
        folded = predictor_of(model).probabilities(x[0].numpy())
    assert (folded - exact[0]).abs().max() <= 3 * plain


class Residual(nn.Sequential):
    """A Sequential by name alone: its norm does not follow its convolution."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self[1](x + self[0](x))
        return result


@pytest.mark.parametrize(
    "network",
    [
        Residual(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, affine=False)),
        nn.Sequential(
            nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)
        ),
    ],
)
def test_only_what_follows_a_convolution_is_folded(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_()
    x = torch.randn(1, 2, 5, 5)
    with torch.inference_mode():
        wanted = network.eval()(x)
        assert torch.allclose(fold_batch_norm(network)(x), wanted, atol=1e-6)


# -- blending --------------------------------------------------------------------


def identity() -> Predictor:
    return Predictor(nn.Identity(), "none", Prediction(), CPU, 2)


@pytest.mark.parametrize("border", ["network", "mirror"])
@pytest.mark.parametrize("arguments", [{}, {"upsampling": "bilinear"}])
def test_blending_an_identity_gives_the_image(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    arguments: dict[str, Any],
    border: str,
) -> None:
    geometry = make_model(**arguments).geometry
    for shape, tile in PLANES:
        image = np.abs(random_image(shape)) % 1
        grid = make_grid(shape, tile, geometry, border=border)
        found = run(identity(), image, grid, n_channels=1, blend=geometry)
        assert np.abs(found - image * 65535.0).max() <= 0.55
        image[:] = 0.25
        found = run(identity(), image, grid, n_channels=1, blend=geometry)
        assert set(np.unique(found)) == {round(0.25 * 65535)}


@pytest.mark.parametrize("arguments", [{}, {"padded": False, "depth": 1}])
def test_blending_instance_norm(
    run: Run, random_image: MakeImage, make_model: MakeModel, arguments: dict[str, Any]
) -> None:
    model = make_model(norm="instance", **arguments)
    predict, geometry = predictor_of(model), model.geometry
    for shape, tile in PLANES:
        grid = make_grid(shape, tile, geometry)
        for image in (random_image(shape), np.zeros((1, *shape), np.float32)):
            found = [
                run(predict, image, grid, workers=workers, blend=geometry)
                for workers in (1, 2, 3)
            ]
            assert np.array_equal(found[0], found[1])
            assert np.array_equal(found[0], found[2])
            # Softmax: three roundings at most away from one. NaN would be stored as 0.
            assert np.abs(found[0].astype(int).sum(axis=0) - 65535).max() <= 2


def test_blending_hides_the_seams(run: Run, make_model: MakeModel) -> None:
    """A ramp, brought to mean 0 tile by tile, jumps at each seam unless blended."""
    geometry = make_model().geometry
    norm = nn.Sequential(nn.InstanceNorm2d(1, eps=1.0))
    predict = Predictor(norm, "sigmoid", Prediction(), CPU, 2)
    image = np.broadcast_to(np.linspace(0, 6, 96, dtype=np.float32), (1, 96, 96))
    grid = make_grid((96, 96), (96, 32), geometry)

    def step(found: npt.NDArray[Any]) -> float:
        change = np.abs(np.diff(found[0].astype(float), axis=1)).mean(axis=0)
        return float(change.max() / np.median(change))

    assert step(run(predict, image, grid, n_channels=1)) > 10
    assert step(run(predict, image, grid, n_channels=1, blend=geometry)) < 3
