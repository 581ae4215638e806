"""Choose the best one-to-one pairs among a few overlapping ones.

Scores pair truth with prediction, links pair one slice with the next. Both need an
assignment on a sparse list of candidates. Most candidates have no rival and are taken
at once; only groups of rivals are solved, each on its own. Every row of a group gets a
private column that means "left alone", so that a full matching always exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sums closer than this are a tie. Far above rounding, far below a pixel's effect.
TIE = 1e-10


def assign(
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    weights: NDArray[np.float64],
    *,
    most_pairs: bool = False,
) -> NDArray[np.intp]:
    """Return the candidates that form the best one-to-one assignment.

    Parameters
    ----------
    rows, cols
        The two partners of each candidate; a pair occurs once.
    weights
        Worth of each candidate, above 0 and at most 1 (its IoU).
    most_pairs
        False: the greatest sum of weights. True: the greatest number of pairs, and
        among those the greatest sum.

    Returns
    -------
    array of intp
        Ascending positions in `rows`. Of sums that are equal (within 1e-10) the one
        that pairs lower rows with lower columns wins.
    """
    if len(rows) == 0:
        return np.zeros(0, np.intp)
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(cols)[cols] == 1)
    rivals = np.flatnonzero(~alone)
    chosen = [np.flatnonzero(alone)]
    for group in _groups(rows[rivals], cols[rivals]):
        at = rivals[group]
        best = _assign_group(rows[at], cols[at], weights[at], most_pairs=most_pairs)
        chosen.append(at[best])
    return np.sort(np.concatenate(chosen))


def _groups(rows: NDArray[np.intp], cols: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split candidates into groups that share no row and no column."""
    if len(rows) == 0:
        return []
    # Here, because it takes a quarter of a second that opening a window need not pay.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = _ranks(rows), _ranks(cols)
    n_rows = int(first.max()) + 1
    size = n_rows + int(second.max()) + 1
    ones = np.ones(len(rows), np.int8)
    graph = coo_array((ones, (first, second + n_rows)), shape=(size, size))
    _, group_of_node = connected_components(graph, directed=False)
    group = group_of_node[first]
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _assign_group(
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    weights: NDArray[np.float64],
    *,
    most_pairs: bool,
) -> NDArray[np.intp]:
    """Solve one group of rivals."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    first, second = _ranks(rows), _ranks(cols)
    n_rows, n_cols = int(first.max()) + 1, int(second.max()) + 1
    value = weights + _preference(first, second, n_rows, n_cols)
    if most_pairs:
        # All weights together stay below one pair.
        value = 1.0 + value / (2.0 * min(n_rows, n_cols))
    # Each row takes exactly one column, so a constant changes nothing; it keeps the
    # costs positive, because the solver reads 0 as "no edge".
    constant = 1.0 + float(value.max())
    row, col = min_weight_full_bipartite_matching(
        coo_array(
            (
                np.append(constant - value, np.full(n_rows, constant)),
                (
                    np.append(first, np.arange(n_rows)),
                    np.append(second, n_cols + np.arange(n_rows)),
                ),
            ),
            shape=(n_rows, n_cols + n_rows),
        ).tocsr()
    )
    paired = col < n_cols
    return np.flatnonzero(
        np.isin(first * n_cols + second, row[paired] * n_cols + col[paired])
    )


def _preference(
    rows: NDArray[np.intp], cols: NDArray[np.intp], n_rows: int, n_cols: int
) -> NDArray[np.float64]:
    """Return the small bonus that settles ties.

    It falls with both ranks, and being their product it prefers parallel pairs
    (1-1, 2-2) to crossed ones (1-2, 2-1). A whole assignment collects less than `TIE`.
    """
    share = (1.0 - rows / n_rows) * (1.0 - cols / n_cols)
    return np.asarray(TIE / min(n_rows, n_cols) * share, np.float64)


def _ranks(values: NDArray[np.intp]) -> NDArray[np.intp]:
    """Replace values by 0, 1, 2, ... in their order."""
    return np.unique(values, return_inverse=True)[1]
