"""Train widget: layers in, a model for Segment out; stopped, killed and resumed."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

pytestmark = pytest.mark.gui

# Kernels are compiled when the worker first trains, on a machine that may be busy.
PATIENCE = 300_000
TINY = {"depth": 2, "base_channels": 4, "batch": 2, "patch": 64}


@pytest.fixture(scope="module")
def cells():
    """12 nuclei in 128 x 128 px, and their truth."""
    return simulate(Simulation(shape=(128, 128), n_cells=12, random_seed=5))


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def opened(viewer, cells, one_worker, tmp_path):
    """A viewer with an annotated image, and the widget set to a tiny training."""
    from napari_unet.plugin.train_widget import TrainWidget
    from napari_unet.training_settings import Training

    placed = {"scale": (0.5, 0.5), "units": "um", "axis_labels": ("Y", "X")}
    viewer.add_image(cells[0], name="image", **placed)
    viewer.add_labels(cells[1], name="painted", **placed)
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    choice = widget.value().replace(
        steps=8,
        network=Training(**TINY, validate_every=0.5).model_dump(),
        out=str(tmp_path / "mine.safetensors"),
    )
    widget.set_value(choice)
    return widget


def long_training(widget):
    """Set a training that would take long, with a validation every ten steps."""
    choice = widget.value()
    network = choice.network.replace(validate_every=0.0025)
    widget.set_value(choice.replace(steps=4000, network=network.model_dump()))


def test_the_choice_goes_round(opened, tmp_path):
    from napari_unet.plugin.train_choice import PairChoice, TrainChoice

    choice = opened.value()
    assert choice.pairs == (PairChoice(image="image", labels="painted"),)
    assert choice.training().steps == 8
    assert choice.training().patch == (64,)
    other = TrainChoice(
        pairs=choice.pairs,
        ignore_label=7,
        planes=True,
        start="nuclei",
        choices={"padding": "reflect"},
        minutes=2.5,
        loss="falk2019",
        w0=33.0,
        sigma=4.0,
        augmentation="strong",
        out=str(tmp_path / "other.safetensors"),
    )
    opened.set_value(other)
    assert opened.value() == other
    assert opened.value().training().loss.formula == "falk2019"


def test_a_preset_brings_its_constants(opened):
    opened.form.loss.setCurrentText("falk2019")
    assert (opened.value().w0, opened.value().sigma) == (50.0, 6.0)
    opened.form.loss.setCurrentText("ronneberger2015")
    assert (opened.value().w0, opened.value().sigma) == (10.0, 5.0)


def test_the_file_of_an_interrupted_training_is_known():
    from napari_unet.nn.training_state import SUFFIX
    from napari_unet.plugin.annotated import RESUME

    assert RESUME == SUFFIX


def test_every_control_has_a_tooltip(opened):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
    bare = [
        child
        for kind in kinds
        for child in opened.form.findChildren(kind)
        if not child.toolTip() and not child.parent().toolTip()
    ]
    named = [
        b
        for b in bare
        if b.objectName()
        not in ("ScrollLeftButton", "ScrollRightButton", "qt_spinbox_lineedit")
    ]
    assert [type(b).__name__ for b in named if b.isVisibleTo(opened)] == []


def test_new_labels_lie_on_the_image_with_the_brush_in_hand(opened, viewer):
    opened.form.pairs.paint.click()
    layer, image = viewer.layers["image [painted]"], viewer.layers["image"]
    assert (layer.mode, layer.data.dtype) == ("paint", np.int32)
    assert viewer.layers.selection.active is layer
    np.testing.assert_allclose(layer.extent.world, image.extent.world)
    assert opened.value().pairs[-1].labels == layer.name


def test_train_watch_and_use(opened, viewer, qtbot, tmp_path):
    from qtpy.QtWidgets import QGraphicsView

    from napari_unet.plugin.segment_widget import SegmentWidget

    segment = SegmentWidget(viewer)
    viewer.window.add_dock_widget(segment, name="Segment")
    validated = []
    opened.validated.connect(validated.append)
    assert opened.row.button.isEnabled()
    with (
        qtbot.waitSignal(opened.stopped, timeout=PATIENCE),
        qtbot.waitSignal(opened.finished, timeout=PATIENCE) as said,
    ):
        opened.row.button.click()
    report = said.args[0]
    assert report.steps == 8
    assert len(opened.curves.losses) == 8
    assert [e.step for e in validated] == [s for s, _ in opened.curves.scores]
    assert opened.curves.best is not None
    plots = opened.curves.findChild(QGraphicsView).ci.items
    assert [plot.getAxis("left").autoSIPrefixScale for plot in plots] == [1.0, 1.0]
    assert segment.form.model.value() == str(tmp_path / "mine.safetensors")
    assert opened.value().start == str(tmp_path / "mine.safetensors")
    assert opened.row.button.text() == "Train"
    assert opened.row.button.isEnabled()
    if opened._preview._job.is_running:
        qtbot.waitSignal(opened.previewed, timeout=PATIENCE).wait()
    preview = viewer.layers["image [training]"]
    source = viewer.layers["image"]
    np.testing.assert_allclose(preview.extent.world, source.extent.world)


def test_stop_ends_in_order_and_abort_can_be_resumed(opened, qtbot, tmp_path):
    long_training(opened)
    with qtbot.waitSignal(opened.validated, timeout=PATIENCE):
        opened.run()
    with qtbot.waitSignal(opened.stopped, timeout=PATIENCE):
        opened.abort()
    assert (tmp_path / "mine.safetensors").is_file()
    assert not opened.row.button.isEnabled()
    assert opened.row.again.isVisibleTo(opened)
    with qtbot.waitSignals(
        [opened._run.stepped, opened._run.planned], timeout=PATIENCE
    ):
        opened.row.again.click()
    assert opened.curves.losses[0][0] > 1
    with qtbot.waitSignal(opened.finished, timeout=PATIENCE) as said:
        opened.row.button.click()
    assert 1 < said.args[0].steps < 4000


def test_a_killed_worker_is_a_message_and_training_goes_on(
    opened, qtbot, one_worker, tmp_path
):
    long_training(opened)
    with qtbot.waitSignal(opened.validated, timeout=PATIENCE):
        opened.run()
    with (
        qtbot.waitSignal(opened.stopped, timeout=PATIENCE),
        qtbot.waitSignal(opened.failed, timeout=PATIENCE) as said,
    ):
        os.kill(one_worker.pid, signal.SIGKILL)
    assert "signal 9" in str(said.args[0])
    assert opened.row.again.isVisibleTo(opened)
    with qtbot.waitSignal(opened._run.stepped, timeout=PATIENCE) as said:
        opened.resume()
    assert said.args[0].step > 1
    with qtbot.waitSignal(opened.finished, timeout=PATIENCE):
        opened.stop()


def _threads() -> set[str]:
    """Names of all threads but those of Qt's pool, which it keeps for a while."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if not name.startswith("Dummy-")}


