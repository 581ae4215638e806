"""Real files of microscopes through the shell: what is known of them comes back."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile

import napari_unet as nu
from napari_unet.io.images import read_image

pytestmark = pytest.mark.shared


@pytest.fixture
def formats(shared):
    return shared / "data" / "large_and_formats"


@pytest.mark.parametrize("letter", "ZT")
def test_stack_and_series_of_bio_formats(run, formats, tmp_path, letter):
    path = formats / f"qupath_cells-2{letter.lower()}.ome.tif"
    out = tmp_path / "labels.tif"
    assert run("segment", path, "-o", out, "--overlay", "--objects").status == 0
    source, labels = read_image(path), read_image(out)
    assert (labels.axes, labels.shape) == (source.axes, source.shape)
    assert labels.pixel_size == source.pixel_size
    seg = nu.segment(np.asarray(source.data), "nuclei", axes=source.axes)
    assert np.array_equal(np.asarray(labels.data), seg.labels)
    with (tmp_path / "labels_objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(int(plane.max()) for plane in seg.labels)
    assert {row[letter.lower()] for row in rows} == {"0", "1"}


def test_a_plate_names_its_images(run, formats, tmp_path):
    """Its well has lost its metadata; what is in it is read all the same."""
    plate, out = formats / "plate_ones_mip.ome.zarr", tmp_path / "out"
    assert run("segment", plate, "-o", out, "--channels", "0").status == 0
    assert (out / "plate_ones_mip_B_03_0.tif").is_file()


def test_the_sequences_of_a_challenge_set_are_scored(run, shared, tmp_path):
    """Frames of N2DL-HeLa, cut: better than the floor without learning (0.526)."""
    folder = shared / "data" / "ctc_n2dl_hela" / "test"
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        pixels = tifffile.imread(folder / kind / "01_t070.tif")[:400, :400]
        tifffile.imwrite(tmp_path / kind / "01_t070.tif", pixels)
    out = tmp_path / "out"
    assert run("segment", tmp_path / "images", "-o", out).status == 0
    scores = json.loads(run("evaluate", out, tmp_path / "labels", "--json").out)
    assert scores["ap@0.5"] > 0.6
