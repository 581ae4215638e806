"""Thin axes: axes of length 1, which may be there or not without a pixel being another.

An order says for each axis of a view from which axis of an array it comes; None adds
one of length 1. What an order leaves out has length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_unet.io.lazy import LazyArray

Order = tuple[int | None, ...]


def order_between(shape: Sequence[int], wanted: Sequence[int]) -> Order | None:
    """Return how an array of `shape` is looked at as one of the shape `wanted`.

    Returns
    -------
    tuple of int or None
        None: they differ by more than axes of length 1.
    """
    order: list[int | None] = []
    at = 0
    for n in wanted:
        while at < len(shape) and shape[at] == 1 != n:
            at += 1
        if at < len(shape) and shape[at] == n:
            order.append(at)
            at += 1
        elif n == 1:
            order.append(None)
        else:
            return None
    return tuple(order) if all(n == 1 for n in shape[at:]) else None


def arranged(pixels: Any, order: Order) -> Any:
    """Return an array in another order of its axes, which keep their sequence.

    Returns
    -------
    array
        A view of one in memory, which is written to with it; any other one is read
        when it is sliced.
    """
    every = range(len(pixels.shape))
    if order == tuple(every):
        return pixels
    if not isinstance(pixels, np.ndarray):
        return LazyArray(pixels, order, name="The layer")
    dropped = tuple(axis for axis in every if axis not in order)
    added = tuple(i for i, axis in enumerate(order) if axis is None)
    return np.expand_dims(np.squeeze(pixels, dropped), added)


def brought_back(places: Sequence[Any], order: Order, ndim: int) -> tuple[Any, ...]:
    """Return places in an arranged array as places in the array itself.

    Parameters
    ----------
    places
        Indices, one array per axis of the arranged array.
    order
        As it was arranged.
    ndim
        Axes of the array itself.
    """
    first = np.zeros_like(places[0])
    return tuple(
        places[order.index(axis)] if axis in order else first for axis in range(ndim)
    )