@pytest.mark.installed
def test_closing_the_viewer_ends_a_training_and_keeps_its_best_model(
    opened, viewer, qtbot, one_worker, tmp_path, monkeypatch, until_destroyed
):
    """As *Stop at once* does: nothing of ours goes on, and Resume is possible."""
    import napari_unet as nu
    from napari_unet.engine.training_tasks import n_running
    from napari_unet.plugin import shared_engine, train_run
    from napari_unet.plugin.annotated import is_begun

    long_training(opened)
    with qtbot.waitSignal(opened.validated, timeout=PATIENCE):
        opened.run()
    assert one_worker.call(n_running) == 1
    image, ended = viewer.layers["image"], []

    def return_engine(user):
        ended.append(threading.current_thread() is threading.main_thread())
        shared_engine.return_engine(user)

    monkeypatch.setattr(train_run, "return_engine", return_engine)
    run, before = opened._run, _threads()
    said = []
    for signal_ in (opened.failed, opened.finished, run.failed, run.finished):
        signal_.connect(said.append)
    with until_destroyed(opened):
        viewer.close()
    del run
    qtbot.waitUntil(lambda: one_worker.call(n_running) == 0, timeout=PATIENCE)
    qtbot.waitUntil(lambda: len(shared_engine._users) == 1, timeout=PATIENCE)
    assert shared_engine._widgets == {}
    assert said == []
    assert _threads() <= before
    out = tmp_path / "mine.safetensors"
    assert nu.load_model(out).recipe.scores
    assert is_begun(str(out))
    assert ended == [False], "who waits for the worker is not the window"
    image.name = "another"  # no widget listens any more


