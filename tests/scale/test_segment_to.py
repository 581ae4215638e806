"""Out of core against in memory: the same labels, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from skimage.draw import polygon2mask

import napari_unet as nu
from napari_unet.engine import blocks
from napari_unet.engine.segment_to import iter_segment_to, segment_to
from napari_unet.errors import ImageFileError, SettingsError

MakeModel = Callable[..., nu.Model]
Thresholds = Callable[..., nu.Separation]
Noise = Callable[..., np.ndarray]


def compare(
    image: np.ndarray, model: nu.Model, out: Path, block: int, **options: Any
) -> Any:
    """Run both ways; compare labels and probabilities; return the result on disk."""
    expected = nu.segment(image, model, **options)
    found = segment_to(image, out, model, block=block, **options)
    order = [expected.axes.index(a) for a in found.axes]
    np.testing.assert_array_equal(found.labels[...], expected.labels.transpose(order))
    assert expected.labels.max() > 0
    if found.probabilities is not None:
        stored = "".join(a for a in "TCZYX" if a == "C" or a in expected.axes)
        axes = "C" + expected.axes
        turned = expected.probabilities.transpose([axes.index(a) for a in stored])
        np.testing.assert_array_equal(found.probabilities[...], turned)
    return found


@pytest.mark.parametrize("block", [32, 64, 96, 1000])
def test_2d_any_block(
    block: int,
    make_model: MakeModel,
    noise: Noise,
    cell_like: Thresholds,
    tmp_path: Path,
) -> None:
    model, image = make_model(), noise((150, 131))
    tiling = nu.Tiling(tile=32)
    separation = cell_like(image, model, tiling=tiling)
    found = compare(
        image, model, tmp_path / "o.zarr", block, tiling=tiling, separation=separation
    )
    assert found.n_objects == int(found.labels[...].max())


def test_3d(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    model, image = make_model(ndim=3), noise((20, 40, 36))
    tiling = nu.Tiling(tile=(8, 16, 16))
    separation = cell_like(image, model, tiling=tiling)
    separation = separation.replace(keep_unseeded=True, connectivity=2)
    compare(image, model, tmp_path / "o.zarr", 16, tiling=tiling, separation=separation)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("TYX", (3, 70, 40)), ("YXZ", (70, 40, 2)), ("ZCTYX", (2, 1, 2, 40, 70))],
)
def test_axes(
    axes: str,
    shape: tuple[int, ...],
    make_model: MakeModel,
    noise: Noise,
    cell_like: Thresholds,
    tmp_path: Path,
) -> None:
    model, image = make_model(), noise(shape)
    options = {"axes": axes, "tiling": nu.Tiling(tile=16)}
    options["separation"] = cell_like(image, model, **options)
    compare(image, model, tmp_path / "o.zarr", 32, **options)


@pytest.mark.parametrize(
    ("axes", "shape", "link"),
    [
        ("TYX", (3, 50, 40), "T"),
        ("YXZ", (50, 40, 3), "Z"),
        ("ZTYX", (2, 3, 40, 50), "TZ"),
    ],
)
def test_linked(
    axes: str,
    shape: tuple[int, ...],
    link: str,
    make_model: MakeModel,
    noise: Noise,
    cell_like: Thresholds,
    tmp_path: Path,
) -> None:
    model, image = make_model(), noise(shape)
    options = {"axes": axes, "tiling": nu.Tiling(tile=16)}
    separation = cell_like(image, model, **options)
    options["separation"] = separation.replace(link=link, link_overlap=0.1)
    found = compare(image, model, tmp_path / "o.zarr", 32, **options)
    assert found.n_objects == int(found.labels[...].max())


def test_linked_in_each_frame_counts_those_of_all(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    """Numbers start afresh in each frame: the largest is not their number."""
    model, image = make_model(), noise((2, 3, 50, 40))
    options = {"axes": "TZYX", "tiling": nu.Tiling(tile=16)}
    separation = cell_like(image, model, **options)
    options["separation"] = separation.replace(link="Z", link_overlap=0.1)
    found = compare(image, model, tmp_path / "o.zarr", 32, **options)
    frames = [len(np.unique(frame)) - 1 for frame in found.labels[...]]
    assert min(frames) > 0
    assert found.n_objects == sum(frames)


def test_default_block_is_resumed(
    make_model: MakeModel,
    noise: Noise,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of 40 x 48: rounded up to tiles that differ from axis to axis."""
    monkeypatch.setitem(blocks.DEFAULT_BLOCK, 2, 40)
    image, model, out = noise((150, 131)), make_model(), tmp_path / "o.zarr"
    options = {"tiling": nu.Tiling(tile=(20, 48))}
    job = iter_segment_to(image, out, model, **options)
    started = next(p for p in job if p.step == "survey" and p.n_done == 5)
    job.close()
    assert started.total == 4 * 3
    again = list(iter_segment_to(image, out, model, resume=True, **options))
    assert [p.n_done for p in again if p.step == "survey"] == list(range(5, 13))
    found = zarr.open_array(out / "labels" / "cells" / "0", mode="r")
    expected = nu.segment(image, model, **options).labels
    np.testing.assert_array_equal(found[...], expected)


