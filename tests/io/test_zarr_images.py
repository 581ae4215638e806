from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_unet.errors import ImageFileError
from napari_unet.io.images import read_image

SPACE = {"z": "space", "y": "space", "x": "space", "c": "channel", "t": "time"}


def multiscales(
    axes: str,
    scale: list[float],
    *,
    unit: str | None = "micrometer",
    paths: tuple[Any, ...] = ("0",),
) -> list[dict[str, Any]]:
    described = [{"name": a, "type": SPACE[a]} for a in axes]
    for axis in described:
        if unit and axis["type"] == "space":
            axis["unit"] = unit
    datasets = []
    for level, path in enumerate(paths):
        pairs = zip(axes, scale, strict=True)
        factors = [v * 2**level if a in "yx" else v for a, v in pairs]
        step = {"type": "scale", "scale": factors}
        datasets.append({"path": path, "coordinateTransformations": [step]})
    return [{"axes": described, "datasets": datasets, "version": "0.4"}]


def write_group(
    path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], *, version: str
) -> Path:
    kind = 2 if version == "0.4" else 3
    group = zarr.open_group(str(path), mode="w", zarr_format=kind)
    group.attrs.update(meta if kind == 2 else {"ome": {"version": version, **meta}})
    for name, array in arrays.items():
        chunks = tuple(min(n, 16) for n in array.shape)
        group.create_array(name, data=array, chunks=chunks)
    return path


@pytest.fixture
def volume() -> np.ndarray:
    return np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(2, 3, 40, 50)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_multiscale_image_at_level_0(
    tmp_path: Path, volume: np.ndarray, version: str
) -> None:
    meta = {
        "multiscales": multiscales("czyx", [1, 2.0, 0.5, 0.25], paths=("0", "1")),
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }
    arrays = {"0": volume, "1": volume[..., ::2, ::2], "labels": volume}
    path = write_group(tmp_path / "a.ome.zarr", arrays, meta, version=version)
    source = read_image(path)
    assert (source.axes, source.shape, source.name) == ("CZYX", volume.shape, "a")
    assert source.pixel_size == {"Z": 2.0, "Y": 0.5, "X": 0.25}
    assert source.channel_names == ("DAPI", "GFP")
    assert (source.chunks, source.axes_known) == ((2, 3, 16, 16), True)
    assert source.dtype == np.uint16
    found = source.data[1, ::2, 30:8:-3, -7]
    np.testing.assert_array_equal(found, volume[1, ::2, 30:8:-3, -7])
    np.testing.assert_array_equal(np.asarray(source.data), volume)
    level = read_image(path / "1")
    assert level.pixel_size == {"Z": 2.0, "Y": 1.0, "X": 0.5}
    assert (level.axes, level.axes_known) == ("CZYX", True)


def test_units_and_the_scale_of_the_whole_image(tmp_path: Path) -> None:
    array = np.zeros((4, 5), np.uint8)

    def size_with(unit: str | None, scale: list[float], whole: Any) -> Any:
        images = multiscales("yx", scale, unit=unit)
        if whole:
            images[0]["coordinateTransformations"] = whole
        meta = {"multiscales": images}
        write_group(tmp_path / "a.zarr", {"0": array}, meta, version="0.4")
        return dict(read_image(tmp_path / "a.zarr").pixel_size)

    assert size_with("nanometer", [250, 500], None) == {"Y": 0.25, "X": 0.5}
    assert size_with(None, [1, 0.5], None) == {"X": 0.5}
    assert size_with("micrometer", [1, 1], None) == {"Y": 1, "X": 1}
    assert size_with("furlong", [2, 2], None) == {}
    whole = [{"type": "scale", "scale": [3, 4]}]
    assert size_with("micrometer", [2, 2], whole) == {"Y": 6, "X": 8}


def test_old_versions_without_described_axes(tmp_path: Path) -> None:
    array = np.zeros((1, 2, 3, 4, 5), np.uint8)
    meta = {"multiscales": [{"datasets": [{"path": "0"}], "version": "0.1"}]}
    write_group(tmp_path / "a.zarr", {"0": array}, meta, version="0.4")
    assert read_image(tmp_path / "a.zarr").axes == "TCZYX"
    meta["multiscales"][0]["axes"] = ["c", "y", "x"]
    write_group(tmp_path / "b.zarr", {"0": array[0, :, 0]}, meta, version="0.4")
    assert read_image(tmp_path / "b.zarr").axes == "CYX"


def test_paths_that_are_numbers_are_forgiven(tmp_path: Path) -> None:
    meta = {"multiscales": multiscales("yx", [2, 2], paths=(0,))}
    array = np.ones((4, 5), np.uint8)
    write_group(tmp_path / "a.zarr", {"0": array}, meta, version="0.4")
    assert read_image(tmp_path / "a.zarr").shape == (4, 5)


