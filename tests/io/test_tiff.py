from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import ImageFileError
from napari_unet.io.images import ImageSource, read_image


def write(path: Path, array: np.ndarray, **options: Any) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, array, **options)
    return path


def assert_reads(source: ImageSource, array: np.ndarray, axes: str) -> None:
    assert (source.axes, source.shape) == (axes, array.shape)
    assert source.dtype == array.dtype.newbyteorder("=")
    assert source.dtype.isnative
    np.testing.assert_array_equal(np.asarray(source.data), array)


LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "big-endian": {"byteorder": ">"},
    "tiles": {"tile": (32, 16)},
    "compressed tiles": {"tile": (32, 32), "compression": "zlib"},
    "compressed strips": {"compression": "lzw", "rowsperstrip": 7},
    "predictor, big-endian": {
        "compression": "zlib",
        "predictor": True,
        "byteorder": ">",
    },
    "big": {"bigtiff": True, "compression": "zstd"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
def test_every_layout_and_type(
    tmp_path: Path, rng: np.random.Generator, layout: str, dtype: str
) -> None:
    array = rng.integers(0, 200, (3, 45, 70)).astype(dtype)
    path = write(tmp_path / "a.tif", array, metadata={"axes": "ZYX"}, **LAYOUTS[layout])
    source = read_image(path)
    assert_reads(source, array, "ZYX")
    np.testing.assert_array_equal(source.data[1, 30:40:3, -5:], array[1, 30:40:3, -5:])
    assert source.axes_known
    source.close()


ome_axes = st.lists(st.sampled_from("TCZ"), unique=True).map(lambda a: [*a, "Y", "X"])


@given(axes=ome_axes, tiled=st.booleans())
@settings(deadline=None, max_examples=40)
def test_ome_axes_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, axes: list[str], tiled: bool
) -> None:
    letters = "".join(axes)
    size = {"T": 2, "C": 3, "Z": 4, "Y": 17, "X": 19}
    shape = tuple(size[a] for a in axes)
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path_factory.mktemp("t") / "a.ome.tif"
    options = {"tile": (16, 16), "compression": "zlib"} if tiled else {}
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 250.0, "PhysicalSizeZ": 1.0}
    units = {"PhysicalSizeYUnit": "nm", "PhysicalSizeZUnit": "µm"}
    write(path, array, metadata={"axes": letters, **sizes, **units}, **options)
    source = read_image(path)
    assert_reads(source, array, letters)
    expected = {"Z": 1.0, "Y": 0.25, "X": 0.5}
    kept = {a: v for a, v in expected.items() if a in letters}
    assert source.pixel_size == pytest.approx(kept)
    assert source.axes_known
    source.close()


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX", "TZYX", "TZCYX", "TCYX"])
def test_imagej_axes_and_calibration(tmp_path: Path, axes: str) -> None:
    size = {"T": 2, "C": 3, "Z": 4, "Y": 17, "X": 19}
    shape = tuple(size[a] for a in axes)
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = write(
        tmp_path / "a.tif",
        array,
        imagej=True,
        resolution=(2, 4),
        metadata={"axes": axes, "unit": "um", "spacing": 3.0},
    )
    source = read_image(path)
    assert_reads(source, array, axes)
    assert source.pixel_size == pytest.approx(
        {a: v for a, v in {"Z": 3.0, "Y": 0.25, "X": 0.5}.items() if a in axes}
    )


def test_imagej_units(tmp_path: Path) -> None:
    def size_with(**metadata: Any) -> dict[str, float]:
        path = write(
            tmp_path / "a.tif",
            np.zeros((4, 4), np.uint8),
            imagej=True,
            resolution=(2, 2),
            metadata=metadata,
        )
        return dict(read_image(path).pixel_size)

    assert size_with(unit="\\u00B5m") == {"Y": 0.5, "X": 0.5}
    assert size_with(unit="mm") == {"Y": 500, "X": 500}
    assert size_with(unit="pixel") == {}
    assert size_with() == {}


def test_resolution_tags_count_unless_they_are_a_printers(tmp_path: Path) -> None:
    def size_with(**options: Any) -> dict[str, float]:
        path = write(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), **options)
        return dict(read_image(path).pixel_size)

    cm = {"resolutionunit": "CENTIMETER"}
    found = size_with(resolution=(20000, 10000), **cm)
    assert found == pytest.approx({"Y": 1.0, "X": 0.5})
    assert size_with(resolution=(72, 72), resolutionunit="INCH") == {}
    assert size_with(resolution=(300, 300), resolutionunit="INCH") == {}
    assert size_with(resolution=(118, 118), **cm) == {}
    assert size_with(resolution=(1, 1), **cm) == {}
    assert size_with(resolution=(3, 3), resolutionunit="NONE") == {}
    assert size_with() == {}


