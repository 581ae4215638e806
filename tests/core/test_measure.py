"""Columns of measurements against NumPy on the pixels of each object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.measure import measure_objects, measure_stack
from napari_unet.errors import AxesError, SettingsError, UNetError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6)
AXES = {2: "YX", 3: "ZYX"}
IDS = np.array([0, 1, 4, 900, 2**31 + 5])


def labels_and_images(shape):
    return st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)).map(IDS.__getitem__),
        hnp.arrays(np.float32, (2, *shape), elements=st.integers(-100, 100).map(float)),
    )


@settings(deadline=None)
@given(SHAPES.flatmap(labels_and_images))
def test_columns_equal_numpy_on_the_pixels(pair):
    labels, image = pair
    axes = AXES[labels.ndim]
    size = (2.0, 0.5, 0.25)[-labels.ndim :]
    table = measure_objects(labels, image, axes=axes, pixel_size=size)
    assert table["label"].tolist() == [i for i in np.unique(labels).tolist() if i]
    for row, label in enumerate(table["label"]):
        pixels = np.nonzero(labels == label)
        area = len(pixels[0])
        assert table["area"][row] == area
        physical = table["area_um2" if labels.ndim == 2 else "volume_um3"][row]
        assert physical == pytest.approx(area * np.prod(size))
        border = False
        for name, along, length in zip(axes.lower(), pixels, labels.shape, strict=True):
            assert table[f"centroid_{name}"][row] == pytest.approx(along.mean())
            assert table[f"bbox_min_{name}"][row] == along.min()
            assert table[f"bbox_max_{name}"][row] == along.max() + 1
            border |= along.min() == 0 or along.max() == length - 1
        assert table["touches_border"][row] == border
        d = table["equivalent_diameter"][row]
        ball = np.pi / 4 * d**2 if labels.ndim == 2 else np.pi / 6 * d**3
        assert ball == pytest.approx(area)
        for channel, values in enumerate(image):
            inside = values[labels == label]
            mean = table[f"intensity_mean_{channel}"][row]
            assert mean == pytest.approx(inside.mean(), abs=1e-4)
            assert table[f"intensity_min_{channel}"][row] == inside.min()
            assert table[f"intensity_max_{channel}"][row] == inside.max()


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_columns_and_dtypes_do_not_depend_on_the_objects(axes):
    shape = (5,) * len(axes)
    labels, image = np.zeros(shape, np.uint16), np.ones((3, *shape), np.uint8)
    options = {"axes": axes, "pixel_size": (1,) * len(axes)}
    empty = measure_objects(labels, image, **options)
    labels.flat[7] = 3
    full = measure_objects(labels, image, **options)
    assert list(empty) == list(full)
    for name, column in empty.items():
        assert column.shape == (0,)
        assert full[name].shape == (1,)
        assert column.dtype == full[name].dtype
    assert full["label"].dtype == full["area"].dtype == np.int64
    assert full["touches_border"].dtype == bool


def test_names_of_the_columns():
    table = measure_objects(
        np.eye(3, dtype=int), np.ones((1, 3, 3)), axes="YX", pixel_size=(1, 1)
    )
    assert list(table) == [
        *("label", "area", "centroid_y", "centroid_x"),
        *("bbox_min_y", "bbox_min_x", "bbox_max_y", "bbox_max_x"),
        *("equivalent_diameter", "touches_border"),
        *("intensity_mean_0", "intensity_min_0", "intensity_max_0", "area_um2"),
    ]
    plain = measure_objects(np.eye(3, dtype=int), axes="YX")
    assert list(plain) == list(table)[:10]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float16, np.float64])
def test_any_image_dtype(dtype):
    labels = np.ones((300, 300), np.uint8)
    image = np.arange(90_000).reshape(1, 300, 300) % 3 == 1
    table = measure_objects(labels, image.astype(dtype), axes="YX")
    assert table["intensity_mean_0"] == pytest.approx(1 / 3, rel=1e-6)
    assert table["intensity_min_0"].tolist() == [0.0]
    assert table["intensity_max_0"].tolist() == [1.0]


def test_an_image_without_channels_and_labels_without_pixels():
    labels = np.ones((2, 2), int)
    assert "intensity_mean_0" not in measure_objects(
        labels, np.zeros((0, 2, 2)), axes="YX"
    )
    assert measure_objects(labels[:0], np.zeros((1, 0, 2)), axes="YX")["area"].size == 0


@pytest.mark.parametrize(
    ("axes", "spatial_axes"), [("TYX", "YX"), ("TZYX", "YX"), ("ZTYX", "ZYX")]
)
def test_a_stack_is_measured_sample_by_sample(axes, spatial_axes):
    rng = np.random.default_rng(0)
    shape = {"T": 3, "Z": 2, "Y": 6, "X": 5}
    labels = rng.integers(0, 4, [shape[a] for a in axes])
    image = rng.random((2, *labels.shape))
    options = {"spatial_axes": spatial_axes, "pixel_size": (0.5,) * len(spatial_axes)}
    table = measure_stack(labels, image, axes=axes, **options)
    others = [a for a in axes if a not in spatial_axes]
    assert list(table)[: len(others)] == [a.lower() for a in others]
    row = 0
    for position in np.ndindex(*(shape[a] for a in others)):
        place = dict(zip(others, position, strict=True))
        index = tuple(place.get(a, slice(None)) for a in axes)
        single = measure_objects(
            labels[index],
            image[(slice(None), *index)],
            axes=spatial_axes,
            pixel_size=options["pixel_size"],
        )
        rows = slice(row, row + len(single["label"]))
        for name, column in single.items():
            assert np.array_equal(table[name][rows], column)
        for a in others:
            assert (table[a.lower()][rows] == place[a]).all()
        row = rows.stop
    assert row == len(table["label"])


def test_a_stack_without_frames_has_the_same_columns():
    options = {"axes": "TYX", "spatial_axes": "YX", "pixel_size": (1, 1)}
    full = measure_stack(np.ones((2, 3, 3), int), np.ones((1, 2, 3, 3)), **options)
    empty = measure_stack(np.ones((0, 3, 3), int), np.ones((1, 0, 3, 3)), **options)
    assert {name: column.dtype for name, column in full.items()} == {
        name: column.dtype for name, column in empty.items()
    }
    assert all(column.shape == (0,) for column in empty.values())


def test_a_stack_without_other_axes_is_one_sample():
    labels = np.eye(4, dtype=int)
    stack = measure_stack(labels, axes="YX", spatial_axes="YX")
    single = measure_objects(labels, axes="YX")
    assert list(stack) == list(single)
    assert all(np.array_equal(stack[name], single[name]) for name in single)


def test_what_does_not_fit_is_refused():
    labels = np.ones((3, 4), int)
    with pytest.raises(AxesError, match="do not fit labels with 2 axes"):
        measure_objects(labels, axes="ZYX")
    with pytest.raises(AxesError, match="do not fit labels with 2 axes"):
        measure_objects(labels, axes="XX")
    with pytest.raises(AxesError, match="cannot be measured"):
        measure_objects(labels[0], axes="X")
    with pytest.raises(AxesError, match="An image of the shape"):
        measure_objects(labels, np.ones((3, 4)), axes="YX")
    with pytest.raises(AxesError, match="An image of the shape"):
        measure_stack(labels[None], labels, axes="TYX", spatial_axes="YX")
    with pytest.raises(AxesError, match="1 pixel sizes"):
        measure_objects(labels, axes="YX", pixel_size=(1,))
    with pytest.raises(SettingsError, match="not above 0"):
        measure_objects(labels, axes="YX", pixel_size=(1, 0))
    with pytest.raises(AxesError, match="do not occur in this order"):
        measure_stack(labels, axes="YX", spatial_axes="XY")
    with pytest.raises(UNetError, match="integers"):
        measure_objects(labels * 1.0, axes="YX")
    with pytest.raises(UNetError, match="negative"):
        measure_objects(-labels, axes="YX")