def test_resampled(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    model, image = make_model(), noise((90, 70), dtype=np.float32)
    options = {"tiling": nu.Tiling(tile=16), "scale": 1.37}
    options["separation"] = cell_like(image, model, **options)
    compare(image, model, tmp_path / "o.zarr", 32, **options)


OUTLINE = [[(5, 90.5), (70, 12), (66.25, 128)], [(90, 3), (90, 40), (140, 3)]]


@pytest.mark.parametrize("block", [32, 64, 1000])
@pytest.mark.parametrize("scale", [None, 0.8])
def test_outline(
    block: int,
    scale: float | None,
    make_model: MakeModel,
    noise: Noise,
    cell_like: Thresholds,
    tmp_path: Path,
) -> None:
    model, image = make_model(), noise((150, 131))
    options: dict[str, Any] = {"tiling": nu.Tiling(tile=32), "scale": scale}
    whole = nu.segment(image, model, **options)
    separation = cell_like(image, model, **options)
    options |= {"outline": OUTLINE, "separation": separation}
    found = compare(image, model, tmp_path / "o.zarr", block, **options)
    inside = sum(polygon2mask(image.shape, np.array(points)) for points in OUTLINE) > 0
    kept = np.where(inside, whole.probabilities, 0).astype(np.uint16)
    expected = nu.separate(kept, separation, channels=whole.channels)
    np.testing.assert_array_equal(found.labels[...], expected)
    other = {**options, "outline": OUTLINE[:1]}
    with pytest.raises(ImageFileError, match="another outline"):
        segment_to(image, tmp_path / "o.zarr", model, block=block, resume=True, **other)


def test_valid_convolutions(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    model, image = make_model(padded=False), noise((90, 70))
    options = {"tiling": nu.Tiling(tile=16)}
    options["separation"] = cell_like(image, model, **options)
    compare(image, model, tmp_path / "o.zarr", 32, **options)


def test_blended(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    model, image = make_model(norm="instance"), noise((90, 70))
    options = {"tiling": nu.Tiling(tile=16)}
    options["separation"] = cell_like(image, model, **options)
    compare(image, model, tmp_path / "o.zarr", 32, **options)


def test_classes(make_model: MakeModel, noise: Noise, tmp_path: Path) -> None:
    recipe = {"channels": ("sky", "road", "tree"), "task": "semantic"}
    model, image = make_model(recipe=recipe), noise((90, 70))
    compare(image, model, tmp_path / "o.zarr", 32, tiling=nu.Tiling(tile=16))


def test_output_is_ome_zarr(
    make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    model, image = make_model(), noise((2, 600, 90))
    out = tmp_path / "o.zarr"
    options = {"axes": "TYX", "pixel_size": 0.25, "tiling": nu.Tiling(tile=64)}
    found = segment_to(image, out, model, block=128, **options)
    for group in (out, out / "labels", out / "labels" / "cells"):
        yaozarrs.validate_zarr_store(str(group))
    cells = zarr.open_group(out / "labels" / "cells", mode="r")
    assert cells["1"].shape == (2, 300, 45)
    np.testing.assert_array_equal(cells["1"][...], found.labels[...][:, ::2, ::2])
    scale = cells.attrs["ome"]["multiscales"][0]["datasets"][1]
    assert scale["coordinateTransformations"][0]["scale"] == [1.0, 0.5, 0.5]
    assert not (tmp_path / "o.zarr.part").exists()
    assert sorted(p.name for p in (out / ".napari-unet").iterdir()) == [
        "journal.json",
        "zarr.json",
    ]


def test_probabilities_dropped(
    make_model: MakeModel, noise: Noise, cell_like: Thresholds, tmp_path: Path
) -> None:
    model, image = make_model(), noise((90, 70))
    options = {"tiling": nu.Tiling(tile=16)}
    options["separation"] = cell_like(image, model, **options)
    expected = nu.segment(image, model, **options)
    out = tmp_path / "o.zarr"
    found = segment_to(image, out, model, block=32, keep_probabilities=False, **options)
    np.testing.assert_array_equal(found.labels[...], expected.labels)
    assert found.probabilities is None
    assert not (out / "0").exists()
    yaozarrs.validate_zarr_store(str(out / "labels" / "cells"))


def test_existing_output_is_refused(
    make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    model, image, out = make_model(), noise((40, 40)), tmp_path / "o.zarr"
    segment_to(image, out, model)
    with pytest.raises(ImageFileError, match="exists already"):
        segment_to(image, out, model)
    segment_to(image, out, model, overwrite=True)
    again = segment_to(image, out, model, resume=True)
    assert again.path == out
    with pytest.raises(ImageFileError, match="separation"):
        segment_to(image, out, model, resume=True, separation=nu.Separation(min_size=3))


def test_foreign_folder_is_not_replaced(
    make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(ImageFileError, match="no output of this program"):
        segment_to(noise((40, 40)), folder, make_model(), overwrite=True)


def test_unknown_option(make_model: MakeModel, noise: Noise, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no option"):
        segment_to(noise((40, 40)), tmp_path / "o.zarr", make_model(), blocks=3)
