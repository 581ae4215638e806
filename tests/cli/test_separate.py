"""Probabilities of any network to labels, through the shell."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import napari_unet as nu
from napari_unet.io.images import read_image
from napari_unet.io.write import read_provenance, write_image


def discs(shape=(40, 60), centres=((20, 20), (20, 37)), radius=10):
    """Interior and boundary of two touching discs, as float32."""
    y, x = np.indices(shape)
    each = [np.hypot(y - cy, x - cx) for cy, cx in centres]
    depth = radius - np.minimum(*each)
    interior = np.clip(depth / 4, 0, 1)
    boundary = np.where(depth > 0, 1 - interior, 0)
    return np.stack([interior, boundary]).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_touching_discs_of_another_network(run, tmp_path, dtype, suffix):
    values = discs()
    if dtype != "float32":
        values = np.rint(values * np.iinfo(dtype).max).astype(dtype)
    path = tmp_path / f"p.{suffix}"
    np.save(path, values) if suffix == "npy" else tifffile.imwrite(path, values)
    out = tmp_path / "labels.tif"
    said = run(
        *("separate", path, "-o", out, "--axes", "CYX"),
        *("--channels", "interior,boundary"),
    )
    assert said.out == f"p.{suffix}: 2 labels -> {out}\n"
    labels = tifffile.imread(out)
    assert np.array_equal(labels > 0, discs().sum(axis=0) > 0.5)
    assert (labels[:, :27][labels[:, :27] > 0] == 1).all()
    assert (labels[:, 31:][labels[:, 31:] > 0] == 2).all()


def test_channels_may_come_last(run, tmp_path):
    np.save(tmp_path / "p.npy", np.moveaxis(discs(), 0, -1))
    out = tmp_path / "labels.tif"
    names = ("--channels", "interior,boundary")
    run("separate", tmp_path / "p.npy", "-o", out, "--axes", "YXC", *names)
    wanted = nu.separate(discs(), channels=("interior", "boundary"))
    assert np.array_equal(tifffile.imread(out), wanted)


def test_one_channel_is_the_interior(run, tmp_path):
    np.save(tmp_path / "p.npy", discs()[0])
    out = tmp_path / "labels.tif"
    assert run("separate", tmp_path / "p.npy", "-o", out).status == 0
    assert np.array_equal(tifffile.imread(out), nu.separate(discs()[:1]))


def test_what_segment_wrote_is_separated_alike_and_then_otherwise(run, image):
    folder = image.parent
    labels = folder / "labels.tif"
    run("segment", image, "-o", labels, "--probabilities", "--min-size", "40")
    stored = folder / "labels_probabilities.tif"
    again, other = folder / "again.tif", folder / "other.tif"
    assert run("separate", stored, "-o", again).status == 0
    assert np.array_equal(tifffile.imread(again), tifffile.imread(labels))
    assert read_image(again).pixel_size == {"Y": 0.5, "X": 0.5}
    run("separate", stored, "-o", other, "--mask-threshold", "0.9")
    assert 0 < (tifffile.imread(other) > 0).sum() < (tifffile.imread(labels) > 0).sum()
    said = read_provenance(other)["separation"]
    assert (said["mask_threshold"], said["min_size"]) == (0.9, 40)


def test_volumes_as_a_whole_or_plane_by_plane(run, tmp_path):
    volume = np.repeat(discs()[:, None], 3, axis=1)
    write_image(tmp_path / "p.tif", volume, axes="CZYX")
    names = ("--channels", "interior,boundary")
    whole, planes = tmp_path / "whole.tif", tmp_path / "planes.tif"
    run("separate", tmp_path / "p.tif", "-o", whole, *names, "--connectivity", "1")
    run("separate", tmp_path / "p.tif", "-o", planes, *names, "--planes")
    found = tifffile.imread(whole)
    assert ndimage.label(found > 0)[1] == 1
    assert sorted(np.unique(found)) == [0, 1, 2]
    flat = nu.separate(discs(), channels=("interior", "boundary"))
    assert np.array_equal(tifffile.imread(planes), np.stack([flat] * 3))


def test_names_of_stains_are_not_taken_for_classes(run, tmp_path):
    background = 1 - discs().sum(axis=0, keepdims=True)
    values = np.concatenate([background, discs()])
    write_image(
        tmp_path / "p.tif", values, axes="CYX", channel_names=("red", "green", "blue")
    )
    out = tmp_path / "labels.tif"
    assert run("separate", tmp_path / "p.tif", "-o", out).status == 0
    assert np.array_equal(tifffile.imread(out), nu.separate(values))


def test_names_outside_the_vocabulary_are_classes(run, tmp_path):
    values = np.random.default_rng(0).random((3, 9, 9), np.float32)
    write_image(tmp_path / "p.tif", values, axes="CYX")
    out = tmp_path / "labels.tif"
    run("separate", tmp_path / "p.tif", "-o", out, "--channels", "sky,road,car")
    stored = np.rint(values * np.float32(65535))
    assert np.array_equal(tifffile.imread(out), stored.argmax(axis=0))


@pytest.mark.parametrize(
    ("values", "flags", "line"),
    [
        (5 * discs(), (), "Probabilities lie between 0 and 1, but these reach from 0"),
        (discs(), ("--channels", "interior"), "There are 2 channels of probabilities"),
        (discs()[[0, 1, 0, 1]], (), "There are 4 channels of probabilities, but 0"),
        (discs(), ("--link", "T"), "Objects cannot be linked over T"),
        (discs(), ("--channels", "interior,interior"), ""),
    ],
)
def test_refusals(run, tmp_path, values, flags, line):
    write_image(tmp_path / "p.tif", values, axes="CYX")
    out = tmp_path / "labels.tif"
    said = run("separate", tmp_path / "p.tif", "-o", out, *flags)
    assert said.status == 1
    assert said.line.startswith(line)
    assert not out.exists()


def test_targets_are_checked_as_for_segment(run, tmp_path):
    path = tmp_path / "p.tif"
    write_image(path, discs(), axes="CYX")
    assert "is an input" in run("separate", path, "-o", path, "--overwrite").line
    (tmp_path / "labels.tif").write_text("mine")
    said = run("separate", path, "-o", tmp_path / "labels.tif")
    assert "exists already" in said.line
    assert "Labels cannot be written to" in run("separate", path, "-o", "x.png").line
