"""Images on disk, segmented from there to there: what is in view first."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

import napari_unet as nu
from napari_unet.errors import ImageFileError
from napari_unet.plugin import large_run, segment_plan

pytestmark = pytest.mark.gui

PATIENCE = 300_000
VIEW = {"Y": (130, 140), "X": (130, 140)}


@pytest.fixture
def open_on_disk(open_widget, monkeypatch, tmp_path):
    """Return a function: image on disk -> viewer and widget, for which all is large."""
    monkeypatch.setattr(segment_plan, "LARGE", 0)
    monkeypatch.setattr(large_run, "BLOCK", {2: 64, 3: 64})
    monkeypatch.setattr(large_run, "visible_region", lambda *_: VIEW)

    def make(image, **layer):
        viewer, widget = open_widget(image, **layer)
        widget._run.large.ask = lambda _: tmp_path / "cells.zarr"
        return viewer, widget

    return make


def on_disk(pixels, folder):
    return zarr.create_array(folder / "image.zarr", data=pixels, chunks=(64, 64))


def pixels_of(layer):
    return np.asarray((layer.data[0] if layer.multiscale else layer.data)[...])


def run(widget, qtbot):
    """Press Run, wait for the end, and return what was shown on the way."""
    shown = []
    large = widget._run.large
    look = large.progress.connect(lambda *_: shown.append(pixels_of(large.labels)))
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.progress.button.click()
    large.progress.disconnect(look)
    return shown


@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_labels_on_disk_grow_from_the_view(open_on_disk, qtbot, nuclei, tmp_path, kind):
    if kind == "dask":  # so wide that there is a pyramid
        nuclei = np.concatenate([nuclei] * 3, axis=1)
    array = on_disk(nuclei, tmp_path)
    image = array if kind == "zarr" else da.from_zarr(array)
    viewer, widget = open_on_disk(image, scale=(0.5, 0.4), translate=(3, 4))
    shown = run(widget, qtbot)
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX")
    layer = viewer.layers["image [cells]"]
    np.testing.assert_array_equal(pixels_of(layer), expected.labels)
    np.testing.assert_allclose(layer.scale, (0.5, 0.4))
    assert layer.metadata["napari_unet"]["path"] == str(tmp_path / "cells.zarr")
    assert layer.metadata["napari_unet"]["n_objects"] == expected.labels.max()
    assert f"{expected.labels.max()} cells in" in widget.progress.text.text()
    first = next(labels for labels in shown if labels.any())
    assert first[128:192, 128:192].any(), "the block in view is the first"
    assert layer.multiscale == (kind == "dask")
    assert widget.outputs is None
    assert not widget.tuning.copy.isEnabled()
    assert widget.progress.button.text() == "Run"


def test_a_channel_is_segmented_from_disk_to_disk(
    open_on_disk, qtbot, nuclei, tmp_path
):
    stack = np.stack([nuclei[::-1], nuclei])
    chunks = (1, 64, 64)
    array = zarr.create_array(tmp_path / "image.zarr", data=stack, chunks=chunks)
    viewer, widget = open_on_disk(array, axis_labels=("c", "y", "x"))
    widget.set_value(widget.value().replace(channels=(1,)))
    run(widget, qtbot)
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX")
    layer = viewer.layers["image [cells]"]
    np.testing.assert_array_equal(pixels_of(layer), expected.labels)
    assert layer.metadata["napari_unet"]["channels"] == [1]


def test_cancelled_and_gone_on_with(open_on_disk, qtbot, nuclei, tmp_path):
    viewer, widget = open_on_disk(on_disk(nuclei, tmp_path))
    with qtbot.waitSignal(
        widget._run.progress, timeout=PATIENCE, check_params_cb=lambda n, _: n > 0
    ):
        widget.run()
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.cancel()
    assert (tmp_path / "cells.zarr.part").is_dir()
    assert "Cancelled" in widget.progress.text.text()
    shown = run(widget, qtbot)
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX").labels
    layer = viewer.layers["image [cells]"]
    np.testing.assert_array_equal(pixels_of(layer), expected)
    assert shown[0].any(), "what was finished is not done again"
    assert len(viewer.layers) == 2


def test_nowhere_is_no_run(open_on_disk, qtbot, nuclei, tmp_path):
    viewer, widget = open_on_disk(on_disk(nuclei, tmp_path))
    widget._run.large.ask = lambda _: None
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.run()
    assert [layer.name for layer in viewer.layers] == ["image"]
    assert widget.progress.button.isEnabled()


def test_a_strangers_folder_is_not_touched(open_on_disk, qtbot, nuclei, tmp_path):
    (tmp_path / "cells.zarr").mkdir()
    (tmp_path / "cells.zarr" / "notes.txt").write_text("mine")
    _, widget = open_on_disk(on_disk(nuclei, tmp_path))
    errors = []
    widget.failed.connect(errors.append)
    with qtbot.waitSignals([widget.failed, widget.stopped], timeout=PATIENCE):
        widget.run()
    assert isinstance(errors[0], ImageFileError)
    assert (tmp_path / "cells.zarr" / "notes.txt").read_text() == "mine"


def test_stored_axes_are_turned_to_those_of_the_image(tmp_path):
    """Stored are T, Z, Y, X; the layer has the image's order."""
    labels = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    group = zarr.create_group(tmp_path / "o.zarr" / "labels" / "cells")
    for level in range(11):
        group.create_array(str(level), data=labels)
    levels = large_run.read_levels(tmp_path / "o.zarr", "YXZ")
    assert len(levels) == 11
    np.testing.assert_array_equal(levels[10][...], labels.transpose(1, 2, 0))
