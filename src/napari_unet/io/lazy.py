"""A lazy view of an array on disk: axes reordered, dropped or added, native bytes.

Formats order their axes and bytes as they like; the view puts that right without
reading more than the pixels asked for.
"""

from __future__ import annotations

import operator
import weakref
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from napari_unet.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[slice, int | None, bool]
_DECODING = (OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError)


class LazyArray:
    """An array on disk that is read by slicing.

    Parameters
    ----------
    source
        Array that understands one positive slice per axis.
    order
        Axis of `source` for each axis of the view, None for an added axis of length
        1; axes of `source` that are not named must have length 1.
    name
        What to call the file in errors.
    close
        Called when the view is closed or collected.
    """

    def __init__(
        self,
        source: Any,
        order: tuple[int | None, ...],
        *,
        name: str,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._source = source
        self._order = order
        self._name = name
        self.shape = tuple(1 if i is None else int(source.shape[i]) for i in order)
        self.dtype = np.dtype(source.dtype).newbyteorder("=")
        self._finalizer = weakref.finalize(self, close) if close else None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return self.size * int(self.dtype.itemsize)

    def close(self) -> None:
        """Close the file; the array cannot be read afterwards."""
        if self._finalizer is not None:
            self._finalizer()

    def __len__(self) -> int:
        return int(self.shape[0])

    def __repr__(self) -> str:
        return f"LazyArray({self._name!r}, shape={self.shape}, dtype={self.dtype})"

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("An array on disk cannot be had without a copy.")
        found = self[...]
        return found if dtype is None else found.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read integers, slices and ``...``; nothing else is read."""
        steps = [_plan(k, n) for k, n in zip(self._full(key), self.shape, strict=True)]
        if any(_length(step) == 0 for step, _, _ in steps):
            found = np.empty([_length(step) for step, _, _ in steps], self.dtype)
        else:
            found = self._read([step for step, _, _ in steps])
        return found[tuple(_finish(index, back) for _, index, back in steps)]

    def _full(self, key: Any) -> tuple[Any, ...]:
        keys = key if isinstance(key, tuple) else (key,)
        gaps = [i for i, k in enumerate(keys) if k is Ellipsis]
        if len(gaps) > 1 or len(keys) - len(gaps) > self.ndim:
            raise IndexError(f"{key!r} does not fit an array of {self.ndim} axes")
        at = gaps[0] if gaps else len(keys)
        fill = (slice(None),) * (self.ndim - len(keys) + len(gaps))
        return (*keys[:at], *fill, *keys[at + 1 :])

    def _read(self, steps: list[slice]) -> npt.NDArray[Any]:
        """Read one positive slice per axis of the view; keeps all axes."""
        key = [slice(0, 1)] * len(self._source.shape)
        for axis, step in zip(self._order, steps, strict=True):
            if axis is not None:
                key[axis] = step
        try:
            found = np.asarray(self._source[tuple(key)])
        except _DECODING as error:
            reason = str(error) or type(error).__name__
            raise ImageFileError(
                f"{self._name} could not be decoded: {reason}.",
                "The file may be damaged or still being written: copy it again, or "
                "re-save it with the program that made it.",
            ) from error
        return self._arranged(found, [_length(step) for step in steps])

    def _arranged(self, found: npt.NDArray[Any], shape: list[int]) -> npt.NDArray[Any]:
        named = [axis for axis in self._order if axis is not None]
        dropped = [axis for axis in range(found.ndim) if axis not in named]
        turned = found.transpose([*dropped, *named]).reshape(shape)
        return turned.astype(self.dtype, copy=False)


def _plan(key: SupportsIndex | slice, length: int) -> Step:
    """Return the slice to read, the integer asked for, and whether to turn round."""
    if not isinstance(key, slice):
        index = operator.index(key)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range for length {length}")
        return slice(index % length, index % length + 1), 0, False
    wanted = range(*key.indices(length))
    if not wanted:
        return slice(0, 0), None, False
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return slice(low, high + 1, abs(wanted.step)), None, wanted.step < 0


def _finish(index: int | None, backwards: bool) -> int | slice:
    if index is not None:
        return index
    return slice(None, None, -1) if backwards else slice(None)


def _length(step: slice) -> int:
    return len(range(step.start, step.stop, step.step or 1))