@pytest.mark.parametrize("kind", [2, 3])
def test_bare_arrays(tmp_path: Path, kind: int) -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = tmp_path / "a.zarr"
    made = zarr.create_array(str(path), data=array, zarr_format=kind)
    source = read_image(path)
    assert (source.axes, source.axes_known) == ("ZYX", False)
    np.testing.assert_array_equal(np.asarray(source.data), array)
    made.attrs["_ARRAY_DIMENSIONS"] = ["time", "y", "x"]
    source = read_image(path)
    assert (source.axes, source.axes_known) == ("TYX", True)
    made.attrs["_ARRAY_DIMENSIONS"] = ["lon", "lat"]
    assert not read_image(path).axes_known
    assert read_image(path, axes="CYX").axes == "CYX"


def test_dimension_names_of_version_3(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    names = ["channel", "y", "x"]
    array = np.zeros((2, 4, 5), ">u2")
    zarr.create_array(str(path), data=array, zarr_format=3, dimension_names=names)
    source = read_image(path)
    assert (source.axes, source.axes_known) == ("CYX", True)
    assert source.dtype.isnative


def test_only_the_chunks_asked_for_are_decoded(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "a.zarr"
    array = rng.integers(0, 2**16, (64, 16), np.uint16)
    zarr.create_array(str(path), data=array, chunks=(16, 16), zarr_format=2)
    for name in ("0.0", "2.0", "3.0"):
        (path / name).write_bytes(b"nonsense")
    source = read_image(path)
    np.testing.assert_array_equal(source.data[16:32, 3:], array[16:32, 3:])
    with pytest.raises(ImageFileError, match=r"a\.zarr could not be decoded"):
        source.data[0, 0]


def test_a_plate_is_refused_and_its_images_are_read(tmp_path: Path) -> None:
    plate = tmp_path / "p.zarr"
    wells = [{"path": f"A/{i}", "rowIndex": 0, "columnIndex": i} for i in range(30)]
    write_group(plate, {}, {"plate": {"wells": wells}}, version="0.4")
    well = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
    write_group(plate / "A" / "1", {}, well, version="0.4")
    meta = {"multiscales": multiscales("yx", [0.5, 0.5])}
    for field in "01":
        array = {"0": np.full((4, 5), int(field), np.uint8)}
        write_group(plate / "A" / "1" / field, array, meta, version="0.4")
    with pytest.raises(ImageFileError, match=r"wells A/0, A/1, .* and 10 more\. Name"):
        read_image(plate)
    with pytest.raises(ImageFileError, match=r"holds 2 fields of view\. Name one"):
        read_image(plate / "A" / "1")
    source = read_image(plate / "A" / "1" / "1")
    assert (source.name, source.pixel_size["X"]) == ("p_A_1_1", 0.5)
    assert source.data[0, 0] == 1
    shutil.rmtree(plate / "A" / "1" / "1")
    write_group(
        plate / "A" / "2", {}, {"well": {"images": [{"path": "0"}]}}, version="0.4"
    )
    shutil.move(plate / "A" / "1" / "0", plate / "A" / "2" / "0")
    assert read_image(plate / "A" / "2").shape == (4, 5)


def test_groups_that_hold_other_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w")
    with pytest.raises(ImageFileError, match="no zarr array and no OME-Zarr image"):
        read_image(path)
    group.create_array("raw", data=np.zeros((4, 5), np.uint8))
    assert read_image(path).shape == (4, 5)
    group.create_array("more", data=np.zeros((6, 7), np.uint8))
    with pytest.raises(ImageFileError, match=r"holds 2 images\. .*more, raw"):
        read_image(path)
    assert read_image(path / "more").shape == (6, 7)


def test_series_of_bioformats2raw(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_group(path, {}, {"bioformats2raw.layout": 3}, version="0.4")
    meta = {"multiscales": multiscales("yx", [1, 1])}
    for series, side in enumerate((4, 6)):
        array = {"0": np.zeros((side, 5), np.uint8)}
        write_group(path / str(series), array, meta, version="0.4")
    assert read_image(path).shape == (4, 5)
    assert read_image(path, series=1).shape == (6, 5)


def test_broken_metadata_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    images = multiscales("yx", [1, 1])
    write_group(path, {}, {"multiscales": images}, version="0.4")
    with pytest.raises(ImageFileError, match="names the array '0', which is not there"):
        read_image(path)
    images[0]["datasets"] = []
    write_group(path, {}, {"multiscales": images}, version="0.4")
    with pytest.raises(ImageFileError, match=r"not a valid OME-Zarr image \(.*dataset"):
        read_image(path)
    with pytest.raises(ImageFileError, match="no series 3; it holds 1 image"):
        read_image(path, series=3)
    (path / ".zgroup").write_text("{")
    with pytest.raises(ImageFileError, match="not a zarr folder that can be read"):
        read_image(path)
    for name in (".zgroup", ".zattrs"):
        (path / name).unlink()
    with pytest.raises(ImageFileError, match="zarr metadata are missing"):
        read_image(path)


def test_axes_that_do_not_count_the_array_are_refused(tmp_path: Path) -> None:
    meta = {"multiscales": multiscales("yx", [1, 1])}
    array = np.zeros((3, 4, 5), np.uint8)
    write_group(tmp_path / "a.zarr", {"0": array}, meta, version="0.5")
    with pytest.raises(ImageFileError, match="not a valid OME-Zarr image"):
        read_image(tmp_path / "a.zarr")
