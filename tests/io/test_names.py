from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.io.names import bare_stem, is_image, is_zarr, stem


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.tif", "a"),
        ("x/a.OME.TIF", "a"),
        ("a.ome.zarr", "a"),
        ("a.b.tiff", "a.b"),
        ("a.txt", "a.txt"),
        ("folder", "folder"),
        ("p.ome.zarr/B/03/0", "p_B_03_0"),
        ("root.zarr/p.zarr", "root_p.zarr"),
        (".tif", ".tif"),
        ("a.ome", "a.ome"),
    ],
)
def test_stem(path: str, expected: str) -> None:
    assert stem(path) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a_labels.tif", "a"),
        ("a_cp_masks.png", "a"),
        ("a_masks.tif", "a"),
        ("a_seg.npy", "a"),
        ("_masks.tif", "_masks"),
        ("a_b.tif", "a_b"),
        ("a_labels_b.tif", "a_labels_b"),
    ],
)
def test_bare_stem(name: str, expected: str) -> None:
    assert bare_stem(name) == expected


def test_a_zarr_folder_is_known_by_its_name_or_its_metadata(tmp_path: Path) -> None:
    named, marked, plain = tmp_path / "a.zarr", tmp_path / "b", tmp_path / "c"
    for folder in (named, marked, plain):
        folder.mkdir()
    (marked / ".zgroup").write_text("{}")
    assert is_zarr(named)
    assert is_zarr(marked)
    assert not is_zarr(plain)
    assert not is_image(plain)
    assert not is_image(tmp_path / "missing.tif")
