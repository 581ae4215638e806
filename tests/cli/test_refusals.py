"""Everything a user can get wrong, and the one line that it leads to."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from PIL import Image

from napari_unet.io import atomic, folders
from napari_unet.io.write import write_image


def test_wrong_usage(run, image):
    assert run("segment").line == "Missing argument 'IN...'. See --help."
    said = run("segment", image, "--out", "x.tif", "--no-such-flag")
    assert said.status == 2
    assert said.line.startswith("No such option: --no-such-flag")
    assert run("fly").line.startswith("No such command 'fly'")
    assert run("segment", image, "-o").status == 2


def test_no_arguments_show_the_help(run):
    said = run()
    assert (said.status, said.err) == (0, "")
    for name in ("segment", "separate", "evaluate", "demo", "doctor"):
        assert name in said.out


def test_the_version(run):
    import napari_unet as nu

    assert run("--version").out.strip() == nu.__version__


def out_of(image):
    return image.parent / "out.tif"


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "does not exist. Check the spelling"),
        (lambda path: path.mkdir(), "holds no images. Name the folder"),
        (lambda path: path.write_bytes(b""), "x.tif is empty. Copy it again"),
        (lambda path: path.write_text("text"), "is named like a TIFF file but is none"),
        (lambda path: path.write_bytes(b"II*\0zzzz"), "is damaged or was cut off"),
    ],
)
def test_what_is_no_image(run, tmp_path, make, line):
    path = tmp_path / "x.tif"
    make(path)
    said = run("segment", path, "-o", tmp_path / "out.tif")
    assert said.status == 1
    assert line in said.line
    assert not (tmp_path / "out.tif").exists()


def test_a_kind_that_is_not_read(run, tmp_path):
    (tmp_path / "x.czi").write_text("x")
    said = run("segment", tmp_path / "x.czi", "-o", tmp_path / "out.tif")
    assert said.line.startswith("x.czi is of no kind that can be read here. Save it as")


def test_a_tiff_that_was_cut_off(run, image):
    image.write_bytes(image.read_bytes()[:3000])
    said = run("segment", image, "-o", out_of(image))
    assert "cells.tif is damaged or was cut off" in said.line


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ("ZYX", "Axes 'ZYX' name 3 axes, but the array has 2"),
        ("QX", "unknown letters"),
        ("XX", "name an axis twice"),
        ("ZX", "lack Y or X"),
    ],
)
def test_wrong_axes(run, image, axes, line):
    said = run("segment", image, "-o", out_of(image), "--axes", axes)
    assert said.status == 1
    assert line in said.line


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--tile", "0"), "Tiling: tile.0 = '0' is not accepted"),
        (("--tile", "x"), "Tiling: tile.0 = 'x' is not accepted"),
        (("--tile", "1,2,3,4"), "Tiling: tile = "),
        (("--seed-threshold", "7"), "Separation: seed_threshold = '7' is not accepted"),
        (("--link", "Q"), "Separation: link = 'Q' is not accepted"),
        (("--link", "Z"), "Objects cannot be linked over Z"),
        (("--precision", "int4"), "Prediction: precision = 'int4' is not accepted"),
        (("--low", "99.9"), "Normalization: low = 99.9 must be below high"),
        (("--pixel-size", "wide"), "--pixel-size wide is no list of numbers."),
        (("--pixel-size", "-1"), "The pixel size (-1.0, -1.0) is not positive."),
        (("--pixel-size", "1,1,1,1"), "4 pixel sizes were given for the axes YX."),
        (("--diameter", "0"), "The diameter 0.0 is not positive."),
        (("--scale", "1000"), "The image would be scaled by 1e+03 x 1e+03"),
        (("--device", "tpu"), "There is no device 'tpu' here."),
        (("--series", "3"), "cells.tif has no series 3."),
        (("-m", "no-such-model"), "There is no model called no-such-model."),
        (("--overwrite", "--resume"), "--overwrite and --resume exclude each other."),
    ],
)
def test_wrong_settings(run, image, flags, line):
    said = run("segment", image, "-o", out_of(image), *flags)
    assert said.status == 1
    assert said.line.startswith(line)
    assert not out_of(image).exists()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("m.safetensors", b"", "m.safetensors"),
        ("m.safetensors", b"\x10" * 99, "m.safetensors"),
        ("m.pt", b"no zip", "m.pt"),
        ("m.txt", b"x", "is not a checkpoint of a known kind"),
    ],
)
def test_damaged_models(run, image, name, content, line):
    path = image.parent / name
    path.write_bytes(content)
    said = run("segment", image, "-o", out_of(image), "-m", path)
    assert said.status == 1
    assert line in said.line


def test_a_model_that_was_cut_off(run, image):
    from napari_unet.nn.checkpoint import BUNDLED

    path = image.parent / "m.safetensors"
    path.write_bytes((BUNDLED / "nuclei.safetensors").read_bytes()[:-1000])
    said = run("segment", image, "-o", out_of(image), "-m", path)
    assert "m.safetensors" in said.line
    assert "damaged" in said.line or "cut off" in said.line


def test_an_output_that_exists_stays(run, image):
    out_of(image).write_text("mine")
    said = run("segment", image, "-o", out_of(image))
    assert said.line == (
        f"{out_of(image)} exists already. Choose another name, or give --overwrite."
    )
    assert out_of(image).read_text() == "mine"
    assert run("segment", image, "-o", out_of(image), "--overwrite").status == 0


def test_one_image_and_a_folder_as_output(run, image, tmp_path):
    (tmp_path / "out").mkdir()
    said = run("segment", image, "-o", tmp_path / "out")
    assert said.line == (
        f"{tmp_path / 'out'} is a folder, but one image leads to one file. Name the "
        f"file, such as {tmp_path / 'out' / 'labels.tif'}."
    )


def test_several_images_and_a_file_as_output(run, folder, tmp_path):
    said = run("segment", folder, "-o", tmp_path / "labels.tif")
    assert "is named like a file, but several images need a folder" in said.line
    (tmp_path / "out").write_text("mine")
    said = run("segment", folder, "-o", tmp_path / "out", "--overwrite")
    assert "is a file; several images need a folder" in said.line
    said = run("segment", folder, "-o", tmp_path / "out" / "deeper", "--overwrite")
    assert f"cannot be made: {tmp_path / 'out'} is a file" in said.line


def test_a_folder_for_the_output_that_is_missing(run, image):
    said = run("segment", image, "-o", image.parent / "no" / "out.tif")
    assert "does not exist. Create it first." in said.line


@pytest.mark.parametrize("suffix", [".png", ".txt", ""])
def test_labels_of_a_kind_that_is_not_written(run, image, suffix):
    said = run("segment", image, "-o", image.parent / f"out{suffix}")
    assert said.line.startswith(f"Labels cannot be written to out{suffix}")


def test_the_input_is_never_overwritten(run, image, folder):
    before = image.read_bytes()
    said = run("segment", image, "-o", image, "--overwrite")
    assert "is an input and would be overwritten by the result" in said.line
    assert image.read_bytes() == before
    said = run("segment", folder, "-o", folder, "--overwrite")
    assert "is an input and would be overwritten by the result" in said.line


def test_equal_stems(run, folder):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "a.png")
    said = run("segment", folder, "-o", folder.parent / "out")
    assert "have the same name without suffix" in said.line


def test_two_images_that_lead_to_one_file(run, folder):
    write_image(folder / "a_probabilities.tif", np.zeros((9, 9), np.uint8), axes="YX")
    images = (folder / "a.tif", folder / "a_probabilities.tif")
    said = run("segment", *images, "-o", folder.parent / "out", "--probabilities")
    assert "would both be written to" in said.line


def test_a_read_only_folder_is_told_before_the_work(run, image, folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    for given, out in ((image, "out.tif"), (folder, "out")):
        said = run("segment", given, "-o", image.parent / out)
        assert said.line.startswith(f"The folder {image.parent} may not be written to.")


def test_a_folder_that_may_not_be_listed(run, folder, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(folders, "_visible", forbidden)
    said = run("segment", folder, "-o", folder.parent / "out")
    assert said.line == (
        f"{folder}: Permission denied. Check the name, the permissions and the free "
        "space of the disk."
    )


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_half_written(run, image, monkeypatch, listing):
    monkeypatch.setattr(atomic.os, "replace", full_disk)
    said = run("segment", image, "-o", out_of(image))
    assert "could not be written (No space left on device)" in said.line
    assert listing(image.parent) == ["cells.tif"]


def test_a_full_memory_is_told(run, image, monkeypatch):
    from napari_unet.cli import batch

    def full(*_, **__):
        raise MemoryError("Unable to allocate 4 TiB")

    monkeypatch.setattr(batch, "iter_segment", full)
    said = run("segment", image, "-o", out_of(image))
    assert said.line == (
        "The memory of this machine is full (Unable to allocate 4 TiB). Close other "
        "programs, or cut the image into parts."
    )


def test_the_unforeseen_asks_for_a_report(run, image, monkeypatch):
    from napari_unet.cli import batch

    def broken(*_, **__):
        raise ZeroDivisionError("x\ny")

    monkeypatch.setattr(batch, "iter_segment", broken)
    said = run("segment", image, "-o", out_of(image))
    assert said.line == (
        "Something unforeseen happened (ZeroDivisionError: x y). Please report it with "
        "the output of this command under NAPARI_UNET_DEBUG=1."
    )
    monkeypatch.setenv("NAPARI_UNET_DEBUG", "1")
    from napari_unet.cli import main

    with pytest.raises(ZeroDivisionError):
        main(["segment", str(image), "-o", str(out_of(image))])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--workers", "2"), "--workers would"),
        (("--scheduler", "tls://host:8786"), "--scheduler would"),
        (("--block", "64", "--workers", "2"), "--workers and --block would"),
    ],
)
@pytest.mark.parametrize("name", ["out.tif", "out.npy"])
def test_flags_that_would_do_nothing_for_one_image(run, image, flags, named, name):
    out = image.with_name(name)
    said = run("segment", image, "-o", out, *flags)
    assert said.status == 1
    assert said.line.startswith(named)
    assert "Name such an OUT, or leave them out." in said.line
    assert not out.exists()


def test_a_flag_that_would_do_nothing_for_a_folder(run, folder, tmp_path):
    said = run("segment", folder, "-o", tmp_path / "out", "--block", "64")
    assert said.status == 1
    assert said.line.startswith("--block would do nothing")
    assert not (tmp_path / "out").exists()


def test_classes_have_no_table_of_objects(run, truth, tmp_path):
    table = tmp_path / "objects.csv"
    said = run("evaluate", truth, truth, "--classes", "3", "--csv", table)
    assert said.status == 1
    assert said.line.startswith("--csv is a table of objects")
    assert not table.exists()
