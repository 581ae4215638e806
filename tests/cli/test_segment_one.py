"""One image through the shell: formats, axes, outputs, and equality with Python."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import napari_unet as nu
from napari_unet.io.write import read_provenance, write_image


def in_python(pixels, **options):
    return nu.segment(pixels, "nuclei", **options).labels


def test_one_file_leads_to_exactly_that_file(
    run, image, make_cells, labels_of, listing
):
    out = image.parent / "labels.tif"
    said = run("segment", image, "-o", out)
    assert said.status == 0
    labels = labels_of(out)
    assert said.out == f"cells.tif: {labels.max()} objects -> {out}\n"
    assert said.err == ""
    assert labels.dtype == np.int32
    assert np.array_equal(labels, in_python(make_cells()[0], axes="YX"))
    assert listing(image.parent) == ["cells.tif", "labels.tif"]
    assert not [p for p in image.parent.iterdir() if p.name.startswith(".")]


def test_cells_are_found(run, image, truth):
    out = image.parent / "labels.tif"
    run("segment", image, "-o", out)
    scores = nu.evaluate(tifffile.imread(out), tifffile.imread(truth))
    assert scores.f1[0] >= 0.9


def test_everything_beside_the_labels(run, image, make_cells, labels_of, listing):
    out = image.parent / "out" / "labels.tif"
    out.parent.mkdir()
    extras = ("--overlay", "--objects", "--probabilities")
    assert run("segment", image, "-o", out, *extras).status == 0
    names = ("labels", "labels_objects", "labels_overlay", "labels_probabilities")
    assert [name.partition(".")[0] for name in listing(out.parent)] == list(names)
    pixels, labels = make_cells()[0], labels_of(out)
    with (out.parent / "labels_objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(range(1, labels.max() + 1))
    for row in rows:
        inside = labels == int(row["label"])
        assert int(row["area"]) == inside.sum()
        assert float(row["area_um2"]) == pytest.approx(inside.sum() / 4)
        mean = pixels[inside].mean()
        assert float(row["intensity_mean_0"]) == pytest.approx(mean, rel=1e-5)
    with Image.open(out.parent / "labels_overlay.png") as picture:
        assert picture.size == labels.shape[::-1]
        assert picture.mode == "RGB"
    seg = nu.segment(pixels, "nuclei", axes="YX")
    stored = labels_of(out.parent / "labels_probabilities.tif")
    assert np.array_equal(stored, seg.probabilities)


def test_axes_pixel_size_and_provenance_are_written_back(run, image):
    out = image.parent / "labels.tif"
    run("segment", image, "-o", out, "--seed-threshold", "0.6")
    source = nu_read(out)
    assert (source.axes, source.pixel_size) == ("YX", {"Y": 0.5, "X": 0.5})
    stored = read_provenance(out)
    assert stored["separation"]["seed_threshold"] == 0.6
    assert stored["model"]["sha256"] == nu.load_model("nuclei").sha256
    assert stored["source"][0] == "cells.tif"
    assert str(image.parent) not in str(stored)
    assert stored["versions"]["napari-unet-cells"] == nu.__version__


def nu_read(path):
    from napari_unet.io.images import read_image

    source = read_image(path)
    source.close()
    return source


@pytest.mark.parametrize("suffix", ["png", "npy", "tiff", "zarr", "ome.zarr"])
def test_every_format_gives_the_labels_of_the_array(
    run, tmp_path, make_cells, labels_of, suffix
):
    pixels = make_cells()[0]
    path = tmp_path / f"x.{suffix}"
    if suffix == "png":
        Image.fromarray(pixels).save(path)
    elif suffix == "npy":
        np.save(path, pixels)
    elif suffix == "tiff":
        tifffile.imwrite(path, pixels)
    elif suffix == "zarr":
        zarr.save_array(str(path), pixels)
    else:
        write_ome_zarr(path, pixels)
    out = tmp_path / "labels.tif"
    assert run("segment", path, "-o", out).status == 0
    found = labels_of(out)
    assert np.array_equal(found, in_python(pixels, axes="YX"))


def write_ome_zarr(path: Path, pixels: np.ndarray) -> None:
    """One channel of one plane, as TCZYX, at 0.5 um."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=pixels[None, None, None], chunks=(1, 1, 1, 40, 40))
    kinds = {"T": "time", "C": "channel"}
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [
                {"name": a.lower(), "type": kinds.get(a, "space")}
                | ({} if a in kinds else {"unit": "micrometer"})
                for a in "TCZYX"
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [1, 1, 1, 0.5, 0.5]}
                    ],
                }
            ],
        }
    ]


def test_ome_zarr_keeps_its_axes_and_pixel_size(run, tmp_path, make_cells):
    write_ome_zarr(tmp_path / "x.ome.zarr", make_cells()[0])
    out = tmp_path / "labels.tif"
    run("segment", tmp_path / "x.ome.zarr", "-o", out)
    source = nu_read(out)
    assert (source.axes, source.shape) == ("TZYX", (1, 1, 96, 96))
    assert source.pixel_size == {"Z": 1.0, "Y": 0.5, "X": 0.5}