def test_the_weight_map_is_the_formula_on_its_source(opened, viewer, cells, qtbot):
    from napari_unet.core.border_weights import border_weights
    from napari_unet.core.targets import carve_gap

    with qtbot.waitSignal(opened.weighted, timeout=PATIENCE) as said:
        opened.form.show_weights.setChecked(True)
    layer, source = said.args[0], viewer.layers["image"]
    expected = 1 + border_weights(cells[1], 10.0, 5.0, class_weights=(0.0, 0.0))
    np.testing.assert_allclose(layer.data, expected, rtol=1e-5)
    np.testing.assert_allclose(layer.extent.world, source.extent.world)
    with qtbot.waitSignal(opened.weighted, timeout=PATIENCE) as said:
        opened.form.w0.setValue(20.0)
    assert said.args[0] is layer
    assert layer.data.max() > 1.5 * expected.max()
    with qtbot.waitSignal(opened.weighted, timeout=PATIENCE):
        opened.form.loss.setCurrentText("ronneberger2015")
    gap = carve_gap(cells[1])
    apart = border_weights(gap, 10.0, 5.0, class_weights=(0.0, 0.0))
    shares = layer.data - apart
    assert np.unique(np.round(shares, 4)).size == 2  # one weight for each class
    opened.form.show_weights.setChecked(False)
    assert "image [border weights]" not in viewer.layers


def test_the_doctor_and_the_sheet(opened, viewer, qtbot):
    viewer.layers["painted"].data = np.where(viewer.layers["painted"].data > 0, 255, 0)
    with qtbot.waitSignal(opened.checked, timeout=PATIENCE) as said:
        opened.check_panel.button.click()
    assert "mask_0_255" in [f.rule for f in opened.check_panel.findings]
    assert "255" in opened.check_panel.text.text()
    opened.check_panel.show_sheet()
    assert said.args[0].sheet.ndim == 3
    assert opened.check_panel._window.isVisible()


def test_only_what_is_inside_shapes_is_annotated(viewer, cells):
    from napari_unet.plugin.annotated import annotated_mask, make_order
    from napari_unet.plugin.train_choice import PairChoice, TrainChoice

    viewer.add_image(cells[0], name="image", scale=(0.5, 0.5))
    labels = viewer.add_labels(cells[1], name="painted", scale=(0.5, 0.5))
    corners = np.array([[4.75, 9.75], [4.75, 20.25], [15.25, 20.25], [15.25, 9.75]])
    shapes = viewer.add_shapes([corners], name="done", shape_type="rectangle")
    shapes.add_ellipses([corners + 30])
    shapes.add_lines([[[0, 0], [60, 60]]])
    mask = annotated_mask(shapes, labels)
    rectangle = np.zeros_like(mask)
    rectangle[10:31, 20:41] = True
    np.testing.assert_array_equal(mask[:50, :60], rectangle[:50, :60])
    area = mask.sum() - rectangle.sum()
    assert abs(area / (np.pi / 4 * 21 * 21) - 1) < 0.05
    pair = PairChoice(image="image", labels="painted", annotated="done")
    order = make_order(TrainChoice(pairs=(pair,), ignore_label=3), viewer.layers)
    given = order.layers[0].labels
    assert (given[~mask] == -1).all()
    assert (given[mask & (cells[1] == 3)] == -1).all()
    kept = mask & (cells[1] != 3)
    np.testing.assert_array_equal(given[kept], cells[1][kept])


