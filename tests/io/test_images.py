from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image


def test_npy_is_mapped_and_guessed(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", array)
    source = read_image(tmp_path / "a.npy")
    assert isinstance(source.data, np.memmap)
    assert (source.axes, source.axes_known, source.name) == ("ZYX", False, "a")
    np.testing.assert_array_equal(source.data, array)
    np.save(tmp_path / "b.npy", np.asfortranarray(array.astype(">f4")))
    source = read_image(tmp_path / "b.npy", axes="CYX")
    assert source.dtype.isnative
    np.testing.assert_array_equal(source.data[1:, :, 2], array[1:, :, 2])


def test_paths_may_be_text(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    assert read_image(str(tmp_path / "a.npy")).path == tmp_path / "a.npy"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"a\.tif does not exist\. Check"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(ImageFileError, match="is a folder, not an image"):
        read_image(tmp_path)
    for suffix in (".tif", ".png", ".npy"):
        (tmp_path / f"empty{suffix}").touch()
        with pytest.raises(ImageFileError, match=r"is empty\. Copy it again"):
            read_image(tmp_path / f"empty{suffix}")
    (tmp_path / "a.czi").write_text("x")
    with pytest.raises(ImageFileError, match=r"no kind that can be .* OME-Zarr, \.tif"):
        read_image(tmp_path / "a.czi")


def test_npy_that_holds_no_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_seg.npy"
    np.save(path, np.array({"masks": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(ImageFileError, match="not a NumPy array of pixels"):
        read_image(path)
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00{")
    with pytest.raises(ImageFileError, match="not a NumPy array of pixels"):
        read_image(path)
    np.save(path, np.zeros((4, 5), complex))
    with pytest.raises(ImageFileError, match="complex numbers"):
        read_image(path)
    np.save(path, np.zeros((4, 5)))
    with pytest.raises(AxesError, match="read as YX"):
        read_image(path, axes="ZYX")


def test_series_is_refused_where_there_is_only_one(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="has no series 1"):
        read_image(tmp_path / "a.png", series=1)


def test_reading_needs_neither_torch_nor_napari() -> None:
    code = (
        "import sys, napari_unet.io.images, napari_unet.io.write"
        "; import napari_unet.io.overlay, napari_unet.io.folders, napari_unet.io.tables"
        "; found = {'torch', 'napari', 'qtpy', 'dask'} & set(sys.modules)"
        "; sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
