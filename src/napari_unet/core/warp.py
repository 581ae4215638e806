"""One map of coordinates from a patch back to the image, and the pixels found there.

Flips, rotation, zoom and elastic deformation one after the other would blur an image
four times and lose what each step pushed over the border. Here they are composed first,
and every array of a sample is then resampled once, through the same map:

    place in the image = middle + matrix @ (p + displacement(p))

with p the place of the pixel relative to the middle of the patch. In words: the image
is turned and zoomed about the middle, then deformed. Beyond the image lies its mirror
image, the edge not repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.ndimage import spline_filter

from napari_unet.core.mirror import read_mirrored
from napari_unet.core.warp_kernels import (
    place_pixels,
    sample_cubic,
    sample_linear,
    sample_nearest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

Matrix = tuple[tuple[float, ...], ...]
Interpolation = Literal["cubic", "linear", "nearest"]

_SAMPLE = {
    "cubic": sample_cubic,
    "linear": sample_linear,
    "nearest": sample_nearest,
}
# Pixels read on each side of those that a place falls between, and one for rounding.
_MARGIN = 2


@dataclass(frozen=True, eq=False)
class Elastic:
    """Displacements on a coarse grid, centred on the patch.

    Between the nodes they follow the cubic spline that passes through them; beyond the
    outer nodes they are mirrored.

    Parameters
    ----------
    nodes
        (axes, *grid) displacements at the nodes, pixels of each axis.
    spacing
        Distance of neighbouring nodes per axis, pixels.
    """

    nodes: Doubles
    spacing: tuple[float, ...]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Elastic)
            and self.spacing == other.spacing
            and np.array_equal(self.nodes, other.nodes)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        grid = " x ".join(str(n) for n in self.nodes.shape[1:])
        steps = " x ".join(f"{step:g}" for step in self.spacing)
        farthest = np.sqrt((self.nodes**2).sum(axis=0)).max()
        return f"Elastic({grid} nodes, {steps} px apart, up to {farthest:.1f} px)"

    def coefficients(self, n_beyond: tuple[int, ...]) -> Doubles:
        """Return the spline's coefficients, (axes, *grid + 3 + 2 * n_beyond).

        They are mirrored by 1 before the grid and 2 after it, which the spline reaches,
        and by `n_beyond` more on both sides.
        """
        filtered = [spline_filter(part, order=3, mode="mirror") for part in self.nodes]
        widths = [(0, 0), *((1 + n, 2 + n) for n in n_beyond)]
        return np.pad(np.array(filtered), widths, mode="reflect")

    def n_beyond(self, patch_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many nodes the grid lacks on each side to cover a patch."""
        return tuple(
            max(0, math.ceil((n - 1) / 2 / step - (n_nodes - 1) / 2))
            for n, n_nodes, step in zip(
                patch_shape, self.nodes.shape[1:], self.spacing, strict=True
            )
        )


@dataclass(frozen=True)
class Warp:
    """Where the pixels of a patch come from.

    Parameters
    ----------
    patch_shape
        Pixels of the patch, 2 or 3 axes.
    middle
        Place in the image of the middle of the patch, pixels.
    matrix
        Step in the image per step in the patch, pixels per pixel; not singular.
    elastic
        Displacements, or None.
    """

    patch_shape: tuple[int, ...]
    middle: tuple[float, ...]
    matrix: Matrix
    elastic: Elastic | None = None

    @cached_property
    def steps(self) -> tuple[tuple[int, int], ...] | None:
        """Axis of the patch and direction, per axis of the image.

        None unless every pixel of the patch is one pixel of the image.
        """
        if self.elastic is not None:
            return None
        ndim = len(self.middle)
        matrix = np.array(self.matrix)
        axes = np.abs(matrix).argmax(axis=1)
        signs = matrix[np.arange(ndim), axes]
        is_turn = (np.count_nonzero(matrix, axis=1) == 1) & (np.abs(signs) == 1)
        sizes = np.array(self.patch_shape)[axes]
        first = np.array(self.middle) - (sizes - 1) / 2
        if not (is_turn.all() and (first == np.floor(first)).all()):
            return None
        return tuple((int(a), int(s)) for a, s in zip(axes, signs, strict=True))

    @cached_property
    def offsets(self) -> NDArray[np.float32]:
        """Place in the image of each pixel, relative to `middle`.

        float32, (3, pixels of the patch); in 2-D the first of the three is 0.
        """
        shape = _lifted(self.patch_shape, 1)
        offsets = np.empty((3, *shape), np.float32)
        matrix = np.eye(3)
        matrix[-len(self.middle) :, -len(self.middle) :] = self.matrix
        if self.elastic is None:
            nodes, taps, shares = np.empty((3, 0, 0, 0)), *_no_taps()
        else:
            n_beyond = self.elastic.n_beyond(self.patch_shape)
            nodes = _lifted_nodes(self.elastic.coefficients(n_beyond))
            taps, shares = _taps(self.patch_shape, self.elastic)
        place_pixels(offsets, matrix, nodes, taps, shares)
        return offsets.reshape(3, -1)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """What is read of the image, per axis; may reach beyond it."""
        ndim = len(self.middle)
        low = self.offsets.min(axis=1)[-ndim:]
        high = self.offsets.max(axis=1)[-ndim:]
        return tuple(
            (math.floor(m + a) - _MARGIN, math.floor(m + b) + _MARGIN + 2)
            for m, a, b in zip(self.middle, low, high, strict=True)
        )

    @property
    def keeps_planes(self) -> bool:
        """Whether every pixel lies in a plane of the image, not between two."""
        if len(self.middle) == 2:
            return True
        first = self.middle[0] - (self.patch_shape[0] - 1) / 2
        row = (abs(self.matrix[0][0]), *self.matrix[0][1:])
        is_moved = self.elastic is not None and bool(self.elastic.nodes[0].any())
        return not is_moved and row == (1, 0, 0) and first == math.floor(first)