def test_the_camera_goes_where_the_network_knows_least(opened, viewer, qtbot):
    from napari_unet.plugin.layers import KEY

    with qtbot.waitSignal(opened.failed) as said:
        opened.next_button.click()
    assert "Run Segment" in said.args[0].remedy
    doubt = np.zeros((128, 128), np.uint16)
    viewer.layers["painted"].data[:] = 0
    doubt[:30, :30] = 30000
    made = {KEY: {"source": "image", "output": "interior"}}
    viewer.add_image(doubt, name="p", metadata=made, scale=(0.5, 0.5))
    with qtbot.waitSignal(opened.moved, timeout=PATIENCE) as said:
        opened.next_button.click()
    assert said.args[0].box == (slice(0, 128), slice(0, 128))
    centre = np.asarray(viewer.scene.camera.center)[-2:]
    np.testing.assert_allclose(centre, (31.75, 31.75))
    assert viewer.layers.selection.active is viewer.layers["painted"]


def test_a_folder_is_shown_with_its_reasons(opened, qtbot, cells, tmp_path):
    import tifffile

    for number in range(2):
        tifffile.imwrite(tmp_path / f"a{number}.tif", cells[0])
        tifffile.imwrite(tmp_path / f"a{number}_masks.tif", cells[1].astype(np.uint16))
    panel = opened.form.pairs
    with qtbot.waitSignal(panel._look.done, timeout=PATIENCE):
        opened.set_value(opened.value().replace(folder=str(tmp_path)))
    assert "a0.tif <- a0_masks.tif" in panel.found.text()
    assert opened.row.button.isEnabled()
    opened.set_value(opened.value().replace(folder=str(tmp_path / "none")))
    assert not opened.row.button.isEnabled()
    assert "no folder" in opened.row.text.text()


