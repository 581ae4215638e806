"""Plates: every field of view is an image of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_unet.io.folders import list_images
from napari_unet.io.images import read_image
from napari_unet.io.names import stem


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_fields_of_a_plate(zarr_format: int, tmp_path: Path) -> None:
    def describe(group: zarr.Group, **meta: object) -> None:
        group.attrs.update({"ome": {"version": "0.5", **meta}} if new else meta)

    new = zarr_format == 3
    path = tmp_path / "screen.zarr"
    plate = zarr.create_group(path, zarr_format=zarr_format)
    describe(
        plate, plate={"wells": [{"path": "A/1"}, {"path": "B/2"}, {"path": "C/3"}]}
    )
    for name in ("A/1", "B/2"):
        well = plate.create_group(name)
        describe(well, well={"images": [{"path": "0"}, {"path": "1"}]})
        field = well.create_group("0")
        field.create_array("0", data=np.full((4, 5), 7, np.uint8))
        axes = [{"name": a, "type": "space"} for a in "yx"]
        scale = [{"type": "scale", "scale": [1.0, 1.0]}]
        datasets = [{"path": "0", "coordinateTransformations": scale}]
        describe(field, multiscales=[{"axes": axes, "datasets": datasets}])
    found = list_images([path])
    assert found == [path / "A/1/0", path / "B/2/0"]
    assert [stem(image) for image in found] == ["screen_A_1_0", "screen_B_2_0"]
    np.testing.assert_array_equal(read_image(found[1]).data[...], 7)
    assert list_images([path / "A/1"]) == [path / "A/1/0"]
    del plate["A/1"].attrs["ome" if new else "well"]  # not copied with the images
    assert list_images([path]) == found
