"""Steps before and after a network, against NumPy's plain words on the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from napari_unet.core.processing import Processing, measure_steps
from napari_unet.processing_settings import (
    Binarize,
    Clip,
    EnsureDtype,
    FixedZeroMeanUnitVariance,
    ProcessingStep,
    ScaleLinear,
    ScaleMeanVariance,
    ScaleRange,
    Sigmoid,
    Softmax,
    ZeroMeanUnitVariance,
)

Array = npt.NDArray[Any]
SPACE = (1, 2)
FLOAT = EnsureDtype(dtype="float32")


def measured(image: Array, *steps: ProcessingStep) -> Processing:
    def read(region: tuple[slice, ...]) -> Array:
        return image[(slice(None), *region)]

    return measure_steps([read], image.shape[1:], image.dtype, steps)[0]


@pytest.fixture
def image() -> Array:
    rng = np.random.default_rng(3)
    channels = rng.gamma(2.0, 300.0, (2, 31, 45)) * [[[1.0]], [[3.0]]]
    return channels.astype(np.uint16)


def normal(x: Array, axes: tuple[int, ...]) -> Array:
    return (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-6)


def ranged(x: Array, axes: tuple[int, ...], low: float, high: float) -> Array:
    a, b = np.percentile(x, [low, high], axis=axes, keepdims=True)
    return (x - a) / (b - a + 1e-6)


ALL = (0, 1, 2)
CASES: dict[str, tuple[tuple[ProcessingStep, ...], Callable[[Array], Array]]] = {
    "range": ((ScaleRange(per_channel=True),), lambda x: ranged(x, SPACE, 0, 100)),
    "range of all": (
        (FLOAT, ScaleRange(min_percentile=2, max_percentile=98.5), FLOAT),
        lambda x: ranged(x, ALL, 2, 98.5),
    ),
    "normal": ((ZeroMeanUnitVariance(per_channel=True),), lambda x: normal(x, SPACE)),
    "normal of all": ((FLOAT, ZeroMeanUnitVariance()), lambda x: normal(x, ALL)),
    "fixed": (
        (FixedZeroMeanUnitVariance(mean=(7.0, 900.0), std=(2.0, 5.0)),),
        lambda x: (x - np.reshape([7, 900], (2, 1, 1))) / np.reshape([2, 5], (2, 1, 1)),
    ),
    "linear": ((ScaleLinear(gain=(0.5,), offset=(-3.0,)),), lambda x: x * 0.5 - 3),
    "clip": ((Clip(min=100.0, max=900.0),), lambda x: np.clip(x, 100, 900)),
    "one end": ((Clip(min=300.0),), lambda x: np.maximum(x, 300)),
    "clip by percentile": (
        (Clip(max_percentile=90.0, per_channel=True),),
        lambda x: np.minimum(x, np.percentile(x, 90, axis=SPACE, keepdims=True)),
    ),
    "binarize": (
        (Binarize(threshold=(500.0, 1500.0)),),
        lambda x: x > np.reshape([500, 1500], (2, 1, 1)),
    ),
    "cast": (
        (ScaleLinear(gain=(0.01,)), EnsureDtype(dtype="uint8")),
        lambda x: np.floor(x * 0.01),
    ),
    "sigmoid": (
        (ScaleLinear(gain=(0.01,), offset=(-5.0,)), Sigmoid()),
        lambda x: 1 / (1 + np.exp(5 - 0.01 * x)),
    ),
    "softmax": (
        (ScaleLinear(gain=(0.001,)), Softmax()),
        lambda x: np.exp(x / 1000) / np.exp(x / 1000).sum(axis=0),
    ),
    # Each step is measured on what the one before it made.
    "chain": (
        (Clip(min=200.0, max=1000.0), ZeroMeanUnitVariance(), Clip(max=1.5)),
        lambda x: np.minimum(normal(np.clip(x, 200, 1000), ALL), 1.5),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["uint16", "float32", "int32"])
def test_steps_are_those_of_the_whole_image(
    image: Array, name: str, dtype: str
) -> None:
    steps, expected = CASES[name]
    found = measured(image.astype(dtype), *steps).apply(image.astype(dtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, expected(image.astype(np.float64)), rtol=2e-5, atol=2e-5
    )


def test_unprocessed_percentiles_are_those_of_the_image(image: Array) -> None:
    steps = Clip(max=500.0), ScaleRange(unprocessed=True)
    low, high = image.min(), image.max()
    expected = (np.minimum(image, 500.0) - low) / (high - low + 1e-6)
    np.testing.assert_allclose(measured(image, *steps).apply(image), expected, 2e-5)


@pytest.mark.parametrize("name", CASES)
def test_tiles_are_parts_of_the_whole(image: Array, name: str) -> None:
    processing = measured(image, *CASES[name][0])
    tile = (slice(None), slice(5, 20), slice(11, 40))
    assert np.array_equal(processing.apply(image[tile]), processing.apply(image)[tile])


def test_samples_are_measured_together_only_if_they_should() -> None:
    frames = [np.full((1, 4, 4), value, np.float32) for value in (0.0, 2.0)]

    def reader(frame: Array) -> Callable[[tuple[slice, ...]], Array]:
        return lambda region: frame[(slice(None), *region)]

    for joint, expected in [(True, [-1.0, 1.0]), (False, [0.0, 0.0])]:
        step = ZeroMeanUnitVariance(joint_samples=joint)
        found = measure_steps(list(map(reader, frames)), (4, 4), np.float32, [step])
        values = [p.apply(f)[0, 0, 0] for p, f in zip(found, frames, strict=True)]
        assert values == pytest.approx(expected, abs=1e-5)


def test_mean_and_deviation_become_those_of_the_reference(image: Array) -> None:
    output = np.random.default_rng(0).normal(0.0, 1.0, image.shape).astype(np.float32)

    def reader(array: Array) -> Callable[[tuple[slice, ...]], Array]:
        return lambda region: array[(slice(None), *region)]

    found = measure_steps(
        [reader(output)],
        image.shape[1:],
        output.dtype,
        [ScaleMeanVariance(per_channel=True)],
        [reader(image)],
    )[0].apply(output)
    np.testing.assert_allclose(found.mean(SPACE), image.mean(SPACE), rtol=1e-4)
    np.testing.assert_allclose(found.std(SPACE), image.std(SPACE), rtol=1e-4)


def test_nan_does_not_count_and_becomes_zero() -> None:
    image = np.array([[[1.0, np.nan, 3.0, np.inf]]], np.float32)
    processing = measured(image, ZeroMeanUnitVariance())
    assert processing.n_invalid == 2
    np.testing.assert_allclose(
        processing.apply(image)[0, 0], [-1.0, 0.0, 1.0, 1e6], rtol=1e-5
    )


def test_constant_images_become_zero() -> None:
    image = np.full((1, 5, 5), 7, np.uint8)
    for step in (ScaleRange(), ZeroMeanUnitVariance()):
        assert not measured(image, step).apply(image).any()


def test_values_that_the_steps_mean_depend_on_no_chunk(image: Array) -> None:
    numbers = measured(image, ZeroMeanUnitVariance()).numbers
    assert numbers == measured(image.copy(order="F"), ZeroMeanUnitVariance()).numbers
