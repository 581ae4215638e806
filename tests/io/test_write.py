from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image
from napari_unet.io.write import read_provenance, write_image, write_labels

SIZE = {"T": 2, "C": 5, "Z": 3, "Y": 40, "X": 50}


def shape_of(axes: str, alone: str = "") -> tuple[int, ...]:
    return tuple(1 if a in alone else SIZE[a] for a in axes)


def some_axes(letters: str) -> st.SearchStrategy[str]:
    chosen = st.sets(st.sampled_from(letters))
    return chosen.flatmap(lambda s: st.permutations(sorted(s | {"Y", "X"}))).map(
        "".join
    )


@given(
    axes=some_axes("TZ"), alone=st.sets(st.sampled_from("TZYX")), sized=st.booleans()
)
@settings(deadline=None, max_examples=60)
def test_labels_come_back_equal_for_any_axes(
    tmp_path_factory: pytest.TempPathFactory, axes: str, alone: set[str], sized: bool
) -> None:
    path = tmp_path_factory.mktemp("t") / "a.tif"
    shape = shape_of(axes, "".join(alone))
    labels = np.random.default_rng(1).integers(-1, 2**31, shape).astype(np.int32)
    sizes = {a: v for a, v in {"Z": 1.0, "Y": 0.5, "X": 0.25}.items() if a in axes}
    write_labels(path, labels, axes=axes, pixel_size=sizes if sized else None)
    source = read_image(path)
    assert (source.axes, source.axes_known, source.dtype) == (axes, True, np.int32)
    assert source.pixel_size == (sizes if sized else {})
    np.testing.assert_array_equal(np.asarray(source.data), labels)
    source.close()


@given(
    axes=some_axes("TCZ"),
    alone=st.sets(st.sampled_from("TCZ")),
    dtype=st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "?"]),
)
@settings(deadline=None, max_examples=80)
def test_images_come_back_equal_for_any_axes_and_type(
    tmp_path_factory: pytest.TempPathFactory, axes: str, alone: set[str], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("t") / "a.ome.tif"
    shape = shape_of(axes, "".join(alone))
    image = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    write_image(path, image, axes=axes)
    source = read_image(path)
    assert (source.axes, source.rgb, source.dtype) == (axes, False, image.dtype)
    np.testing.assert_array_equal(np.asarray(source.data), image)
    source.close()


def test_what_other_programs_find_in_the_file(tmp_path: Path) -> None:
    labels = np.arange(3 * 300 * 280).reshape(3, 300, 280)
    path = tmp_path / "a.tif"
    sizes = {"Z": 2.0, "Y": 0.5, "X": 0.25}
    write_labels(path, labels, axes="ZYX", pixel_size=sizes)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        assert file.is_ome
        assert not file.is_bigtiff
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert (file.series[0].axes, file.series[0].dtype) == ("ZYX", np.int32)
        assert page.get_resolution("CENTIMETER") == pytest.approx((40000, 20000))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels["Type"] == "int32"
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.25, "µm")
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeZUnit"]) == (2.0, "µm")
    np.testing.assert_array_equal(tifffile.imread(path), labels)


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i2", ">i4", "u4", "i8", "u8"])
def test_labels_are_never_narrower_than_int32(tmp_path: Path, dtype: str) -> None:
    labels = np.array([[0, 1], [1, 0]], dtype)
    write_labels(tmp_path / "a.tif", labels, axes="YX")
    source = read_image(tmp_path / "a.tif")
    assert source.dtype == np.int32
    np.testing.assert_array_equal(np.asarray(source.data), labels)


def test_ids_beyond_int32(tmp_path: Path) -> None:
    labels = np.array([[0, 2**32 - 1]])
    write_labels(tmp_path / "a.tif", labels, axes="YX")
    assert read_image(tmp_path / "a.tif").dtype == np.uint32
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data[...], labels)
    for bad in ([[0, 2**32]], [[-1, 2**31]]):
        with pytest.raises(ImageFileError, match="do not fit into 32 bits"):
            write_labels(tmp_path / "b.tif", np.array(bad), axes="YX")
        write_labels(tmp_path / "b.npy", np.array(bad), axes="YX")
        np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), bad)


def test_npy(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_labels(tmp_path / "a.npy", labels, axes="YX")
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    write_image(tmp_path / "b.npy", labels.astype(np.float16), axes="YX")
    assert np.load(tmp_path / "b.npy").dtype == np.float16


def test_colours_and_channels(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (40, 300, 3), np.uint8)
    write_image(tmp_path / "a.tif", image, axes="YXC", pixel_size={"Y": 2, "X": 2})
    source = read_image(tmp_path / "a.tif")
    assert (source.axes, source.rgb) == ("YXC", True)
    np.testing.assert_array_equal(np.asarray(source.data), image)
    names = ("background", "interior", "boundary")
    for axes, array in [("YXC", image), ("CYX", np.moveaxis(image, -1, 0))]:
        write_image(tmp_path / "b.tif", array, axes=axes, channel_names=names)
        source = read_image(tmp_path / "b.tif")
        assert (source.axes, source.rgb) == (axes, False)
        assert source.channel_names == names
        np.testing.assert_array_equal(np.asarray(source.data), array)
        source.close()


def test_float16_becomes_float32(tmp_path: Path) -> None:
    image = np.linspace(0, 1, 12, dtype=np.float16).reshape(3, 4)
    write_image(tmp_path / "a.tif", image, axes="YX")
    source = read_image(tmp_path / "a.tif")
    assert source.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(source.data), image)


