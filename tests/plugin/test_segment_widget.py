"""The Segment widget, with a real worker: what a user does, and what must hold."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from skimage.draw import polygon2mask

import napari_unet as nu
from napari_unet.errors import WorkerError
from napari_unet.plugin.segment_choice import SegmentChoice

pytestmark = pytest.mark.gui

PATIENCE = 300_000


@pytest.mark.installed
def test_run_gives_the_shells_labels_on_their_source(open_widget, run_widget, nuclei):
    placed = {"scale": (0.5, 0.4), "translate": (3, 4), "units": ("um", "um")}
    viewer, widget = open_widget(nuclei, **placed)
    assert widget.form.axes.value() == "YX"
    outputs = run_widget(widget)
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX")
    np.testing.assert_array_equal(outputs.labels.data, expected.labels)
    assert outputs.labels.data.max() > 10
    source = viewer.layers["image"]
    for layer in (outputs.labels, *outputs.channels):
        np.testing.assert_allclose(layer.scale, source.scale)
        np.testing.assert_allclose(layer.translate, source.translate)
        assert layer.units == source.units
        assert layer.metadata["napari_unet"]["model"]["name"] == "nuclei-fast"
    assert [layer.name for layer in outputs.channels] == [
        "image [interior]",
        "image [boundary]",
    ]
    assert viewer.layers.selection.active is outputs.labels
    assert widget.tuning.count.text() == f"{expected.labels.max()} cells"


def test_sliders_say_whose_cells_they_tell_apart(
    open_widget, run_widget, qtbot, nuclei
):
    """Another image was chosen since: they still act on the last result."""
    viewer, widget = open_widget(nuclei)
    outputs, count = run_widget(widget), widget.tuning.count
    n_cells = outputs.n_cells
    viewer.add_image(nuclei[:64], name="other")
    widget.form.layer.set_value("other")
    assert count.text() == f"{n_cells} cells in image"
    widget.form.layer.set_value("image")
    assert count.text() == f"{n_cells} cells"
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.2)
        assert count.text() == f"{n_cells} cells …"
        widget.form.layer.set_value("other")
        assert count.text() == f"{n_cells} cells in image …", "still being counted"
    assert count.text() == f"{outputs.n_cells} cells in image"


def test_run_again_updates_in_place(open_widget, run_widget, nuclei):
    viewer, widget = open_widget(nuclei)
    first = run_widget(widget)
    n_layers = len(viewer.layers)
    second = run_widget(widget)
    assert len(viewer.layers) == n_layers
    assert second.labels is first.labels


def test_labels_of_another_region_are_replaced_and_that_is_said(
    open_widget, run_widget, nuclei
):
    series = np.stack([nuclei] * 2)
    viewer, widget = open_widget(series, axis_labels=("t", "y", "x"))
    widget.form.region.setCurrentText("Current slice or frame")
    said = []
    for frame in (0, 0, 1):
        viewer.dims.set_current_step(0, frame)
        labels = run_widget(widget).labels.data
        assert [plane.max() > 10 for plane in labels] == [frame == 0, frame == 1]
        said.append("another region" in widget.progress.text.text())
    assert said == [False, False, True]


@pytest.mark.installed
def test_sliders_give_what_a_full_run_gives(open_widget, run_widget, qtbot, nuclei):
    _, widget = open_widget(nuclei)
    outputs = run_widget(widget)
    before = outputs.labels.data.copy()
    colours = outputs.painted({})
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.2)
    separation = widget.tuning.value()
    assert separation.mask_threshold == 0.2
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX", separation=separation)
    np.testing.assert_array_equal(outputs.labels.data, expected.labels)
    assert (outputs.labels.data > 0).sum() > (before > 0).sum()
    made = outputs.labels.metadata["napari_unet"]
    assert made["separation"] == separation.model_dump()
    # Cells have grown, and nearly all of their old pixels have their old colour.
    old = before > 0
    assert (outputs.painted({})[old] == colours[old]).mean() > 0.95


@pytest.mark.installed
def test_the_copied_script_gives_identical_labels(
    make_napari_viewer, run_widget, qtbot, one_worker
):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-unet-cells", "touching_nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment")
    qtbot.waitUntil(lambda: widget.card is not None, timeout=PATIENCE)
    outputs = run_widget(widget)
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("seed_threshold").setValue(0.4)
    names: dict[str, object] = {}
    exec(compile(widget.copy_as_python(), "copied.py", "exec"), names)
    np.testing.assert_array_equal(names["labels"], outputs.labels.data)


def test_cancel_keeps_what_is_finished(open_widget, qtbot, nuclei):
    series = np.stack([nuclei] * 12)
    viewer, widget = open_widget(series, axis_labels=("t", "y", "x"))
    assert widget.form.axes.value() == "TYX"
    viewer.dims.set_current_step(0, 2)
    with qtbot.waitSignal(widget._run.progress, timeout=PATIENCE):
        widget.run()
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.cancel()
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        pass
    frames = widget.outputs.labels.data
    assert frames[2].max() > 10, "the frame in view comes first, and stays"
    assert frames[11].max() == 0
    assert widget.progress.button.text() == "Run"
    assert widget.progress.button.isEnabled()


@pytest.mark.installed
def test_a_killed_worker_is_a_message_and_run_works_again(
    open_widget, run_widget, qtbot, nuclei, one_worker
):
    series = np.stack([nuclei] * 12)
    viewer, widget = open_widget(series, axis_labels=("t", "y", "x"))
    with qtbot.waitSignal(widget._run.progress, timeout=PATIENCE):
        widget.run()
    errors = []
    widget.failed.connect(errors.append)
    with qtbot.waitSignals([widget.failed, widget.stopped], timeout=PATIENCE):
        os.kill(one_worker.pid, signal.SIGKILL)
    assert "ended by signal 9" in str(errors[0])
    assert "Try again" in widget.progress.text.text()
    assert widget.progress.button.isEnabled()
    widget.form.region.setCurrentText("Current slice or frame")
    viewer.dims.set_current_step(0, 7)
    frames = run_widget(widget).labels.data
    assert [index for index in range(12) if frames[index].max() > 10] == [7]


def test_invalid_axes_are_marked_in_place_and_run_is_disabled(open_widget, nuclei):
    _, widget = open_widget(nuclei)
    widget.form.axes.edit.setText("XX")
    widget.form.axes.edit.textEdited.emit("XX")
    assert "name an axis twice" in widget.form.axes.drawing.text()
    assert not widget.progress.button.isEnabled()
    ends: list[str] = []
    widget.failed.connect(lambda _: ends.append("failed"))
    widget.stopped.connect(lambda: ends.append("stopped"))
    widget.run()  # as a script may
    assert ends == ["failed", "stopped"]
    widget.form.axes.edit.textEdited.emit("YX")
    widget.form.axes.edit.setText("YX")
    widget.form.axes.edit.textEdited.emit("YX")
    assert "<b>Y</b> 192" in widget.form.axes.drawing.text()
    assert widget.progress.button.isEnabled()


def test_what_is_said_of_no_image_goes_when_there_is_one(open_widget, nuclei):
    viewer, widget = open_widget(nuclei)
    image = viewer.layers["image"]
    viewer.layers.remove(image)
    assert "There is no image" in widget.progress.text.text()
    viewer.layers.append(image)
    widget.form.axes.edit.setText("XX")
    widget.form.axes.edit.textEdited.emit("XX")
    assert "name an axis twice" in widget.form.axes.drawing.text()
    assert widget.progress.text.text() == ""


def test_axes_are_guessed_again_when_a_layer_gets_other_data(open_widget, nuclei):
    viewer, widget = open_widget(nuclei)
    assert widget.form.axes.value() == "YX"
    viewer.layers["image"].data = np.stack([nuclei] * 3)
    assert len(widget.form.axes.value()) == 3
    assert "3 <i>" in widget.form.axes.drawing.text()
    viewer.layers["image"].data = nuclei[:64]
    assert widget.form.axes.value() == "YX"
    assert "<b>Y</b> 64" in widget.form.axes.drawing.text()
    assert widget.progress.button.isEnabled()


def test_a_result_goes_with_its_labels_and_a_verdict_with_its_settings(
    open_widget, run_widget, qtbot, nuclei, monkeypatch
):
    from napari_unet.errors import SettingsError

    viewer, widget = open_widget(nuclei)
    labels = run_widget(widget).labels
    with qtbot.waitSignal(widget.verified, timeout=PATIENCE):
        widget.tuning.verify.click()
    assert widget.progress.text.text().startswith("Verified:")
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.4)
    assert widget.progress.text.text() == ""
    assert "cells" in widget.tuning.count.text()
    viewer.layers.remove(labels)
    assert widget.tuning.count.text() == ""
    assert not widget.tuning.copy.isEnabled()
    with pytest.raises(SettingsError, match="There is no result"):
        widget.copy_as_python()
    done = widget._run._on_done

    def removed_before(result):
        viewer.layers.remove(widget.outputs.labels)
        done(result)

    monkeypatch.setattr(widget._run, "_on_done", removed_before)
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.run()
    assert "labels layer was removed" in widget.progress.text.text()
    assert widget.tuning.count.text() == ""


def test_a_missing_model_is_said_beneath_its_field(open_widget, qtbot, nuclei):
    _, widget = open_widget(nuclei)
    with qtbot.waitSignal(widget.failed, timeout=PATIENCE):
        widget.form.model.set_value("/nowhere/absent.safetensors")
    assert "no model called" in widget.form.model.card.text()
    assert not widget.progress.button.isEnabled()


def test_colour_pictures_and_pyramids(open_widget, run_widget, nuclei):
    scaled = np.clip(nuclei / nuclei.max() * 255, 0, 255).astype(np.uint8)
    picture = np.stack([scaled] * 3, axis=-1)
    viewer, widget = open_widget(picture, rgb=True)
    assert widget.form.axes.value() == "YXC"
    outputs = run_widget(widget)
    assert outputs.labels.data.shape == nuclei.shape
    assert "turned to grey" in widget.progress.text.text()
    viewer.add_image([nuclei, nuclei[::2, ::2]], name="pyramid", multiscale=True)
    widget.form.layer.set_value("pyramid")
    outputs = run_widget(widget)
    expected = nu.segment(nuclei, "nuclei-fast", axes="YX")
    np.testing.assert_array_equal(outputs.labels.data, expected.labels)


def test_probabilities_of_another_tool_are_separated(open_widget, run_widget, nuclei):
    from napari_unet.plugin.model_chooser import NO_MODEL

    seg = nu.segment(nuclei, "nuclei-fast", axes="YX")
    as_float = seg.probabilities.astype(np.float32) / 65535
    viewer, widget = open_widget(as_float, axis_labels=("c", "y", "x"))
    widget.form.model.set_value(NO_MODEL)
    outputs = run_widget(widget)
    expected = nu.separate(as_float, widget.tuning.value(), channels=seg.channels)
    np.testing.assert_array_equal(outputs.labels.data, expected)
    corners = np.array([[40, 50], [40, 120], [100, 120], [100, 50]])
    shapes = viewer.add_shapes([corners], shape_type="ellipse", name="round")
    shapes.selected_data = {0}
    widget.form.region.setCurrentText("Selected shape")
    layer = run_widget(widget).labels
    inside = polygon2mask(nuclei.shape, layer.metadata["napari_unet"]["outline"][0])
    assert abs(inside.sum() / (np.pi * 30 * 35) - 1) < 0.02, "that of the ellipse"
    masked = np.where(inside, as_float, 0)
    expected = nu.separate(masked, widget.tuning.value(), channels=seg.channels)
    np.testing.assert_array_equal(layer.data, expected)
    assert expected.max() > 1


def test_verify_says_that_tiles_make_no_difference(open_widget, qtbot, nuclei):
    _, widget = open_widget(nuclei)
    with qtbot.waitSignal(widget.verified, timeout=PATIENCE) as said:
        widget.verify()
    assert said.args[0].is_kept
    assert said.args[0].n_tiles > 1
    assert "against one piece" in widget.progress.text.text()


def test_value_is_what_set_value_was_given(open_widget, nuclei):
    _, widget = open_widget(nuclei)
    choice = SegmentChoice(
        layer="image",
        axes="YX",
        model="nuclei-fast",
        region="Visible part",
        diameter=14.0,
        invert=True,
        separation={"seed_threshold": 0.3, "link": "", "connectivity": 2},
    )
    widget.set_value(choice)
    assert widget.value() == choice


def test_everything_has_a_tooltip(open_widget, nuclei):
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QSpinBox

    _, widget = open_widget(nuclei)
    kinds = (QAbstractButton, QComboBox, QLineEdit, QSpinBox)
    fields = [field for kind in kinds for field in widget.findChildren(kind)]
    bare = [field for field in fields if not _tooltip(field, widget)]
    assert fields
    assert not [(type(f).__name__, f.objectName()) for f in bare]


def _tooltip(field, top) -> str:
    """Return the tooltip of a field, or of the editor that it is a part of."""
    while field is not None and field is not top:
        if field.toolTip():
            return field.toolTip()
        field = field.parentWidget()
    return ""


def test_a_failure_beside_a_run_enables_nothing(make_napari_viewer, monkeypatch):
    from napari_unet.plugin.segment_run import SegmentRun
    from napari_unet.plugin.segment_widget import SegmentWidget

    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((32, 32), np.uint8), name="image")
    widget = SegmentWidget(viewer)
    widget._run.outputs = SimpleNamespace(n_cells=1, source=image, is_complete=True)
    error = WorkerError("It ended.", "Try again.")
    with monkeypatch.context() as running:
        running.setattr(SegmentRun, "is_running", True)
        widget._on_failed(error)
        assert not widget.tuning.verify.isEnabled()
        assert not widget.tuning.copy.isEnabled()
    widget._on_failed(error)
    assert widget.tuning.copy.isEnabled()
    widget._run.outputs = None
    widget.detach()
