"""The two nearest distinct cells, against the distance to every pixel of every cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from napari_unet.core.nearest_cells import nearest_two
from napari_unet.errors import AxesError, SettingsError, UNetError

quick = settings(deadline=None, max_examples=100)

shapes = st.one_of(
    st.tuples(st.integers(1, 16), st.integers(1, 16)),
    st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
)


@st.composite
def label_images(draw, lowest=-1, highest=6):
    """Mostly background: the envelopes then reach over long distances."""
    shape = draw(shapes)
    elements = st.integers(lowest, highest)
    return draw(arrays(np.int32, shape, elements=elements, fill=st.just(0)))


@st.composite
def images_with_spacing(draw):
    labels = draw(label_images())
    size = st.floats(0.1, 5.0)
    return labels, draw(st.tuples(*[size] * labels.ndim))


def by_all_pixels(labels, spacing=1.0):
    """Squared distances to the two nearest cells, from all pairs of pixels."""
    places = np.moveaxis(np.indices(labels.shape), 0, -1) * np.asarray(spacing)
    squares = [np.full(labels.shape, np.inf)] * 2
    for cell in np.unique(labels[labels > 0]):
        offsets = places[..., None, :] - places[labels == cell]
        squares.append((offsets**2).sum(-1).min(-1))
    return np.sort(squares, axis=0)[:2]


@quick
@given(label_images())
def test_unit_spacing_is_exact_to_the_bit(labels):
    expected = np.sqrt(by_all_pixels(labels).astype(np.float32))
    np.testing.assert_array_equal(nearest_two(labels), expected)


@quick
@given(images_with_spacing())
def test_anisotropic_spacing(case):
    labels, spacing = case
    expected = np.sqrt(by_all_pixels(labels, spacing))
    np.testing.assert_allclose(
        nearest_two(labels, spacing=spacing), expected, rtol=5e-7
    )


@quick
@given(label_images(), st.floats(0, 8))
def test_max_distance_is_exact_inside_and_inf_beyond(labels, limit):
    for limited, free in zip(
        nearest_two(labels, max_distance=limit), nearest_two(labels), strict=True
    ):
        inside = free <= limit
        np.testing.assert_array_equal(limited[inside], free[inside])
        assert np.isinf(limited[~inside]).all()


@pytest.mark.parametrize("square", [1, 2, 3, 5, 6, 8, 10, 13])
@pytest.mark.parametrize("unit", [1.0, 0.3, 0.108])
def test_max_distance_includes_itself(square, unit):
    labels = np.zeros((5, 5, 5), np.int32)
    labels[0, 0, 0] = 1
    squares = (np.indices(labels.shape) ** 2).sum(0)
    d1, _ = nearest_two(labels, spacing=unit, max_distance=unit * square**0.5)
    np.testing.assert_array_equal(np.isfinite(d1), squares <= square)


@quick
@given(label_images(), st.data())
def test_flips_and_transposition_change_nothing(labels, data):
    axes = data.draw(st.permutations(range(labels.ndim)))
    flips = tuple(
        data.draw(st.sampled_from([slice(None), slice(None, None, -1)])) for _ in axes
    )
    turned = nearest_two(labels.transpose(axes)[flips])
    for there, here in zip(turned, nearest_two(labels), strict=True):
        np.testing.assert_array_equal(there, here.transpose(axes)[flips])


@quick
@given(label_images(), st.permutations(range(1, 7)), st.sampled_from([1, 2**20, 2**40]))
def test_names_of_cells_do_not_matter(labels, names, factor):
    table = np.array([0, *names, -7], np.int64)  # the last entry is read by label -1
    renamed = table[labels] * factor
    np.testing.assert_array_equal(nearest_two(renamed), nearest_two(labels))


def scattered(shape, n_cells, seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for cell in range(1, n_cells + 1):
        corner = [int(rng.integers(0, side)) for side in shape]
        labels[tuple(slice(c, c + rng.integers(1, 9)) for c in corner)] = cell
    return labels


@pytest.mark.parametrize(
    ("shape", "n_cells"),
    [
        ((150, 170), 40),
        ((150, 170), 3),
        ((1, 400), 12),
        ((400, 1), 12),
        ((20, 40, 50), 25),
    ],
)
def test_larger_images_against_one_transform_per_cell(shape, n_cells):
    labels = scattered(shape, n_cells, seed=n_cells)
    cells = np.unique(labels[labels > 0])
    all_cells = [distance_transform_edt(labels != cell) for cell in cells]
    expected = np.sort(all_cells, axis=0)[:2]
    np.testing.assert_allclose(nearest_two(labels), expected, rtol=2e-7)


def test_row_of_cells_far_away():
    """Thin regions at a distance far beyond their width, seen along the other axis."""
    labels = np.zeros((200, 60), np.int32)
    labels[0, ::2] = np.arange(1, 31)
    for view in (labels, labels.T):
        expected = np.sqrt(by_all_pixels(view).astype(np.float32))
        np.testing.assert_array_equal(nearest_two(view), expected)


@pytest.mark.parametrize("fill", [0, -1])
def test_without_cells_all_is_inf(fill):
    for distance in nearest_two(np.full((3, 4), fill)):
        assert distance.dtype == np.float32
        assert np.isinf(distance).all()


def test_with_one_cell_only_the_second_is_inf():
    labels = np.zeros((3, 4), np.uint8)
    labels[1, 1] = 200
    d1, d2 = nearest_two(labels)
    np.testing.assert_allclose(d1, distance_transform_edt(labels == 0), rtol=1e-7)
    assert np.isinf(d2).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4)])
def test_empty_images_are_images(shape):
    assert [d.shape for d in nearest_two(np.zeros(shape, int))] == [shape, shape]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64, np.uint64]
)
def test_every_integer_type(dtype):
    labels = scattered((12, 15), 4, seed=1)
    np.testing.assert_array_equal(
        nearest_two(labels.astype(dtype)), nearest_two(labels)
    )


def test_largest_ids_stay_apart():
    labels = np.zeros((1, 5), np.uint64)
    labels[0, [0, 4]] = 2**64 - 1, 2**64 - 2
    np.testing.assert_array_equal(nearest_two(labels)[1], [[4, 3, 2, 3, 4]])


def test_mask_is_one_cell():
    mask = np.eye(4, dtype=bool)
    d1, d2 = nearest_two(mask)
    assert (d1[mask] == 0).all()
    assert np.isinf(d2).all()


def test_argument_is_left_alone_and_may_be_read_only():
    labels = scattered((9, 9), 3, seed=2)
    labels[0, 0] = -5
    before = labels.copy()
    labels.flags.writeable = False
    nearest_two(labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("labels", "options", "error"),
    [
        (np.zeros(5, int), {}, AxesError),
        (np.zeros((2, 2, 2, 2), int), {}, AxesError),
        (np.zeros((2, 2)), {}, AxesError),
        (np.zeros((2, 2), int), {"spacing": (1, 1, 1)}, AxesError),
        (np.zeros((2, 2), int), {"spacing": (1, 0)}, SettingsError),
        (np.zeros((2, 2), int), {"spacing": np.nan}, SettingsError),
        (np.zeros((2, 2), int), {"max_distance": -1}, SettingsError),
        (np.zeros((2, 2), int), {"max_distance": np.nan}, SettingsError),
    ],
)
def test_mistakes_are_refused_with_a_remedy(labels, options, error):
    with pytest.raises(error) as caught:
        nearest_two(labels, **options)
    assert isinstance(caught.value, UNetError)
    assert caught.value.remedy