def test_colour_is_turned_to_grey_and_that_is_said(
    run, tmp_path, make_cells, labels_of
):
    grey = (make_cells()[0] // 257).astype(np.uint8)
    colour = np.stack([grey, grey // 2, grey], axis=-1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    out = tmp_path / "labels.tif"
    said = run("segment", tmp_path / "colour.png", "-o", out)
    assert "the colour image is turned to grey" in said.err
    assert np.array_equal(labels_of(out), in_python(colour, axes="YXC", rgb=True))


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "YXT", "TZYX"])
def test_stacks_and_series_run_plane_by_plane(
    run, tmp_path, make_cells, labels_of, axes
):
    planes = np.stack([make_cells(seed)[0] for seed in (0, 1)])
    stack = planes[:, None] if axes == "TZYX" else planes
    stack = np.moveaxis(stack, 0, -1) if axes == "YXT" else stack
    np.save(tmp_path / "stack.npy", stack)
    out = tmp_path / "labels.tif"
    said = run("segment", tmp_path / "stack.npy", "-o", out, "--axes", axes)
    assert said.status == 0
    labels = nu_read(out)
    assert (labels.axes, labels.shape) == (axes, stack.shape)
    found = np.asarray(nu_read_pixels(out))
    if "T" in axes:  # intensities are measured frame by frame, and over all of Z
        wanted = [in_python(plane, axes="YX") for plane in planes]
    else:
        wanted = list(in_python(planes, axes="ZYX"))
    for index, single in enumerate(wanted):
        plane = np.take(found, index, axis=axes.index("T" if "T" in axes else "Z"))
        assert np.array_equal(plane.reshape(single.shape), single)
    n = sum(int(single.max()) for single in wanted)
    assert n > 10
    assert said.out.startswith(f"stack.npy: {n} objects")


def nu_read_pixels(path):
    from napari_unet.io.images import read_image

    return read_image(path).data[...]


def test_slices_are_linked_to_objects(run, tmp_path, make_cells, labels_of):
    stack = np.stack([make_cells()[0]] * 3)
    write_image(tmp_path / "stack.tif", stack, axes="ZYX")
    out = tmp_path / "labels.tif"
    said = run("segment", tmp_path / "stack.tif", "-o", out, "--link", "Z")
    found = labels_of(out)
    # Percentiles of the stack are not quite those of one plane.
    single = in_python(stack, axes="ZYX")[0]
    assert np.array_equal(found, np.stack([single] * 3))
    assert said.out.startswith(f"stack.tif: {single.max()} objects")


def test_one_of_several_channels_is_chosen(run, tmp_path, make_cells, labels_of):
    pixels = make_cells()[0]
    noise = np.random.default_rng(0).integers(0, 999, pixels.shape).astype(np.uint16)
    write_image(tmp_path / "two.tif", np.stack([noise, pixels]), axes="CYX")
    out = tmp_path / "labels.tif"
    refused = run("segment", tmp_path / "two.tif", "-o", out)
    assert refused.line.startswith("The model takes 1 channel(s), but the image has 2.")
    assert run("segment", tmp_path / "two.tif", "-o", out, "--channels", 1).status == 0
    assert np.array_equal(labels_of(out), in_python(pixels, axes="YX"))
    missing = run("segment", tmp_path / "two.tif", "-o", out, "--channels", "x")
    assert missing.line == "--channels x is no channel. Count from 0, such as 0 or 0,2."


def test_a_guess_is_said(run, tmp_path, make_cells):
    np.save(tmp_path / "x.npy", make_cells()[0])
    said = run("segment", tmp_path / "x.npy", "-o", tmp_path / "labels.tif")
    assert said.err == "x: the axes were guessed: YX.\n"


def test_tiles_do_not_show(run, image, labels_of):
    whole, tiled = image.parent / "whole.tif", image.parent / "tiled.tif"
    run("segment", image, "-o", whole)
    run("segment", image, "-o", tiled, "--tile", "32,48")
    stored = read_provenance(tiled)
    assert stored["tile"] == [32, 48]
    assert np.array_equal(labels_of(whole), labels_of(tiled))


def test_a_scale_is_taken_and_said(run, image):
    out = image.parent / "labels.tif"
    said = run("segment", image, "-o", out, "--scale", "0.5")
    assert "scaled by 0.5 x 0.5 to the model's pixel size" in said.err
    assert nu_read(out).shape == (96, 96)


def test_a_pixel_size_given_stands_over_the_file(run, image):
    out = image.parent / "labels.tif"
    run("segment", image, "-o", out, "--pixel-size", "0.7,0.6")
    assert nu_read(out).pixel_size == {"Y": 0.7, "X": 0.6}


def test_an_empty_image_is_a_valid_result(run, tmp_path, labels_of):
    write_image(tmp_path / "dark.tif", np.zeros((40, 40), np.uint8), axes="YX")
    out = tmp_path / "labels.tif"
    said = run("segment", tmp_path / "dark.tif", "-o", out, "--objects", "--overlay")
    assert said.out.startswith("dark.tif: 0 objects")
    assert not labels_of(out).any()
    header = (tmp_path / "labels_objects.csv").read_text()
    assert header.startswith("label,area,centroid_y")
    assert header.count("\n") == 1


def test_labels_as_npy(run, image, labels_of):
    out = image.parent / "labels.npy"
    assert run("segment", image, "-o", out).status == 0
    assert np.load(out).dtype == np.int32
