"""Training data: arrays and files in every shape become one form, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.pairs import Pair
from napari_unet.io.training_data import from_arrays, load_pair
from napari_unet.io.training_image import as_planes, by_components

Y, X = 10, 14


def labels_of(*shape: int) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    labels[..., 1:5, 1:5], labels[..., 5:9, 6:12] = 1, 2
    return labels


@pytest.mark.parametrize(
    ("image", "labels", "axes", "expected"),
    [
        ((Y, X), (Y, X), None, (1, Y, X)),
        ((6, Y, X), (6, Y, X), None, (1, 6, Y, X)),
        ((3, Y, X), (Y, X), None, (3, Y, X)),
        ((Y, X, 3), (Y, X), None, (3, Y, X)),
        ((Y, X, 2), (Y, X), "YXC", (2, Y, X)),
        ((6, 2, Y, X), (6, Y, X), "ZCYX", (2, 6, Y, X)),
        ((1, 1, 1, Y, X), (Y, X), "TCZYX", (1, Y, X)),
    ],
)
def test_axes_that_labels_lack_are_channels(
    image: tuple[int, ...],
    labels: tuple[int, ...],
    axes: str | None,
    expected: tuple[int, ...],
) -> None:
    pixels = np.arange(np.prod(image), dtype=np.float32).reshape(image)
    (found,) = from_arrays([(pixels, labels_of(*labels))], axes=axes)
    assert found.image.shape == expected
    assert found.labels.shape == expected[1:]
    assert found.labels.dtype == np.int32
    assert found.name == "image 1"
    # No pixel is lost or moved between channels.
    assert sorted(found.image.ravel()) == sorted(pixels.ravel())


def test_frames_are_images_of_one_group() -> None:
    pixels = np.zeros((3, Y, X), np.uint8)
    labels = labels_of(3, Y, X).astype(np.int32)
    labels[1] = -1  # a frame that nobody annotated is left out
    found = from_arrays([(pixels, labels)], axes="TYX")
    assert [image.name for image in found] == ["image 1_t000", "image 1_t002"]
    assert {image.group for image in found} == {"image 1"}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_labels_of_any_type_become_int32(dtype: type) -> None:
    labels = labels_of(Y, X).astype(dtype)
    (found,) = from_arrays([(np.zeros((Y, X)), labels)])
    np.testing.assert_array_equal(found.labels, labels.astype(np.int32))


def test_values_that_mean_not_annotated() -> None:
    labels = labels_of(Y, X).astype(np.int32)
    labels[0], labels[9] = 7, -3
    (found,) = from_arrays([(np.zeros((Y, X)), labels)], ignore_label=7)
    assert (found.labels[0] == -1).all()
    assert (found.labels[9] == -1).all()
    assert set(np.unique(found.labels)) == {-1, 0, 1, 2}


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ("ab", "no pair"),
        ((np.zeros((Y, X)),), "no pair"),
        ((np.zeros((Y, X), complex), labels_of(Y, X)), "not pixels"),
        ((np.zeros((Y, X)), labels_of(Y, X) + 0.5), "holds fractions"),
        ((np.zeros((Y, X, 3)), np.zeros((Y, X, 3), int)), "colour picture"),
        ((np.zeros((Y, X)), labels_of(X, Y)), "image 1"),
    ],
)
def test_what_is_no_pair_is_named(pair: Any, problem: str) -> None:
    with pytest.raises(AxesError, match=problem):
        from_arrays([pair])


def test_no_pairs_are_refused() -> None:
    with pytest.raises(AxesError, match="No annotated images"):
        from_arrays([])


def test_masks_become_connected_components() -> None:
    mask = (labels_of(Y, X) > 0) * 255
    mask = mask.astype(np.int32)
    mask[0] = -1
    (found,) = from_arrays([(np.zeros((Y, X)), mask)])
    parts = by_components(found).labels
    assert (parts[0] == -1).all()
    np.testing.assert_array_equal(parts[1:], labels_of(Y, X)[1:])
    assert (found.labels == 255).any()  # the one that was given stays


def test_planes_of_a_stack_are_one_group() -> None:
    labels = labels_of(4, Y, X).astype(np.int32)
    labels[2] = -1
    pixels = np.arange(4 * Y * X, dtype=np.float32).reshape(4, Y, X)
    (stack,) = from_arrays([(pixels, labels)])
    planes = as_planes(stack)
    assert [plane.name for plane in planes] == [f"image 1_z00{z}" for z in (0, 1, 3)]
    assert {plane.group for plane in planes} == {"image 1"}
    np.testing.assert_array_equal(planes[2].image[0], pixels[3])
    assert as_planes(planes[0]) == [planes[0]]


def test_files_of_different_size_are_named(tmp_path: Path) -> None:
    paths = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(paths[0], np.zeros((Y, X), np.uint8))
    tifffile.imwrite(paths[1], np.zeros((Y, X + 1), np.uint8))
    with pytest.raises(AxesError, match="cell 7"):
        load_pair(Pair("cell 7", paths[:1], paths[1:], "named"))
    with pytest.raises(ImageFileError, match="one size"):
        load_pair(Pair("cell 7", paths, paths[:1], "named"))


def test_pixel_size_comes_from_the_file(tmp_path: Path) -> None:
    image, labels = tmp_path / "a.ome.tif", tmp_path / "b.tif"
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(image, np.zeros((Y, X), np.uint8), metadata=metadata, ome=True)
    tifffile.imwrite(labels, labels_of(Y, X))
    (found,) = load_pair(Pair("a", (image,), (labels,), "named"))
    assert dict(found.pixel_size) == {"Y": 0.5, "X": 0.25}
