"""The shell: OME-Zarr in and out, and folders on several workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.cli.parallel import Outcome, segment_image
from napari_unet.cli.place import Place
from napari_unet.cli.request import Request
from napari_unet.cli.targets import Wanted, output_paths
from napari_unet.pipeline import Options

Noise = Callable[..., np.ndarray]
THRESHOLDS = ["--seed-threshold", "0.3", "--mask-threshold", "0.2"]
FLAGS = ["-m", "nuclei-fast", "--tile", "64", *THRESHOLDS]


def write_ome_zarr(path: Path, image: np.ndarray, zarr_format: int) -> None:
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.create_array("0", data=image, chunks=(1, 64, 64))
    axes = [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    image_meta = {"axes": axes, "datasets": [dataset], "name": "image"}
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image_meta]}
    else:
        group.attrs["multiscales"] = [{**image_meta, "version": "0.4"}]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr_in_and_out(
    zarr_format: int, noise: Noise, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = noise((2, 150, 120))
    write_ome_zarr(tmp_path / "in.zarr", image, zarr_format)
    out = tmp_path / "out.zarr"
    command = ["segment", str(tmp_path / "in.zarr"), "-o", str(out), *FLAGS]
    command += ["--channels", "1", "--block", "64"]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 0
    separation = nu.Separation(seed_threshold=0.3, mask_threshold=0.2)
    expected = nu.segment(
        image[1],
        nu.load_model("nuclei-fast"),
        tiling=nu.Tiling(tile=64),
        separation=separation,
    )
    found = zarr.open_array(out / "labels" / "cells" / "0", mode="r")
    np.testing.assert_array_equal(found[...], expected.labels)
    assert expected.labels.max() > 5
    assert f"{expected.labels.max()} objects" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 1
    assert "exists already" in capsys.readouterr().err


def test_image_on_a_worker(noise: Noise, tmp_path: Path) -> None:
    """What a worker does with a good image, and with a bad one."""
    tifffile.imwrite(tmp_path / "good.tif", noise((80, 70)))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 no image")
    request = Request(nu.load_model("nuclei-fast"), Options(), Wanted(objects=True))
    found = []
    for name in ("good", "bad"):
        paths = output_paths(tmp_path / f"{name}_out.tif", request.wanted)
        found.append(segment_image(request, (tmp_path / f"{name}.tif", paths)))
    assert (tmp_path / "good_out.tif").is_file()
    assert (tmp_path / "good_out_objects.csv").is_file()
    assert "object" in found[0].summary
    assert not found[0].problem
    assert found[1].problem
    assert not (tmp_path / "bad_out.tif").exists()
    assert isinstance(found[1], Outcome)


def test_workers_and_scheduler_exclude_each_other() -> None:
    with pytest.raises(nu.UNetError, match="exclude each other"):
        Place(workers=2, scheduler="tls://host:8786").cluster()
