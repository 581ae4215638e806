"""Real files of microscopes and other programs: what is known of them is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.errors import ImageFileError
from napari_unet.io.folders import list_images, pair_by_stem
from napari_unet.io.images import read_image
from napari_unet.io.overlay import overlay
from napari_unet.io.planes import pick_plane, take_plane

pytestmark = pytest.mark.shared


@pytest.fixture
def formats(shared_data: Path) -> Path:
    return shared_data / "large_and_formats"


def test_a_slide(formats: Path) -> None:
    path = formats / "CMU-1-Small-Region.svs"
    source = read_image(path)
    assert (source.axes, source.shape, source.rgb) == ("YXC", (2967, 2220, 3), True)
    assert source.pixel_size == {"Y": 0.499, "X": 0.499}
    assert source.chunks == (240, 240, 3)
    expected = tifffile.imread(path, series=0)
    region = (slice(2800, 2967), slice(400, 900))
    np.testing.assert_array_equal(source.data[region], expected[region])
    source.close()
    thumbnail = read_image(path, series=1)
    assert (thumbnail.shape, thumbnail.pixel_size) == ((768, 574, 3), {})
    thumbnail.close()


def test_a_mosaic_in_tiles(formats: Path) -> None:
    path = formats / "hela_mosaic_2800x3300_image.ome.tif"
    source = read_image(path)
    assert (source.axes, source.shape, source.dtype) == ("YX", (2800, 3300), np.uint16)
    assert (source.chunks, source.pixel_size) == ((256, 256), {})
    np.testing.assert_array_equal(np.asarray(source.data), tifffile.imread(path))
    source.close()


@pytest.mark.parametrize("letter", "CTZ")
def test_small_ome_tiffs_of_bio_formats(formats: Path, letter: str) -> None:
    path = formats / f"qupath_cells-2{letter.lower()}.ome.tif"
    source = read_image(path)
    assert (source.axes, source.shape) == (f"{letter}YX", (2, 131, 93))
    assert (source.axes_known, source.dtype) == (True, np.uint8)
    depth = {"Z": 1.0} if letter == "Z" else {}
    assert source.pixel_size == {"Y": 0.25, "X": 0.25, **depth}
    np.testing.assert_array_equal(np.asarray(source.data), tifffile.imread(path))
    source.close()


def test_ome_zarr_with_time_channels_and_labels(formats: Path) -> None:
    path = formats / "tubhiswt4D_sub.ome.zarr"
    source = read_image(path)
    assert (source.axes, source.shape) == ("TCZYX", (3, 1, 2, 512, 512))
    assert (source.axes_known, source.channel_names) == (True, ("channel_0",))
    level = zarr.open_array(str(path / "0"), mode="r")
    np.testing.assert_array_equal(source.data[1, 0, :, 99:300], level[1, 0, :, 99:300])
    labels = read_image(path / "labels" / "embryo")
    assert (labels.axes, labels.shape) == ("TZYX", (3, 2, 512, 512))
    plane = pick_plane(labels.data, labels.axes)
    shown = take_plane(labels.data, labels.axes, plane=plane)
    assert shown.any()
    image = take_plane(source.data, source.axes, plane=plane)
    assert overlay(image, shown).shape == (512, 512, 3)


def test_a_plate(formats: Path) -> None:
    path = formats / "plate_ones_mip.ome.zarr"
    with pytest.raises(ImageFileError, match=r"plate with the wells B/03\. Name one"):
        read_image(path)
    source = read_image(path / "B" / "03" / "0")
    assert (source.axes, source.shape) == ("CZYX", (2, 1, 1080, 1280))
    assert source.pixel_size == {"Z": 1.0, "Y": 0.1625, "X": 0.1625}
    assert source.name == "plate_ones_mip_B_03_0"
    assert np.asarray(source.data[:, 0, :9, :9]).min() == 1


def test_a_small_zarr_of_floats(formats: Path) -> None:
    source = read_image(formats / "ome-zarr-examples_image-03" / "image-03.zarr")
    assert (source.axes, source.dtype) == ("ZYX", np.float64)


def test_a_folder_of_formats_is_listed(formats: Path) -> None:
    names = [path.name for path in list_images([formats])]
    assert "CMU-1-Small-Region.svs" in names
    assert "tubhiswt4D_sub.ome.zarr" in names
    assert "hela_mosaic_2800x3300_labels.tif" not in names


@pytest.mark.parametrize(
    ("name", "axes", "rgb"),
    [
        ("dsb2018_fluo", "YX", False),
        ("dsb2018_brightfield", "YXC", True),
        ("isbi2012_em", "YX", False),
        ("bbbc050_mouse_embryo_3d", "ZYX", False),
    ],
)
def test_image_sets_are_listed_paired_and_read(
    shared_data: Path, name: str, axes: str, rgb: bool
) -> None:
    folder = shared_data / name / "train"
    images, labels = list_images([folder / "images"]), list_images([folder / "labels"])
    pairs = pair_by_stem(images, labels)
    assert len(pairs) == len(images) == len(labels)
    for path, truth_path in pairs[:3]:
        source, truth = read_image(path), read_image(truth_path)
        assert (source.axes, source.rgb) == (axes, rgb)
        assert truth.shape == tuple(
            n for a, n in zip(source.axes, source.shape, strict=True) if a != "C"
        )
        np.testing.assert_array_equal(np.asarray(source.data), tifffile.imread(path))
        source.close()
        truth.close()
