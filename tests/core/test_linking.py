"""Links along an axis against a dense assignment, and on shapes known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_unet.core.linking import link_slices
from napari_unet.errors import AxesError, SettingsError, UNetError

STACKS = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5).flatmap(
    lambda shape: hnp.arrays(np.int32, shape, elements=st.integers(0, 4)).map(
        lambda stack: np.sort(stack, axis=-1)
    )
)
IOUS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


def ids_of(image):
    return [i for i in np.unique(image).tolist() if i]


def dense_iou(one, other):
    table = np.zeros((len(ids_of(one)), len(ids_of(other))))
    for row, i in enumerate(ids_of(one)):
        for col, j in enumerate(ids_of(other)):
            a, b = one == i, other == j
            table[row, col] = (a & b).sum() / (a | b).sum()
    return table


@settings(deadline=None, max_examples=150)
@given(STACKS, st.integers(-4, 3), IOUS)
def test_links_are_the_best_assignment_of_neighbours(stack, axis, min_iou):
    axis = axis % stack.ndim
    linked = link_slices(stack, axis=axis, min_iou=min_iou)
    old, new = np.moveaxis(stack, axis, 0), np.moveaxis(linked, axis, 0)
    for at in range(len(old)):
        # The same objects, under other names.
        names = set(zip(old[at].flat, new[at].flat, strict=True))
        assert len(names) == len(np.unique(old[at])) == len(np.unique(new[at]))
        assert np.array_equal(old[at] == 0, new[at] == 0)
    for at in range(1, len(old)):
        iou = dense_iou(new[at - 1], new[at])
        ids = np.equal.outer(ids_of(new[at - 1]), ids_of(new[at]))
        assert (iou[ids] >= min_iou).all()
        assert (iou[ids] > 0).all()
        admissible = np.where(iou >= min_iou, iou, 0)
        best = admissible[linear_sum_assignment(admissible, maximize=True)].sum()
        assert iou[ids].sum() == pytest.approx(best)


@settings(deadline=None)
@given(STACKS, st.integers(0, 3), IOUS)
def test_ids_count_up_in_raster_order(stack, axis, min_iou):
    linked = link_slices(stack, axis=axis % stack.ndim, min_iou=min_iou)
    assert linked.dtype == np.int32
    _, first = np.unique(linked[linked > 0], return_index=True)
    assert (np.diff(first) > 0).all()
    assert ids_of(linked) == list(range(1, len(first) + 1))


@settings(deadline=None)
@given(STACKS, IOUS)
def test_an_id_never_skips_a_slice(stack, min_iou):
    linked = link_slices(stack, min_iou=min_iou)
    for i in ids_of(linked):
        at = np.unique(np.nonzero(linked == i)[0])
        assert np.array_equal(at, np.arange(at[0], at[-1] + 1))


@settings(deadline=None)
@given(STACKS, IOUS)
def test_only_the_order_of_the_ids_matters(stack, min_iou):
    spread = np.array([0, 3, 90, 4000, 2**40])[stack]
    expected = link_slices(stack, min_iou=min_iou)
    assert np.array_equal(link_slices(spread, min_iou=min_iou), expected)


def disk(centre, radius, size=32):
    y, x = np.indices((size, size))
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def numbered_anyhow(masks, rng):
    """Build a stack in which every slice numbers its objects in its own way."""
    stack = np.zeros((len(masks), *masks[0][0].shape), np.uint16)
    for section, objects in zip(stack, masks, strict=True):
        for i, mask in zip(rng.permutation(9)[: len(objects)], objects, strict=True):
            section[mask] = i + 1
    return stack


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cylinders_have_one_id_each(axis):
    rng = np.random.default_rng(0)
    masks = [
        [disk((8, 8), 6), disk((8 + z // 3, 22), 5), disk((24, 12), 4)]
        for z in range(9)
    ]
    stack = np.moveaxis(numbered_anyhow(masks, rng), 0, axis)
    linked = np.moveaxis(link_slices(stack, axis=axis, min_iou=0.25), axis, 0)
    assert linked.max() == 3
    for section, objects in zip(linked, masks, strict=True):
        found = [np.unique(section[mask]).tolist() for mask in objects]
        assert found == [[1], [2], [3]]


def test_touching_columns_keep_apart():
    rng = np.random.default_rng(1)
    left = np.indices((16, 16))[1] < 8
    stack = numbered_anyhow([[left, ~left]] * 6, rng)
    linked = link_slices(stack, min_iou=0.25)
    assert (linked == np.where(left, 1, 2)).all()


def test_a_gap_ends_an_object():
    column = np.zeros((5, 4, 4), int)
    column[:, 1:3, 1:3] = 1
    column[2] = 0
    linked = link_slices(column, min_iou=0.1)
    assert [linked[z].max() for z in range(5)] == [1, 1, 0, 2, 2]


def test_a_dividing_cell_keeps_its_id_in_the_larger_daughter():
    stack = np.array([[1] * 10, [1] * 4 + [2] * 6])
    linked = link_slices(stack, min_iou=0.25)
    assert linked.tolist() == [[1] * 10, [2] * 4 + [1] * 6]


def test_ties_go_to_the_lower_ids():
    halves = np.array([[5] * 6, [8] * 3 + [4] * 3])
    assert link_slices(halves, min_iou=0.25)[1].tolist() == [2] * 3 + [1] * 3
    crossed = np.array([[1, 1, 2, 2], [3, 4, 3, 4]])
    assert link_slices(crossed, min_iou=0.25)[1].tolist() == [1, 2, 1, 2]


def test_min_iou_is_reached_exactly():
    stack = np.array([[1] * 10, [1] * 3 + [0] * 7])
    assert link_slices(stack, min_iou=0.3).max() == 1
    assert link_slices(stack, min_iou=0.31).max() == 2


def test_reads_one_slice_at_a_time():
    class Lazy:
        shape, ndim = (4, 3, 3), 3

        def __getitem__(self, index):
            assert isinstance(index[0], int)
            return np.full((3, 3), index[0] + 1)

    assert (link_slices(Lazy(), min_iou=0.5) == 1).all()


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (4, 3, 3), (2,)])
def test_nothing_to_link(shape):
    linked = link_slices(np.zeros(shape, np.uint8), min_iou=0.25)
    assert linked.shape == shape
    assert not linked.any()


def test_the_input_stays_as_it_was():
    stack = np.arange(1, 13).reshape(3, 4)
    before = stack.copy()
    link_slices(stack, axis=1, min_iou=0.25)
    assert np.array_equal(stack, before)


def test_what_does_not_fit_is_refused():
    stack = np.ones((2, 3), int)
    with pytest.raises(AxesError, match="no axis 2"):
        link_slices(stack, axis=2, min_iou=0.25)
    with pytest.raises(SettingsError, match=r"1\.5"):
        link_slices(stack, min_iou=1.5)
    with pytest.raises(UNetError, match="negative"):
        link_slices(-stack[:1], min_iou=0.25)
    with pytest.raises(UNetError, match="integers"):
        link_slices(stack * 1.0, min_iou=0.25)