def test_ome_size_of_1_without_unit_is_unknown(tmp_path: Path) -> None:
    def size_with(**metadata: Any) -> dict[str, float]:
        array = np.zeros((4, 4), np.uint8)
        path = write(tmp_path / "a.ome.tif", array, metadata=metadata)
        return dict(read_image(path).pixel_size)

    assert size_with(PhysicalSizeX=1.0, PhysicalSizeY=1.0) == {}
    known = {"PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "µm"}
    assert size_with(**known) == {"X": 1.0}
    pixels = {"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "pixel"}
    assert size_with(**pixels) == {}


def test_colours_are_the_last_axis_however_they_are_stored(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 255, (40, 50, 3), np.uint8)
    for options in ({}, {"tile": (16, 16), "compression": "zlib"}):
        path = write(tmp_path / "a.tif", array, photometric="rgb", **options)
        source = read_image(path)
        assert_reads(source, array, "YXC")
        assert source.rgb
        source.close()
        planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
        path = write(
            tmp_path / "b.tif",
            planes,
            photometric="rgb",
            planarconfig="separate",
            **options,
        )
        source = read_image(path)
        assert_reads(source, array, "YXC")
        assert source.rgb
        source.close()


def test_a_jpeg_slide_in_tiles(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :80]
    array = np.stack([3 * y, 2 * x, y + x], -1).astype(np.uint8)
    options = {"tile": (32, 32), "compression": "jpeg"}
    path = write(tmp_path / "a.tif", array, photometric="rgb", **options)
    source = read_image(path)
    assert (source.chunks, source.rgb) == ((32, 32, 3), True)
    expected = tifffile.imread(path)
    np.testing.assert_array_equal(source.data[20:50, 30:70], expected[20:50, 30:70])
    source.close()


def test_pages_without_metadata_are_guessed(tmp_path: Path) -> None:
    array = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)
    path = write(tmp_path / "a.tif", array, metadata=None, compression="zlib")
    source = read_image(path)
    assert_reads(source, array, "ZYX")
    assert not source.axes_known
    source.close()
    source = read_image(path, axes="CYX")
    assert (source.axes, source.axes_known) == ("CYX", True)
    source.close()


def test_one_bit_images(tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.random((33, 50)) > 0.5
    source = read_image(write(tmp_path / "a.tif", array))
    assert_reads(source, array, "YX")
    source.close()


def test_channel_names_and_series(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    first = np.zeros((2, 20, 30), np.uint8)
    second = np.ones((40, 50), np.uint16)
    options: dict[str, Any] = {"photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as file:
        names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
        file.write(first, metadata=names, **options)
        metadata = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
        file.write(second, metadata=metadata, **options)
    source = read_image(path)
    assert (source.channel_names, source.pixel_size) == (("DAPI", "GFP"), {})
    assert_reads(source, first, "CYX")
    source = read_image(path, series=1)
    assert source.pixel_size == {"Y": 0.1, "X": 0.1}
    assert_reads(source, second, "YX")
    with pytest.raises(ImageFileError, match=r"no series 2\. Choose one of these 2: 0"):
        read_image(path, series=2)


def test_a_pyramid_is_read_at_its_full_level(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 999, (64, 64), np.uint16)
    path = tmp_path / "a.ome.tif"
    options: dict[str, Any] = {"tile": (16, 16), "photometric": "minisblack"}
    with tifffile.TiffWriter(path) as file:
        file.write(array, subifds=1, compression="zlib", **options)
        file.write(array[::2, ::2], subfiletype=1, compression="zlib", **options)
    source = read_image(path)
    assert_reads(source, array, "YX")
    source.close()


def test_an_aperio_description_gives_the_pixel_size(tmp_path: Path) -> None:
    array = np.zeros((64, 64, 3), np.uint8)
    path = write(
        tmp_path / "a.svs",
        array,
        photometric="rgb",
        tile=(32, 32),
        metadata=None,
        description="Aperio Image Library v11.2.1 \n64x64|AppMag = 20|MPP = 0.4990",
    )
    source = read_image(path)
    assert source.pixel_size == {"Y": 0.499, "X": 0.499}
    assert (source.axes, source.rgb) == ("YXC", True)
    source.close()


def test_metadata_that_cannot_be_parsed_are_left_alone(tmp_path: Path) -> None:
    array = np.ones((4, 5), np.uint8)
    broken = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"></OM>'
    options = {"description": broken, "metadata": None, "compression": "zlib"}
    source = read_image(write(tmp_path / "a.ome.tif", array, **options))
    assert_reads(source, array, "YX")
    assert source.pixel_size == {}
    source.close()