def test_provenance_travels_with_the_file(tmp_path: Path) -> None:
    story: dict[str, Any] = {
        "model": "µ <\"&'> {}",
        "settings": {"tile": [256, 256], "none": None, "yes": True},
        "threshold": 0.1,
        "path": str(tmp_path),
    }
    labels = np.zeros((4, 5), int)
    write_labels(tmp_path / "a.tif", labels, axes="YX", description=story)
    assert read_provenance(tmp_path / "a.tif") == story
    write_image(tmp_path / "b.tif", labels.astype("u1"), axes="YX", description={})
    assert read_provenance(tmp_path / "b.tif") == {}
    write_labels(tmp_path / "c.tif", labels, axes="YX")
    assert read_provenance(tmp_path / "c.tif") is None
    tifffile.imwrite(tmp_path / "d.tif", labels)
    assert read_provenance(tmp_path / "d.tif") is None
    np.save(tmp_path / "e.npy", labels)
    assert read_provenance(tmp_path / "e.npy") is None
    with pytest.raises(ImageFileError, match="does not exist"):
        read_provenance(tmp_path / "f.tif")


class Bands:
    """A lazy array that remembers the largest piece that was read at once."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        found = self.array[key]
        self.largest = max(self.largest, found.size)
        return found


def test_lazy_labels_are_read_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.io.write.BLOCK_BYTES", 8 * 100 * 300)
    array = np.arange(4 * 700 * 300).reshape(4, 700, 300)
    for name in ("a.tif", "a.npy"):
        source = Bands(array)
        write_labels(tmp_path / name, source, axes="ZYX")
        assert source.largest <= 700 * 300
        np.testing.assert_array_equal(read_image(tmp_path / name).data[...], array)
    narrow = Bands(array.astype(np.int32))
    write_labels(tmp_path / "a.tif", narrow, axes="ZYX")
    assert narrow.largest == 256 * 300


class Failing(Bands):
    """A lazy array whose last rows cannot be read."""

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = key[0] if isinstance(key, tuple) else key
        if isinstance(rows, slice) and (rows.stop or 0) > 256:
            raise OSError(5, "Input/output error")
        return super().__getitem__(key)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_a_failing_writer_leaves_nothing_and_keeps_the_old_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.io.write.BLOCK_BYTES", 4 * 100 * 30)
    bad = Failing(np.zeros((600, 30), np.int32))
    with pytest.raises(ImageFileError, match=r"could not be written \(Input/output"):
        write_labels(tmp_path / name, bad, axes="YX")
    assert list(tmp_path.iterdir()) == []
    write_labels(tmp_path / name, np.ones((3, 4), np.int32), axes="YX")
    with pytest.raises(ImageFileError):
        write_labels(tmp_path / name, bad, axes="YX")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert read_image(tmp_path / name).data[...].sum() == 12


def test_files_that_may_grow_above_4_gb_are_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.io.write._BIG", 1000)
    write_labels(tmp_path / "a.tif", np.zeros((100, 100), int), axes="YX")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", r"Labels cannot be written to a\.png: PNG keeps .* such as a\.tif"),
        ("a.ome.zarr", "writing OME-Zarr is not supported here"),
        ("a", r"only \.tif, \.tiff and \.npy"),
        ("a.jpg", r"only \.tif, \.tiff and \.npy"),
    ],
)
def test_names_that_cannot_hold_labels_are_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(ImageFileError, match=message):
        write_labels(tmp_path / name, np.zeros((3, 4), int), axes="YX")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    flat = np.zeros((3, 4), int)
    with pytest.raises(AxesError, match="name 3 axes"):
        write_labels(path, flat, axes="ZYX")
    with pytest.raises(AxesError, match="Labels have no channels"):
        write_labels(path, np.zeros((2, 3, 4), int), axes="CYX")
    with pytest.raises(ImageFileError, match="must be integers, not float64"):
        write_labels(path, flat.astype(float), axes="YX")
    with pytest.raises(AxesError, match="makes no sense"):
        write_labels(path, flat, axes="YX", pixel_size={"X": 0.0})
    with pytest.raises(ImageFileError, match="cannot hold int64 pixels"):
        write_image(path, flat, axes="YX")
    with pytest.raises(ImageFileError, match="cannot hold complex128 pixels"):
        write_image(path, flat.astype(complex), axes="YX")
    with pytest.raises(AxesError, match="2 channel names were given for 1"):
        write_image(path, flat.astype("u1"), axes="YX", channel_names=("a", "b"))
    with pytest.raises(ImageFileError, match=r"folder .*no does not exist"):
        write_labels(tmp_path / "no" / "a.tif", flat, axes="YX")
    assert list(tmp_path.iterdir()) == []
