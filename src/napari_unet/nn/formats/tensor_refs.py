"""References to tensors: where one lies in a file, checked before it is read.

A pickle describes a tensor by storage, offset, shape and stride. All of it is held
against the storage's length, so that no view can reach beyond it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.limits import (
    LARGEST_SHARING,
    MOST_DIMENSIONS,
    UNPACKED_ANYWAY,
)
from napari_unet.nn.weight_files import COPY_AGAIN

STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
    "UntypedStorage": torch.uint8,
}
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *STORAGES.values(),
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    )
}


@dataclass(frozen=True, eq=False)
class StorageRef:
    """A run of numbers in the file.

    Parameters
    ----------
    key
        Its name there.
    dtype
        Of its numbers.
    n_values
        How many there are.
    start
        The first one, in a storage that is part of another.
    """

    key: str
    dtype: torch.dtype
    n_values: int
    start: int = 0

    @property
    def n_bytes(self) -> int:
        """Bytes from the beginning of the record to the end of this storage."""
        return (self.start + self.n_values) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor in the file, not read yet.

    Parameters
    ----------
    storage
        Where its numbers are.
    dtype
        Their type.
    shape, stride, offset
        How they are laid out, in numbers.
    """

    storage: StorageRef
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def n_values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes of its numbers."""
        return self.n_values * self.dtype.itemsize


def refer(
    storage: object, offset: object, shape: object, stride: object, dtype: object = None
) -> TensorRef:
    """Return a checked reference.

    Raises
    ------
    TypeError
        If the arguments are not those of a tensor.
    CheckpointError
        If it reaches beyond its storage.
    """
    if not isinstance(storage, StorageRef) or not isinstance(offset, int):
        raise TypeError("no tensor")
    sizes, strides = _integers(shape), _integers(stride)
    kind = storage.dtype if dtype is None else dtype
    if not isinstance(kind, torch.dtype):
        raise TypeError("no tensor")
    reference = TensorRef(storage, kind, sizes, strides, offset)
    _check(reference)
    return reference


def _integers(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        raise TypeError("no tensor")
    if any(type(value) is not int for value in values):
        raise TypeError("no tensor")
    return tuple(values)


def _check(tensor: TensorRef) -> None:
    storage = tensor.storage
    available = storage.n_values * storage.dtype.itemsize // tensor.dtype.itemsize
    values = (*tensor.shape, *tensor.stride, tensor.offset, storage.n_values)
    sane = (
        len(tensor.shape) == len(tensor.stride) <= MOST_DIMENSIONS
        and all(0 <= value < 2**62 for value in (*values, storage.start))
        and tensor.n_values <= available
    )
    if sane and tensor.n_values:
        pairs = zip(tensor.shape, tensor.stride, strict=True)
        last = tensor.offset + sum((size - 1) * step for size, step in pairs)
        sane = last < available
    if not sane:
        shape = tensor.shape[:MOST_DIMENSIONS]
        raise CheckpointError(
            f"A tensor of shape {shape} reaches beyond its {storage.n_values} values.",
            COPY_AGAIN,
        )


def check_sharing(tensors: Mapping[str, TensorRef], n_bytes: int, name: str) -> None:
    """Refuse tensors that are far larger together than the file that they share.

    Raises
    ------
    CheckpointError
        If they are: tied weights are stored once, but nobody ties that many.
    """
    total = sum(tensor.n_bytes for tensor in tensors.values())
    if total > max(UNPACKED_ANYWAY, LARGEST_SHARING * n_bytes):
        raise CheckpointError(
            f"{name} has {n_bytes} bytes and would hold {total} bytes of weights.",
            COPY_AGAIN,
        )


def read_tensors(
    tensors: Mapping[str, TensorRef],
    read: Callable[[StorageRef], bytearray],
    *,
    byte_order: str = sys.byteorder,
) -> dict[str, Tensor]:
    """Read the tensors, each storage once.

    Parameters
    ----------
    tensors
        By name.
    read
        Storage -> at least `n_bytes` of it.
    byte_order
        ``"little"`` or ``"big"``.
    """
    storages: dict[tuple[str, torch.dtype], Tensor] = {}
    found = {}
    for name, tensor in tensors.items():
        key = tensor.storage.key, tensor.dtype
        if key not in storages:
            # What is not needed any more may go: most storages hold one tensor.
            data = read(tensor.storage)
            storages[key] = _values(data, tensor.dtype, byte_order)
        start = tensor.storage.start * tensor.storage.dtype.itemsize
        offset = tensor.offset + start // tensor.dtype.itemsize
        view = storages[key].as_strided(tensor.shape, tensor.stride, offset)
        found[name] = view.contiguous()
    return found


def _values(data: bytearray, dtype: torch.dtype, byte_order: str) -> Tensor:
    if not data:
        return torch.empty(0, dtype=dtype)
    if dtype == torch.bool:
        # Any other byte than 0 and 1 would be neither true nor false to torch.
        return torch.frombuffer(data, dtype=torch.uint8) != 0
    whole = memoryview(data)[: len(data) // dtype.itemsize * dtype.itemsize]
    values = torch.frombuffer(whole, dtype=dtype)
    if byte_order != sys.byteorder and dtype.itemsize > 1:
        values.untyped_storage().byteswap(dtype)  # type: ignore[no-untyped-call]
    return values
