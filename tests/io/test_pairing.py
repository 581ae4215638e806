"""Pairs of images and labels: each convention of the field, and what is ambiguous."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_unet.errors import ImageFileError
from napari_unet.io.pairing import Pairing, find_pairs
from napari_unet.io.training_data import load_pairs
from napari_unet.io.training_image import TrainingImage, as_planes

SHAPE = (12, 14)


def picture(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(np.uint16)


def cells(seed: int = 0) -> np.ndarray:
    """Two cells that touch."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:8, 2 + seed % 3 : 7], labels[2:8, 7:11] = 1, 2
    return labels


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="minisblack")
    return path


def cellpose(root: Path) -> None:
    for i in range(3):
        write(root / f"cell{i}.tif", picture(i))
        write(root / f"cell{i}_masks.tif", cells(i))
    write(root / "cell0_cp_masks.tif", 0 * cells())  # a prediction, not the truth


def stardist(root: Path) -> None:
    for i in range(3):
        write(root / "images" / f"{i}.tif", picture(i))
        write(root / "masks" / f"{i}.tif", cells(i))


def biapy(root: Path) -> None:
    for i in range(3):
        write(root / "raw" / f"img_{i}.tif", picture(i))
        write(root / "label" / f"mask_{i}.tif", cells(i))


def tracking_challenge(root: Path) -> None:
    for i in range(3):
        write(root / "01" / f"t{i:03d}.tif", picture(i))
        kind = "01_ST" if i == 2 else "01_GT"
        write(root / kind / "SEG" / f"man_seg{i:03d}.tif", cells(i))
    write(root / "01_GT" / "TRA" / "man_track000.tif", 0 * cells())


def nnunet(root: Path) -> None:
    for i in range(3):
        write(root / "imagesTr" / f"case{i}_0000.tif", picture(i))
        labels = cells(i)
        labels[0] = 9
        write(root / "labelsTr" / f"case{i}.tif", labels)
    (root / "dataset.json").write_text(json.dumps({"labels": {"ignore": 9}}))


def bowl(root: Path) -> None:
    for i in range(3):
        write(root / f"id{i}" / "images" / f"id{i}.png", picture(i).astype(np.uint8))
        for value in (1, 2):
            mask = (cells(i) == value) * np.uint8(255)
            write(root / f"id{i}" / "masks" / f"m{value}.png", mask)


def table(root: Path) -> None:
    lines = ["image,labels"]
    for i in range(3):
        write(root / "a" / f"x{i}.tif", picture(i))
        write(root / "b" / f"truth{i}.tif", cells(i))
        lines.append(f"a/x{i}.tif,b/truth{i}.tif")
    (root / "pairs.csv").write_text("\n".join(lines))


def ome_zarr(root: Path) -> None:
    for i in range(3):
        image = zarr.open_group(root / f"{i}.ome.zarr", mode="w", zarr_format=3)
        labels = image.create_group("labels", attributes={"ome": {"labels": ["cells"]}})
        for group, array in (
            (image, picture(i)),
            (labels.create_group("cells"), cells(i)),
        ):
            group.create_array("0", data=array)
            axes = [{"name": a, "type": "space"} for a in "yx"]
            scale = [{"type": "scale", "scale": [0.5, 0.5]}]
            level = {"path": "0", "coordinateTransformations": scale}
            group.attrs["ome"] = {
                "version": "0.5",
                "multiscales": [{"name": "x", "axes": axes, "datasets": [level]}],
            }


CONVENTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cellpose": (cellpose, "Cellpose"),
    "stardist": (stardist, "StarDist or BiaPy"),
    "biapy": (biapy, "StarDist or BiaPy"),
    "ctc": (tracking_challenge, "Cell Tracking Challenge"),
    "nnunet": (nnunet, "nnU-Net"),
    "dsb2018": (bowl, "Data Science Bowl 2018"),
    "csv": (table, "Table"),
    "ome-zarr": (ome_zarr, "OME-Zarr"),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_each_convention_is_recognised_and_read(tmp_path: Path, name: str) -> None:
    make, called = CONVENTIONS[name]
    make(tmp_path)
    pairing = find_pairs(tmp_path)
    assert pairing.convention == called
    assert len(pairing) == 3
    images = load_pairs(pairing)
    for i, image in enumerate(images):
        expected = picture(i).astype(np.uint8) if name == "dsb2018" else picture(i)
        np.testing.assert_array_equal(image.image[0], expected)
        truth = cells(i).astype(np.int32)
        if name == "nnunet":
            truth[0] = -1
        np.testing.assert_array_equal(image.labels, truth)
        assert image.labels.dtype == np.int32
    # Every pair says why, and the text names all files.
    assert all(pair.reason for pair in pairing)
    assert str(pairing).count("<-") == 3


