"""A model's output on the described test input, against the described test output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.core.normalize import Reader, Region, measure_intensity
from napari_unet.core.processing import measure_steps
from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bioimageio_described import (
    Described,
    TensorDescribed,
    Tolerance,
)
from napari_unet.nn.formats.bioimageio_recipe import after_activation
from napari_unet.nn.formats.files import RegularFile, shown_name
from napari_unet.nn.predict import make_predictor
from napari_unet.nn.shapes import REFUSALS
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED, first_line
from napari_unet.processing_settings import ProcessingStep
from napari_unet.settings import Prediction, Recipe

if TYPE_CHECKING:
    from napari_unet.nn.model import Model

LARGEST_TENSOR = 2**30
CPU = torch.device("cpu")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """How far two outputs are apart.

    Parameters
    ----------
    agrees
        Within the tolerance.
    largest
        The largest difference.
    allowed
        What the description allows where it is largest.
    """

    agrees: bool
    largest: float
    allowed: float


def compare(model: Model, described: Described) -> Comparison | str:
    """Return how far the model's output is from the described one, or why not.

    Raises
    ------
    CheckpointError
        If a test tensor is damaged.
    """
    source, output = described.inputs[0], described.outputs[0]
    if source.test is None or output.test is None:
        return "the package has no test tensors"
    images, wanted = load_tensor(source), load_tensor(output)
    try:
        found = predict_whole(model, images, after_activation(output.steps)[1])
    except REFUSALS as error:
        return f"the test input does not fit ({first_line(error)})"
    if found.ndim != wanted.ndim:
        return f"{found.ndim - 2} spatial axes instead of {wanted.ndim - 2}"
    larger = [n - m for n, m in zip(found.shape, wanted.shape, strict=True)]
    if any(larger[:2]) or min(larger) < 0:
        return f"output {found.shape} instead of {wanted.shape}"
    return _distance(_centre(found, wanted.shape), wanted, described.tolerance)


def load_tensor(tensor: TensorDescribed) -> Array:
    """Return a test tensor as (N, C, [Z,] Y, X), without unpickling anything.

    Raises
    ------
    CheckpointError
        If it is damaged, or does not have the described axes.
    """
    assert tensor.test is not None  # noqa: S101  (asked only where there is one)
    file = RegularFile(tensor.test)
    try:
        if file.size > LARGEST_TENSOR:
            raise ValueError("it is too large")
        # Mapped: a shape that the file cannot hold is refused, not allocated.
        array = np.load(tensor.test, mmap_mode="r", allow_pickle=False)
        if array.ndim != len(tensor.letters) or array.dtype.kind not in "biuf":
            raise ValueError(f"{array.ndim} axes of {array.dtype}")
    except DAMAGED as error:
        raise CheckpointError(
            f"{shown_name(tensor.test)} is damaged ({first_line(error)}).", COPY_AGAIN
        ) from None
    letters = tensor.letters
    for missing in sorted(set("bc") - set(letters)):
        array, letters = array[None], missing + letters
    order = "bc" + "".join(axis.letter for axis in tensor.spatial)
    return np.asarray(array).transpose([letters.index(letter) for letter in order])


def predict_whole(
    model: Model, images: Array, after: tuple[ProcessingStep, ...]
) -> npt.NDArray[np.float32]:
    """Return what the model makes of (N, C, ...), each image whole, in float32.

    Parameters
    ----------
    model
        Its steps before the network and its activation are applied.
    images
        The images.
    after
        Steps after the activation, also such as measure the output.
    """
    recipe = model.recipe
    readers = [_reader(image) for image in images]
    seen = _seen(recipe, readers, images)
    plain = recipe.replace(postprocessing=())
    predictor = make_predictor(model.network, plain, Prediction(), CPU)
    outputs = [predictor.values(image).numpy() for image in seen]
    if after:
        made = [_reader(output) for output in outputs]
        shape, kind = outputs[0].shape[1:], outputs[0].dtype
        steps = measure_steps(made, shape, kind, after, readers)
        outputs = [s.apply(output) for s, output in zip(steps, outputs, strict=True)]
    return np.stack(outputs)


def _seen(
    recipe: Recipe, readers: list[Reader], images: Array
) -> list[npt.NDArray[np.float32]]:
    shape, kind, settings = images.shape[2:], images.dtype, recipe.normalization
    if recipe.preprocessing:
        steps = measure_steps(readers, shape, kind, recipe.preprocessing)
        return [s.apply(image) for s, image in zip(steps, images, strict=True)]
    measured = [measure_intensity([r], shape, kind, settings) for r in readers]
    pairs = zip(measured, images, strict=True)
    return [found.apply(image, settings) for found, image in pairs]


def _reader(image: Array) -> Reader:
    def read(region: Region) -> Array:
        return image[(slice(None), *region)]

    return read


def _distance(found: Array, wanted: Array, tolerance: Tolerance) -> Comparison:
    expected = wanted.astype(np.float64)
    off = np.abs(found.astype(np.float64) - expected)
    allowed = tolerance.absolute + tolerance.relative * np.abs(expected)
    n_off = int(np.count_nonzero(~(off <= allowed)))
    where = int(np.nanargmax(off - allowed)) if np.isfinite(off).any() else 0
    return Comparison(
        agrees=n_off * 1e6 <= tolerance.per_million * off.size,
        largest=float(off.ravel()[where]),
        allowed=float(allowed.ravel()[where]),
    )


def _centre(array: Array, shape: tuple[int, ...]) -> Array:
    starts = [(n - m) // 2 for n, m in zip(array.shape, shape, strict=True)]
    inside = (slice(s, s + m) for s, m in zip(starts, shape, strict=True))
    return array[tuple(inside)]
