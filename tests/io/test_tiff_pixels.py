from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image

STRIPS: dict[str, Any] = {"compression": "lzw", "rowsperstrip": 7}
TILES: dict[str, Any] = {"compression": "zlib", "tile": (32, 32)}


def write(path: Path, array: Any, **options: Any) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, array, **options)
    return path


def test_uncompressed_files_are_mapped_and_closed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((2, 8, 9), np.uint8))
    source = read_image(path)
    assert isinstance(source.data, np.memmap)
    assert source.chunks is None
    assert not source.data.flags.writeable


def spoil(path: Path, keep: set[int]) -> None:
    """Overwrite the data of all tiles (or strips) but some with nonsense."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for number, (offset, count) in enumerate(places):
        if number not in keep:
            content[offset : offset + count] = b"\xff" * count
    path.write_bytes(bytes(content))


def test_only_the_tiles_asked_for_are_decoded(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 2**16, (96, 96), np.uint16)
    options = {"tile": (32, 32), "compression": "zlib"}
    path = write(tmp_path / "a.tif", array, **options)
    spoil(path, keep={4, 5})
    source = read_image(path)
    assert source.chunks == (32, 32)
    np.testing.assert_array_equal(source.data[32:64, 40:96], array[32:64, 40:96])
    with pytest.raises(ImageFileError, match=r"a\.tif could not be decoded"):
        source.data[31:33, 40]
    source.close()


def test_huge_pages_without_tiles_are_read_in_strips(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.io.tiff_chunks.CACHE_BYTES", 1000)
    array = rng.integers(0, 255, (50, 40), np.uint8)
    options = {"rowsperstrip": 8, "compression": "zlib"}
    path = write(tmp_path / "a.tif", array, **options)
    spoil(path, keep={2, 6})
    source = read_image(path)
    assert source.chunks == (8, 40)
    np.testing.assert_array_equal(source.data[16:24], array[16:24])
    np.testing.assert_array_equal(source.data[48:], array[48:])
    with pytest.raises(ImageFileError, match="could not be decoded"):
        source.data[0, 0]
    source.close()


def test_other_pages_of_a_stack_are_not_decoded(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 255, (4, 30, 40), np.uint8)
    path = write(tmp_path / "a.tif", array, compression="zlib")
    spoil(path, keep=set())  # the first page only
    source = read_image(path)
    assert source.chunks == (1, 30, 40)
    np.testing.assert_array_equal(source.data[1:, 3], array[1:, 3])
    with pytest.raises(ImageFileError, match="could not be decoded"):
        source.data[0]
    source.close()


@pytest.mark.parametrize("layout", [TILES, STRIPS])
def test_threads_may_read_together(
    tmp_path: Path, rng: np.random.Generator, layout: dict[str, Any]
) -> None:
    array = rng.integers(0, 255, (6, 90, 100), np.uint8)
    source = read_image(write(tmp_path / "a.tif", array, **layout))
    corners = rng.integers(0, 60, (60, 2)).tolist()

    def equal(corner: list[int]) -> bool:
        y, x = corner
        key = (slice(None), slice(y, y + 40), slice(x, x + 40))
        return np.array_equal(source.data[key], array[key])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(equal, corners))
    source.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "zlib"},
        {"tile": (32, 32), "compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"byteorder": ">"},
    ],
)
@pytest.mark.parametrize("part", [0.97, 0.5, 0.1, 0.001])
def test_truncated_files_are_refused(
    tmp_path: Path,
    rng: np.random.Generator,
    capfd: pytest.CaptureFixture[str],
    options: dict[str, Any],
    part: float,
) -> None:
    array = rng.integers(0, 2**16, (5, 64, 96), np.uint16)
    path = write(tmp_path / "a.tif", array, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ImageFileError, match=r"a\.tif is damaged or was cut off"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("hello")
    with pytest.raises(ImageFileError, match="named like a TIFF file but is none"):
        read_image(path)


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((4, 4), np.complex64))
    with pytest.raises(ImageFileError, match=r"complex numbers \(complex64\)"):
        read_image(path)


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    array = np.zeros((3, 20, 20), np.uint8)
    path = write(tmp_path / "a.tif", array, compression="zlib")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(AxesError):
            read_image(path, axes="YX")
        gc.collect()
    assert not heard


def write_set(folder: Path, planes: np.ndarray, **options: Any) -> list[Path]:
    """Write an OME-TIFF of which each channel lies in a file of its own."""
    paths = [folder / f"c{c}.ome.tif" for c in range(len(planes))]
    data = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name}">urn:uuid:0{c}</UUID></TiffData>'
        for c, path in enumerate(paths)
    )
    count, height, width = planes.shape
    for c, path in enumerate(paths):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0{c}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYCZT" Type="{planes.dtype}" SizeX="{width}" '
            f'SizeY="{height}" SizeC="{count}" SizeZ="1" SizeT="1">{data}'
            "</Pixels></Image></OME>"
        )
        write(path, planes[c], description=xml, metadata=None, **options)
    return paths


@pytest.mark.parametrize("layout", [{}, TILES, {"byteorder": ">"}])
def test_an_image_that_spans_files(
    tmp_path: Path,
    rng: np.random.Generator,
    caplog: pytest.LogCaptureFixture,
    layout: dict[str, Any],
) -> None:
    planes = rng.integers(0, 255, (3, 40, 50), np.uint8)
    paths = write_set(tmp_path, planes, **layout)
    source = read_image(paths[0])
    assert source.axes == "CYX"
    np.testing.assert_array_equal(np.asarray(source.data), planes)
    np.testing.assert_array_equal(source.data[2, 5:9], planes[2, 5:9])
    source.close()
    assert not caplog.records
    paths[1].unlink()
    source = read_image(paths[0])
    planes[1] = 0
    assert source.axes == "CYX"
    np.testing.assert_array_equal(np.asarray(source.data), planes)
    source.close()
    assert "planes that are not in the file read as 0" in caplog.text


def test_tiles_that_were_never_written_are_0(tmp_path: Path) -> None:
    array = np.zeros((64, 64), np.uint8)
    array[:32, :32] = 7

    def tiles() -> Iterator[bytes]:
        yield array[:32, :32].tobytes()
        yield from (b"", b"", b"")

    options = {"shape": (64, 64), "dtype": np.uint8, "tile": (32, 32)}
    path = write(tmp_path / "a.tif", tiles(), **options)
    source = read_image(path)
    np.testing.assert_array_equal(np.asarray(source.data), array)
    source.close()


def test_stacks_of_planes_in_one_page_are_read_at_once(tmp_path: Path) -> None:
    array = np.arange(4 * 32 * 32, dtype=np.uint8).reshape(4, 32, 32)
    options = {"volumetric": True, "tile": (16, 16, 16), "compression": "zlib"}
    source = read_image(write(tmp_path / "a.tif", array, **options))
    assert source.axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(source.data), array)
    source.close()
