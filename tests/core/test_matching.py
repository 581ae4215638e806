"""The sparse assignment against every possible one, and against a dense solver."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_unet.core.matching import assign

# Quarters: exact in binary, and full of ties.
CANDIDATES = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(1, 4), max_size=10
)


def arrays(candidates):
    rows = np.array([row for row, _ in candidates], np.intp)
    cols = np.array([col for _, col in candidates], np.intp)
    return rows, cols, np.array([w / 4 for w in candidates.values()])


def every_assignment(candidates):
    """Yield each one-to-one subset of the candidates."""
    if not candidates:
        yield []
        return
    (row, col), *rest = candidates
    yield from every_assignment(rest)
    free = [pair for pair in rest if pair[0] != row and pair[1] != col]
    for others in every_assignment(free):
        yield [(row, col), *others]


@pytest.mark.parametrize("most_pairs", [False, True])
@settings(deadline=None)
@given(CANDIDATES)
def test_no_assignment_is_better(most_pairs, candidates):
    rows, cols, weights = arrays(candidates)
    chosen = assign(rows, cols, weights, most_pairs=most_pairs)
    assert len(set(rows[chosen])) == len(set(cols[chosen])) == len(chosen)

    def worth(pairs):
        total = sum(Fraction(candidates[pair], 4) for pair in pairs)
        return (len(pairs), total) if most_pairs else total

    picked = [list(candidates)[at] for at in chosen]
    best = max(map(worth, every_assignment(list(candidates))))
    assert worth(picked) == best


@pytest.mark.parametrize("most_pairs", [False, True])
@settings(deadline=None)
@given(CANDIDATES, st.randoms())
def test_order_of_the_candidates_does_not_matter(most_pairs, candidates, random):
    def pairs(given_candidates):
        rows, cols, weights = arrays(given_candidates)
        chosen = assign(rows, cols, weights, most_pairs=most_pairs)
        assert (np.diff(chosen) > 0).all()
        return {(rows[at], cols[at]) for at in chosen}

    shuffled = list(candidates.items())
    random.shuffle(shuffled)
    assert pairs(dict(shuffled)) == pairs(candidates)


@pytest.mark.parametrize("most_pairs", [False, True])
def test_a_large_group_equals_the_dense_solver(most_pairs):
    rng = np.random.default_rng(0)
    n_rows, n_cols = 150, 170
    dense = rng.uniform(0.01, 1, (n_rows, n_cols))
    dense[rng.random(dense.shape) > 0.02] = 0
    rows, cols = np.nonzero(dense)
    chosen = assign(rows, cols, dense[rows, cols], most_pairs=most_pairs)
    value = dense / (2 * n_rows) + (dense > 0) if most_pairs else dense
    best = linear_sum_assignment(value, maximize=True)
    total = math.fsum(dense[rows[chosen], cols[chosen]])
    assert total == pytest.approx(math.fsum(dense[best]), abs=1e-9)
    assert not most_pairs or len(chosen) == np.count_nonzero(dense[best])


def test_most_pairs_and_greatest_sum_differ():
    rows, cols = np.array([0, 0, 1]), np.array([0, 1, 0])
    weights = np.array([0.9, 0.3, 0.3])
    assert assign(rows, cols, weights).tolist() == [0]
    assert assign(rows, cols, weights, most_pairs=True).tolist() == [1, 2]
    rows, cols = np.array([0, 1, 0, 1, 2]), np.array([0, 1, 1, 2, 0])
    weights = np.array([1.0, 1.0, 0.01, 0.01, 0.01])
    assert assign(rows, cols, weights).tolist() == [0, 1]
    assert assign(rows, cols, weights, most_pairs=True).tolist() == [2, 3, 4]


@pytest.mark.parametrize("most_pairs", [False, True])
def test_ties_go_to_the_lower_ids(most_pairs):
    def chosen(*pairs):
        rows, cols = np.array(pairs).T
        weights = np.full(len(pairs), 1 / 3)
        picked = assign(rows, cols, weights, most_pairs=most_pairs)
        return [pairs[at] for at in picked]

    assert chosen((0, 0), (0, 1)) == [(0, 0)]
    assert chosen((3, 2), (5, 2)) == [(3, 2)]
    assert chosen((0, 0), (0, 1), (1, 0), (1, 1)) == [(0, 0), (1, 1)]
    for n_rows, n_cols in product(range(1, 7), repeat=2):
        every = list(product(range(n_rows), range(n_cols)))
        assert chosen(*every) == [(at, at) for at in range(min(n_rows, n_cols))]


def test_nothing_to_assign():
    none = np.zeros(0, np.intp)
    assert assign(none, none, np.zeros(0)).shape == (0,)