def test_frames_of_a_sequence_are_one_group(tmp_path: Path) -> None:
    tracking_challenge(tmp_path)
    assert {image.group for image in load_pairs(find_pairs(tmp_path))} == {"01"}


@pytest.mark.parametrize(
    ("first", "second"),
    [("images", "masks"), ("01", "01_GT"), ("imagesTr", "labelsTr")],
)
def test_two_folders_are_named(tmp_path: Path, first: str, second: str) -> None:
    {"images": stardist, "01": tracking_challenge, "imagesTr": nnunet}[first](tmp_path)
    found = find_pairs(tmp_path / first, tmp_path / second)
    assert len(found) == (2 if first == "01" else 3)  # gold truth was asked for


def test_two_files_are_named(tmp_path: Path) -> None:
    image, labels = (
        write(tmp_path / "a.tif", picture(0)),
        write(tmp_path / "b.tif", cells()),
    )
    (found,) = load_pairs(find_pairs(image, labels))
    np.testing.assert_array_equal(found.labels, cells())


def test_labels_inside_ome_zarr_are_named(tmp_path: Path) -> None:
    ome_zarr(tmp_path)
    assert len(find_pairs(tmp_path, "cells")) == 3
    with pytest.raises(ImageFileError, match="nuclei does not exist"):
        find_pairs(tmp_path, "nuclei")


def test_gold_slices_leave_the_rest_of_a_stack_unannotated(tmp_path: Path) -> None:
    stack = picture(0, (5, *SHAPE))
    write(tmp_path / "01" / "t000.tif", stack)
    write(tmp_path / "01_GT" / "SEG" / "man_seg_000_003.tif", cells())
    (image,) = load_pairs(find_pairs(tmp_path), axes="ZYX")
    np.testing.assert_array_equal(image.labels[3], cells())
    assert (np.delete(image.labels, 3, axis=0) == -1).all()


def test_several_channels_of_nnunet_are_stacked(tmp_path: Path) -> None:
    for channel in (0, 1):
        write(tmp_path / "imagesTr" / f"a_{channel:04d}.tif", picture(channel))
    write(tmp_path / "labelsTr" / "a.tif", cells())
    (image,) = load_pairs(find_pairs(tmp_path))
    np.testing.assert_array_equal(image.image, np.stack([picture(0), picture(1)]))


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    stardist(tmp_path)
    lonely = write(tmp_path / "images" / "lonely.tif", picture(9))
    found = find_pairs(tmp_path)
    assert found.unpaired == (lonely,)
    assert "left out, without a partner: images/lonely.tif" in str(found)


def two_label_folders(root: Path) -> None:
    stardist(root)
    write(root / "labels" / "0.tif", cells())


def two_conventions(root: Path) -> None:
    cellpose(root)
    stardist(root)


def two_labels_of_one_image(root: Path) -> None:
    write(root / "a.tif", picture(0))
    write(root / "a_masks.tif", cells())
    write(root / "a_labels.tif", cells())


def two_names_in_zarr(root: Path) -> None:
    ome_zarr(root)
    labels = zarr.open_group(root / "0.ome.zarr" / "labels", mode="a")
    group = labels.create_group("nuclei")
    group.attrs["ome"] = {"version": "0.5", "multiscales": []}


def channels_differ(root: Path) -> None:
    nnunet(root)
    write(root / "imagesTr" / "case0_0001.tif", picture(5))


def table_names_nothing(root: Path) -> None:
    (root / "pairs.csv").write_text("image,labels\na.tif,b.tif\n")


