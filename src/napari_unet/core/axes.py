"""Axes: from any subset of TCZYX in any order to the network's (C, [Z,] Y, X) and back.

An `AxesPlan` is made from a shape alone; reading a region and placing a result are
then one line each, so a lazy array is only ever touched where a tile needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_unet.errors import AxesError

AXES = "TCZYX"


class ArrayLike(Protocol):
    """What is asked of an image: NumPy, dask, zarr and memory maps have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size per axis."""

    @property
    def dtype(self) -> Any:
        """Element type."""

    def __getitem__(self, key: Any, /) -> Any:
        """Slice; the result is turned into NumPy by `numpy.asarray`."""


def guess_axes(shape: tuple[int, ...], *, rgb: bool = False) -> str:
    """Guess the axes of an array without metadata.

    2-D is YX, 3-D ZYX, 4-D TZYX, 5-D TCZYX; a colour image has C last.

    Parameters
    ----------
    shape
        Size per axis.
    rgb
        Whether the last axis holds 3 or 4 colour samples.

    Raises
    ------
    AxesError
        If no guess is possible.
    """
    spatial = len(shape) - rgb
    guesses = {2: "YX", 3: "ZYX", 4: "TZYX"}
    if not rgb:
        guesses[5] = "TCZYX"
    if spatial not in guesses:
        raise AxesError(
            f"The axes of an array of shape {shape} cannot be guessed.",
            "Name them with a string of the letters T, C, Z, Y and X, such as TZYX.",
        )
    return guesses[spatial] + "C" * rgb


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return `axes` in upper case, or raise `AxesError` saying what is wrong.

    Parameters
    ----------
    axes
        One letter of TCZYX per axis of the array.
    shape
        The array's shape.
    """
    letters = axes.upper()
    remedy = "Give one letter of T, C, Z, Y and X for each axis of the array."
    unknown = sorted(set(letters) - set(AXES))
    if unknown:
        raise AxesError(f"Axes {axes!r} hold unknown letters {unknown}.", remedy)
    if len(set(letters)) != len(letters):
        raise AxesError(f"Axes {axes!r} name an axis twice.", remedy)
    if len(letters) != len(shape):
        raise AxesError(
            f"Axes {axes!r} name {len(letters)} axes, but the array has "
            f"{len(shape)}: {shape}.",
            remedy,
        )
    if not {"Y", "X"} <= set(letters):
        raise AxesError(f"Axes {axes!r} lack Y or X.", remedy)
    if 0 in shape:
        raise AxesError(
            f"The array of shape {shape} holds no pixels.", "Choose another region."
        )
    return letters


@dataclass(frozen=True)
class AxesPlan:
    """Where each axis of an image goes.

    Parameters
    ----------
    axes
        The image's axes, such as ``"TCYX"``.
    shape
        The image's shape.
    spatial
        The network's spatial axes: ``"YX"`` or ``"ZYX"``.
    """

    axes: str
    shape: tuple[int, ...]
    spatial: str

    @property
    def size(self) -> Mapping[str, int]:
        """Size by axis letter."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def sample_axes(self) -> str:
        """Axes over which the network is repeated, in the image's order."""
        return "".join(a for a in self.axes if a not in self.spatial and a != "C")

    @property
    def labels_axes(self) -> str:
        """Axes of the labels: the image's without C, in its order."""
        return self.axes.replace("C", "")

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return tuple(self.size[a] for a in self.labels_axes)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape of one sample without channels."""
        return tuple(self.size[a] for a in self.spatial)

    @property
    def n_channels(self) -> int:
        """Channels of the image; 1 if it has no C axis."""
        return self.size.get("C", 1)

    def samples(self) -> Iterator[dict[str, int]]:
        """Yield the position of each sample along `sample_axes`."""
        ranges = (range(self.size[a]) for a in self.sample_axes)
        for position in itertools.product(*ranges):
            yield dict(zip(self.sample_axes, position, strict=True))

    def read(
        self, image: ArrayLike, sample: Mapping[str, int], region: tuple[slice, ...]
    ) -> npt.NDArray[Any]:
        """Read one region of one sample.

        Parameters
        ----------
        image
            The image, of this plan's shape.
        sample
            Position along `sample_axes`, as `samples` yields it.
        region
            Slices along `spatial`.

        Returns
        -------
        numpy.ndarray
            (C, [Z,] Y, X) in the image's dtype; C has length 1 if the image has none.
        """
        at = dict(zip(self.spatial, region, strict=True))
        key = tuple(sample.get(a, at.get(a, slice(None))) for a in self.axes)
        kept = [a for a in self.axes if a not in sample]
        found = np.asarray(image[key])
        if "C" not in kept:
            found, kept = found[None], ["C", *kept]
        return found.transpose([kept.index(a) for a in "C" + self.spatial])

    def labels_view(
        self, labels: npt.NDArray[Any], sample: Mapping[str, int]
    ) -> npt.NDArray[Any]:
        """Return the view ([Z,] Y, X) of one sample into an array of `labels_axes`."""
        key = tuple(sample.get(a, slice(None)) for a in self.labels_axes)
        kept = [a for a in self.labels_axes if a not in sample]
        return labels[key].transpose([kept.index(a) for a in self.spatial])

    def probabilities_view(
        self, probabilities: ArrayLike, sample: Mapping[str, int]
    ) -> npt.NDArray[Any]:
        """Return one sample (C, [Z,] Y, X); C is the first axis stored.

        A view if `probabilities` are in memory.
        """
        key = (slice(None), *(sample.get(a, slice(None)) for a in self.labels_axes))
        kept = [a for a in self.labels_axes if a not in sample]
        order = [0, *(1 + kept.index(a) for a in self.spatial)]
        return np.asarray(probabilities[key]).transpose(order)


def plan_axes(axes: str, shape: tuple[int, ...], *, ndim: int) -> AxesPlan:
    """Plan how a network of `ndim` spatial dimensions meets an image.

    Parameters
    ----------
    axes
        The image's axes, any subset of TCZYX with Y and X in any order.
    shape
        The image's shape.
    ndim
        2 or 3.

    Raises
    ------
    AxesError
        If axes and shape do not fit, or a 3-D network meets an image without Z.
    """
    letters = check_axes(axes, tuple(shape))
    if ndim == 3 and "Z" not in letters:
        raise AxesError(
            f"The model is 3-D, but the image with axes {letters} has no Z axis.",
            "Choose a 2-D model, or name the stack's axis Z.",
        )
    return AxesPlan(letters, tuple(shape), "ZYX" if ndim == 3 else "YX")
