"""Run lengths: labels as runs of equal pixels, which travel lightly between processes.

Cells are wide, so a row of labels is a few runs: a tenth of the bytes, and undone by
one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class RunLengths:
    """An integer array as runs, in raster order.

    Parameters
    ----------
    values, lengths
        Of each run, in the narrowest type that holds them.
    shape, dtype
        Of the array.
    """

    values: Array
    lengths: Array
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the runs."""
        return int(self.values.nbytes + self.lengths.nbytes)

    def decode(self, table: Array | None = None) -> Array:
        """Return the array; with a table, its entry for each value instead."""
        values = self.values.astype(self.dtype) if table is None else table[self.values]
        return np.repeat(values, self.lengths).reshape(self.shape)


def encode(array: Array) -> RunLengths:
    """Return an array of integers from 0 on as runs."""
    flat = np.ascontiguousarray(array).ravel()
    if not flat.size:
        return RunLengths(flat, flat.astype(np.uint8), array.shape, array.dtype)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    return RunLengths(_narrow(flat[starts]), _narrow(lengths), array.shape, array.dtype)


def _narrow(values: Array) -> Array:
    return values.astype(np.min_scalar_type(values.max()))