def table_names_twice(root: Path) -> None:
    table(root)
    text = (root / "pairs.csv").read_text()
    (root / "pairs.csv").write_text(f"{text}\na/x0.tif,b/truth1.tif\n")


def truths_contradict(root: Path) -> None:
    tracking_challenge(root)
    write(root / "01_GT" / "SEG" / "man_seg_000_001.tif", cells())


def pickles_only(root: Path) -> None:
    write(root / "a.tif", picture(0))
    (root / "a_seg.npy").write_bytes(b"never opened")


def nothing(root: Path) -> None:
    write(root / "a.tif", picture(0))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (two_label_folders, "not clear which is meant"),
        (two_conventions, "more than one convention"),
        (two_labels_of_one_image, "could both be the labels"),
        (two_names_in_zarr, "hold the labels cells, nuclei"),
        (channels_differ, "has the channels"),
        (table_names_nothing, "does not exist"),
        (table_names_twice, "both name"),
        (truths_contradict, "more than one truth"),
        (pickles_only, "pickles, which are not opened"),
        (nothing, "No pairs"),
    ],
)
def test_what_is_ambiguous_or_missing_is_refused(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    make(tmp_path)
    with pytest.raises(ImageFileError, match=problem) as error:
        find_pairs(tmp_path)
    assert error.value.remedy.endswith((".", "?"))


def test_names_that_do_not_match_are_refused(tmp_path: Path) -> None:
    image, labels = (
        write(tmp_path / "i" / "a.tif", picture(0)),
        write(tmp_path / "l" / "b.tif", cells()),
    )
    with pytest.raises(ImageFileError, match="No name in"):
        find_pairs(image.parent, labels.parent)
    with pytest.raises(ImageFileError, match="a folder and the other a single image"):
        find_pairs(image, labels.parent)
    with pytest.raises(ImageFileError, match="its labels were not given"):
        find_pairs(image)
    with pytest.raises(ImageFileError, match="does not exist"):
        find_pairs(tmp_path / "nowhere")


def test_long_lists_are_shortened(tmp_path: Path) -> None:
    for i in range(25):
        write(tmp_path / "images" / f"{i:02d}.tif", picture(i))
        write(tmp_path / "labels" / f"{i:02d}.tif", cells())
    found = find_pairs(tmp_path)
    assert "... and 5 more" in str(found)
    assert found.describe().count("<-") == 25


def loaded(images: list[TrainingImage]) -> Any:
    return [(image.image.shape, image.labels.shape) for image in images]


def test_pairing_is_plain_data(tmp_path: Path) -> None:
    stardist(tmp_path)
    found = find_pairs(tmp_path)
    assert isinstance(found, Pairing)
    assert loaded(load_pairs(found)) == [((1, *SHAPE), SHAPE)] * 3


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"background": 0, "tumour": 1, "ignore": 9}, ("background", "tumour")),
        ({"cell": 1, "ignore": 9, "ground": 0}, ("ground", "cell")),
        ({"0": "background", "1": "cell", "2": "edge"}, ("background", "cell", "edge")),
        ({"background": "0", "cell": "1", "ignore": "9"}, ("background", "cell")),
        ({"background": 0, "cell": "1"}, ("background", "cell")),
        ({"0": "background", "1": "cell", "9": "ignore"}, ("background", "cell")),
        ({"background": "none", "cell": "1"}, ()),
        ({"background": 0, "whole": [1, 2], "core": [2]}, ()),  # regions that overlap
        ({"background": 0, "cell": 2}, ()),
        ({"ignore": 9}, ()),
    ],
)
def test_dataset_json_names_the_classes(
    tmp_path: Path, labels: dict[str, Any], names: tuple[str, ...]
) -> None:
    nnunet(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    images = load_pairs(find_pairs(tmp_path))
    assert [image.classes for image in images] == [names] * 3
    ignored = 9 if "ignore" in {*labels, *map(str, labels.values())} else None
    assert {p.ignore_label for p in find_pairs(tmp_path)} == {ignored}


def test_planes_keep_the_names_of_classes() -> None:
    stack = np.zeros((2, 8, 8), np.int32)
    image = TrainingImage(stack[None], stack, "s", classes=("a", "b"))
    assert [plane.classes for plane in as_planes(image)] == [("a", "b")] * 2
