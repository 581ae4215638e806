"""Masks of 0 and 255 where classes are expected: 255 is class 1 in them.

Anywhere else 255 means "not annotated", so masks are recognised by all images together:
none may hold another number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHITE = 255
NOTE = "The labels are masks of 0 and 255: 255 is taken for class 1."


def are_masks(labels: Iterable[NDArray[Any]]) -> bool:
    """Return whether all that is annotated is 0 or 255, and 255 does occur.

    Parameters
    ----------
    labels
        Of each image, whole numbers; negative is not annotated.
    """
    found = False
    for values in labels:
        white = values == WHITE
        if ((values > 0) & ~white).any():
            return False
        found = found or bool(white.any())
    return found


def without_void(labels: NDArray[Any]) -> NDArray[Any]:
    """Return classes with -1 where 255 says that nothing is annotated.

    Parameters
    ----------
    labels
        Whole numbers of a signed type.
    """
    return np.where(labels == WHITE, labels.dtype.type(-1), labels)


def as_classes(labels: NDArray[Any]) -> NDArray[Any]:
    """Return a mask as classes 0 and 1; what is not annotated stays negative."""
    return np.where(labels == WHITE, labels.dtype.type(1), labels)