def test_what_is_wrong_is_said_and_train_is_disabled(
    opened, viewer, tmp_path, monkeypatch
):
    out = tmp_path / "there.safetensors"
    out.touch()
    opened.form.out.setText(str(out))
    assert "exists already" in opened.row.text.text()
    assert not opened.row.button.isEnabled()
    opened.form.out.setText(str(tmp_path / "fine.safetensors"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_, **__: False)
        opened.form.changed.emit()
    assert "fine.safetensors cannot be written" in opened.row.text.text()
    assert not opened.row.button.isEnabled()
    opened.form.changed.emit()
    assert opened.row.button.isEnabled()
    viewer.add_labels(np.zeros((3, 4), int), name="small")
    opened.form.pairs.labels.set_value("small")
    assert "(3, 4)" in opened.row.text.text()
    assert not opened.row.button.isEnabled()


def test_findings_are_those_of_the_labels_that_are_there(opened, viewer):
    from napari_unet.core.training_facts import Finding

    finding = Finding(
        "warning", "There is only one annotated object.", "Annotate more."
    )
    opened.check_panel.show_findings([finding])
    viewer.layers["painted"].paint((5, 5), 7)
    assert opened.check_panel.findings == []
    opened.check_panel.show_findings([finding])
    viewer.layers["painted"].data = np.zeros((128, 128), np.int32)
    assert opened.check_panel.findings == []


def test_train_prefers_what_was_drawn_to_what_was_found(viewer, cells):
    from napari_unet.plugin.pairs_panel import PairsPanel

    viewer.add_image(cells[0], name="im")
    viewer.add_labels(cells[1], name="truth")
    made = {"napari_unet": {"output": "cells"}}
    viewer.add_labels(cells[1], name="im [cells]", metadata=made)
    panel = PairsPanel(viewer)
    panel.attach()
    assert panel.labels.value() == "truth"
    viewer.layers.remove("truth")
    assert panel.labels.value() == "im [cells]"
    panel.detach()


def test_long_names_differ_in_the_box_and_are_whole_in_its_tooltip(viewer, qtbot):
    from qtpy.QtCore import Qt

    from napari_unet.plugin.labels_box import LabelsBox

    stem = "13c8ff1f49886e91c98ce795c93648ad8"
    names = [f"{stem}[cells]", f"{stem} [1]"]
    for name in names:
        viewer.add_labels(np.zeros((4, 4), int), name=name)
    box = LabelsBox(viewer, "What for.")
    qtbot.addWidget(box)
    box.resize(160, 24)
    box.attach()
    shown = {}
    for name in names:
        box.set_value(name)
        shown[name] = box.shown_text()
        assert box.toolTip() == f"{name}\nWhat for."
    assert shown[names[0]].endswith("ells]")
    assert shown[names[1]].endswith("[1]")
    assert all(text.startswith("13c8") and len(text) < 30 for text in shown.values())
    tips = [box.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(2)]
    assert tips == [box.itemText(i) for i in range(2)]
    box.grab()  # draws
    box.detach()


def test_kept_pairs_are_layers_and_not_names(opened, viewer, cells):
    from napari_unet.plugin.train_choice import PairChoice

    pairs, button = opened.form.pairs, opened.row.button
    pairs.add.click()
    assert opened.value().pairs == (PairChoice(image="image", labels="painted"),)
    viewer.layers["painted"].name = "true"
    assert opened.value().pairs == (PairChoice(image="image", labels="true"),)
    assert pairs.kept.item(0).text() == "image ← true"
    assert button.isEnabled()
    layer = viewer.layers["true"]
    viewer.layers.remove(layer)
    assert "The layer true of a kept pair is gone" in opened.row.text.text()
    assert pairs.kept.item(0).text() == "image ← true (true is gone)"
    assert not button.isEnabled()
    other = viewer.add_labels(cells[1][:64], name="true")
    assert not button.isEnabled(), "another layer of that name is not the one"
    viewer.layers.remove(other)
    viewer.layers.append(layer)
    assert button.isEnabled(), opened.row.text.text()
    viewer.layers.remove(layer)
    viewer.add_labels(cells[1], name="more")
    pairs.kept.setCurrentRow(0)
    pairs.drop.click()
    assert opened.value().pairs == (PairChoice(image="image", labels="more"),)
    assert button.isEnabled(), opened.row.text.text()


def test_a_script_keeps_pairs_of_open_layers_only(opened):
    from napari_unet.errors import SettingsError
    from napari_unet.plugin.train_choice import PairChoice

    choice = opened.value()
    lost = PairChoice(image="image", labels="nothing")
    with pytest.raises(SettingsError, match="There is no layer nothing"):
        opened.set_value(choice.replace(pairs=(lost, *choice.pairs)))


def test_train_waits_for_the_model_it_starts_from(opened, qtbot):
    from napari_unet.plugin.model_chooser import BUNDLED

    source = str(BUNDLED / "nuclei-fast.safetensors")
    opened.set_value(opened.value().replace(start=source, steps=2))
    said = []
    opened.failed.connect(said.append)
    with qtbot.waitSignal(opened.finished, timeout=PATIENCE):
        opened.row.button.click()
        assert opened.row.button.text() == "Stop"
        assert "Reading the model to start from" in opened.row.text.text()
    assert said == []


def test_who_waits_for_a_model_may_give_up_or_learn_that_there_is_none(
    opened, qtbot, tmp_path
):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no tensors")
    opened.form.choose_start(str(damaged))
    with qtbot.waitSignal(opened.stopped, timeout=PATIENCE):
        opened.row.button.click()
        opened.row.button.click()  # Stop
    assert opened.row.button.text() == "Train"
    opened.form.choose_start("")
    opened.form.choose_start(str(damaged))
    with (
        qtbot.waitSignal(opened.stopped, timeout=PATIENCE),
        qtbot.waitSignal(opened.failed, timeout=PATIENCE) as said,
    ):
        opened.run()
    assert "damaged.safetensors" in str(said.args[0])
    assert opened.row.button.text() == "Train"
    assert "damaged.safetensors" in opened.row.text.text()


def test_closing_leaves_nothing_behind(viewer, cells, one_worker):
    from napari_unet.plugin.train_widget import TrainWidget

    image = viewer.add_image(cells[0], name="image")

    def followed():
        events = viewer.layers.events
        emitters = (events.inserted, events.removed, image.events.name)
        return [len(emitter.callbacks) for emitter in emitters] + [len(viewer.layers)]

    before = followed()
    for _ in range(5):
        dock = viewer.window.add_dock_widget(TrainWidget(viewer), name="Train")
        viewer.window.remove_dock_widget(dock)
    assert followed() == before
