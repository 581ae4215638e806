"""Tables: one row per object, as columns; those of samples become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = dict[str, NDArray[Any]]


def place_rows(table: Table, position: Mapping[str, int]) -> Table:
    """Return a table with a column before the others for each axis of a sample.

    Parameters
    ----------
    table
        One row per object, with ``label``.
    position
        Where the sample lies, by axis letter; columns are named in lower case.
    """
    n_objects = len(table["label"])
    columns = {
        axis.lower(): np.full(n_objects, at, np.int64) for axis, at in position.items()
    }
    return columns | table


def join_tables(tables: Sequence[Table]) -> Table:
    """Return the rows of tables of the same columns, one after the other."""
    return {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0]
    }
