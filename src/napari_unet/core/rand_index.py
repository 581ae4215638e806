"""Rand index: how well tissue without gaps is cut into cells.

AP counts objects: two large cells that run together cost no more than two small ones.
These scores count pairs of pixels, as is usual for membranes in electron microscopy
(Arganda-Carreras et al. 2015): one merger of large cells outweighs all small errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RandScores:
    """Foreground-restricted scores, means over the images; NaN without any true cell.

    Parameters
    ----------
    v_rand
        Rand F-score, 0..1; one minus the adapted Rand error.
    v_info
        Information-theoretic F-score, 0..1.
    """

    v_rand: float
    v_info: float

    @property
    def error(self) -> float:
        """Adapted Rand error, 0..1."""
        return 1 - self.v_rand


def foreground_rand(
    labels: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]]
) -> RandScores:
    """Compare within the true cells, borders thinned to nothing.

    Arganda-Carreras et al. 2015: with p_ij the share of pixels in segment i and cell j
    and s_i, t_j its sums, V_Rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2) and
    V_Info = 2 I / (H_s + H_t).

    Parameters
    ----------
    labels, truth
        Label images, one for one; truth of 0 or less is not looked at.
    """
    known = [
        _of_one(found, true)
        for found, true in zip(labels, truth, strict=True)
        if (true > 0).any()
    ]
    if not known:
        return RandScores(float("nan"), float("nan"))
    v_rand, v_info = np.mean(known, axis=0).tolist()
    return RandScores(v_rand, v_info)


def _of_one(labels: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    from skimage.segmentation import expand_labels  # slow to load

    if not (labels > 0).any():
        return 0.0, 0.0  # nothing found is not one segment
    # Segments are grown over the borders between them, which is what thinning comes to.
    grown = expand_labels(labels, sum(labels.shape))  # type: ignore[no-untyped-call]
    kept = truth > 0
    segments, cells = (
        np.unique(side[kept], return_inverse=True)[1] for side in (grown, truth)
    )
    # As many pairs as segments times cells are possible, but few occur.
    _, pairs = np.unique(segments * (cells.max() + 1) + cells, return_inverse=True)
    p, s, t = (_shares(numbers) for numbers in (pairs, segments, cells))
    rand = 2 * (p**2).sum() / ((s**2).sum() + (t**2).sum())
    h, h_s, h_t = (-(x * np.log(x)).sum() for x in (p, s, t))
    entropies = h_s + h_t
    # One segment, one cell: nothing is uncertain, and all of it is known.
    info = 2 * (entropies - h) / entropies if entropies else 1.0
    return float(rand), float(info)


def _shares(numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return which share of the pixels each number from 0 on has."""
    return np.bincount(numbers) / numbers.size
