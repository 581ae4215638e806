from __future__ import annotations

import logging
from pathlib import Path

import pytest

from napari_unet.errors import ImageFileError
from napari_unet.io.folders import list_images, pair_by_stem, unpaired


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_is_its_images_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.tif", "c.ome.tif", "notes.txt", ".hidden.tif")
    touch(tmp_path, "sub/d.tif", "z.zarr/.zgroup")
    assert names(list_images([tmp_path])) == ["a.tif", "b.png", "c.ome.tif", "z.zarr"]


def test_what_looks_like_results_is_skipped_unless_alone(tmp_path: Path) -> None:
    results = ["a_cp_masks.tif", "a_flows.tif", "a_labels.tif", "a_masks.png"]
    results += ["a_overlay.png", "a_probabilities.tif", "a_seg.npy"]
    touch(tmp_path / "mixed", "a.tif", *results)
    assert names(list_images([tmp_path / "mixed"])) == ["a.tif"]
    touch(tmp_path / "only", "a_labels.tif", "b_labels.tif")
    found = list_images([tmp_path / "only"])
    assert names(found) == ["a_labels.tif", "b_labels.tif"]


def test_a_file_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "a_labels.tif")
    assert list_images([path]) == [path]


def test_zarr_is_one_image_and_never_a_folder_of_images(tmp_path: Path) -> None:
    touch(tmp_path, "x.ome.zarr/.zattrs", "x.ome.zarr/a.tif", "bare/zarr.json")
    folders = [tmp_path / "x.ome.zarr", tmp_path / "bare"]
    assert list_images(folders) == folders
    assert names(list_images([tmp_path])) == ["bare", "x.ome.zarr"]


def test_the_layout_of_the_data_science_bowl(tmp_path: Path) -> None:
    for name in ("id2", "id1"):
        touch(tmp_path, f"{name}/images/{name}.png", f"{name}/masks/m1.png")
    assert names(list_images([tmp_path])) == ["id1.png", "id2.png"]
    assert names(list_images([tmp_path / "id1"])) == ["id1.png"]


def test_a_path_given_twice_counts_once(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.tif", "b.tif")
    assert list_images([a, tmp_path, a]) == [a, b]


def test_equal_names_are_refused_naming_both(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a.png")
    with pytest.raises(ImageFileError, match=r"a\.png and .*a\.tif have the same name"):
        list_images([tmp_path])
    touch(tmp_path, "x/A.tif", "y/a.tif")
    with pytest.raises(ImageFileError, match="same name"):
        list_images([tmp_path / "x", tmp_path / "y"])


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(ImageFileError, match=r"holds no images\. Name the folder"):
        list_images([tmp_path])
    with pytest.raises(ImageFileError, match="does not exist"):
        list_images([tmp_path / "missing"])
    with pytest.raises(ImageFileError, match="No images were given"):
        list_images([])


def test_pairs_by_name_with_and_without_endings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = [Path("p/b_labels.tif"), Path("p/a.tif"), Path("p/lonely.tif")]
    right = [Path("t/a_masks.png"), Path("t/b.ome.tif"), Path("t/other.tif")]
    with caplog.at_level(logging.WARNING):
        pairs = pair_by_stem(left, right)
    assert pairs == [(left[0], right[1]), (left[1], right[0])]
    assert unpaired(left, right) == [left[2], right[2]]
    assert "lonely.tif has no partner" in caplog.text
    assert "other.tif has no partner" in caplog.text


def test_ambiguous_pairs_are_refused() -> None:
    with pytest.raises(ImageFileError, match=r"truth, a\.tif and a_masks\.tif have"):
        pair_by_stem([Path("a.tif")], [Path("a.tif"), Path("a_masks.tif")])
    with pytest.raises(ImageFileError, match="Among the predictions"):
        pair_by_stem([Path("a.tif"), Path("a_labels.tif")], [Path("a.tif")])


def test_no_pair_at_all_is_refused() -> None:
    with pytest.raises(ImageFileError, match="None of the 1 predictions and 1 truth"):
        pair_by_stem([Path("a.tif")], [Path("b.tif")])