def resample(
    arrays: NDArray[Any], warp: Warp, interpolation: Interpolation
) -> NDArray[Any]:
    """Return the patch that `warp` takes from `arrays`.

    Parameters
    ----------
    arrays
        (K, *spatial), finite; only the region that is needed is read.
    warp
        Where the pixels come from.
    interpolation
        "cubic" (Keys 1981: sharper than linear, keeps the grain of noise), "linear",
        or "nearest", which keeps the type. Whatever is asked, shifts by whole pixels,
        flips and quarter turns copy.

    Returns
    -------
    numpy.ndarray
        (K, *patch_shape), C order; float32 unless "nearest".
    """
    dtype = arrays.dtype if interpolation == "nearest" else np.dtype(np.float32)
    if warp.steps is not None:
        return _copy(arrays, warp, warp.steps).astype(dtype, "C")
    region = np.ascontiguousarray(_read(arrays, warp.spans), dtype)
    region = region.reshape((len(arrays), *_lifted(region.shape[1:], 1)))
    starts = [span[0] for span in warp.spans]
    shift = np.zeros(3)
    shift[-len(starts) :] = np.array(warp.middle) - starts
    patch = np.empty((len(arrays), warp.offsets.shape[1]), region.dtype)
    n_planes = 1 if warp.keeps_planes else 4
    _SAMPLE[interpolation](region, warp.offsets, shift, n_planes, patch)
    return patch.reshape((len(arrays), *warp.patch_shape))


def _copy(
    arrays: NDArray[Any], warp: Warp, steps: tuple[tuple[int, int], ...]
) -> NDArray[Any]:
    """Copy pixels one by one: shifts, flips and quarter turns."""
    spans = []
    for middle, (axis, _) in zip(warp.middle, steps, strict=True):
        size = warp.patch_shape[axis]
        first = math.floor(middle - (size - 1) / 2)
        spans.append((first, first + size))
    region = _read(arrays, tuple(spans))
    region = region[(slice(None), *(slice(None, None, sign) for _, sign in steps))]
    order = np.argsort([axis for axis, _ in steps])
    return region.transpose(0, *(order + 1))


def _read(arrays: NDArray[Any], spans: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """Return the pixels of `spans`, mirrored where they lie beyond the image."""
    return read_mirrored(
        lambda region: arrays[(slice(None), *region)], spans, arrays.shape[1:]
    )


def _lifted(values: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Put `first` in front of two values; three stay as they are."""
    return values if len(values) == 3 else (first, *values)


def _lifted_nodes(nodes: Doubles) -> Doubles:
    """Make three axes of two: one plane of nodes that move nothing along it."""
    if len(nodes) == 3:
        return nodes
    lifted = np.zeros((3, 1, *nodes.shape[1:]))
    lifted[1:, 0] = nodes
    return lifted


def _no_taps() -> tuple[Any, Any]:
    """Return empty taps of the types that the kernel expects."""
    return (np.empty(0, np.int64),) * 3, (np.empty((0, 0)),) * 3


def _taps(patch_shape: tuple[int, ...], elastic: Elastic) -> tuple[Any, Any]:
    """Return the first node and the shares of four nodes, per axis and position."""
    found = [
        _taps_along(n, (n_nodes - 1) / 2 + beyond, step)
        for n, n_nodes, beyond, step in zip(
            patch_shape,
            elastic.nodes.shape[1:],
            elastic.n_beyond(patch_shape),
            elastic.spacing,
            strict=True,
        )
    ]
    if len(found) == 2:
        found.insert(0, (np.zeros(1, np.int64), np.ones((1, 1))))
    first, shares = zip(*found, strict=True)
    return first, shares


def _taps_along(
    n: int, middle: float, spacing: float
) -> tuple[NDArray[np.int64], Doubles]:
    """Return first coefficients and shares (n, 4) of the uniform cubic B-spline.

    `middle` is the node, counted from 0, where the middle of the patch lies. The
    coefficients begin one before node 0, so a place between the nodes k and k + 1 takes
    the coefficients k to k + 3.
    """
    at = (np.arange(n) - (n - 1) / 2) / spacing + middle
    first = np.floor(at).astype(np.int64)
    t = at - first
    shares = [
        (1 - t) ** 3 / 6,
        2 / 3 - t**2 + t**3 / 2,
        2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2,
        t**3 / 6,
    ]
    return first, np.ascontiguousarray(np.transpose(shares))
