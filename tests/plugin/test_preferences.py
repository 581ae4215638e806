"""What is changed on napari's page of preferences reaches widgets that are open."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.engine.client import Compute
from napari_unet.plugin.preferences import PLUGIN
from napari_unet.plugin.warm_model import WarmModel
from napari_unet.settings import Separation

pytestmark = pytest.mark.gui

WAIT = 60_000
PATIENCE = 300_000  # a worker starts, on a machine that may be busy


@pytest.fixture
def page():
    """Return the page; what it held comes back."""
    from napari.settings import get_plugin_settings

    found = get_plugin_settings(PLUGIN)
    parts = (found.compute, found.models)
    before = [part.model_dump() for part in parts]
    yield found
    for part, values in zip(parts, before, strict=True):
        part.update(values)


@pytest.fixture
def folders(tmp_path):
    """Two folders with a checkpoint each."""
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.safetensors").touch()
        found.append(folder)
    return found


@pytest.fixture
def reads(monkeypatch):
    """Models that were read: where, which and on which device. No worker starts."""
    found = []

    def load(model, engine, source, device, answers):
        model.is_asked = True
        found.append((engine.compute, source, device))

    monkeypatch.setattr(WarmModel, "load", load)
    return found


def listed(box):
    return [box.itemText(i) for i in range(box.count())]


def test_segment_follows_folder_device_and_address(
    make_napari_viewer, qtbot, page, folders, reads
):
    from napari_unet.plugin.segment_widget import SegmentWidget

    page.models.folder = str(folders[0])
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    qtbot.waitUntil(lambda: len(reads) == 1, timeout=WAIT)
    box = widget.form.model.box
    chosen = widget.form.model.value()
    assert reads == [(Compute(), chosen, "auto")]
    assert "one.safetensors" in listed(box)

    watch = widget._preferences
    with qtbot.waitSignal(watch.changed, timeout=WAIT):
        page.models.folder = str(folders[1])
    assert "two.safetensors" in listed(box)
    assert "one.safetensors" not in listed(box)
    assert widget.form.model.value() == chosen
    assert len(reads) == 1, "the model is where it was"

    with qtbot.waitSignal(watch.changed, timeout=WAIT):
        page.compute.device = "cpu"
    assert reads[1:] == [(Compute(), chosen, "cpu")]
    with qtbot.waitSignal(watch.changed, timeout=WAIT):
        page.compute.address = "tls://elsewhere:8786"
    elsewhere = Compute("tls://elsewhere:8786")
    assert reads[2:] == [(elsewhere, chosen, "cpu")]
    assert widget._engine().compute == elsewhere

    # Run does not wait until the page has rested.
    page.compute.address = "tls://third:8786"
    widget.run()
    assert reads[3][0] == Compute("tls://third:8786")


def followed(open_widget, qtbot):
    """Return a widget that follows the page; it begins when all is warmed up."""
    _, widget = open_widget(np.zeros((64, 64), np.uint8))
    qtbot.waitUntil(lambda: widget._preferences._known is not None, timeout=WAIT)
    return widget


def test_a_folder_that_is_gone_is_said_where_run_is(
    open_widget, qtbot, page, folders, tmp_path
):
    widget = followed(open_widget, qtbot)
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.models.folder = str(tmp_path / "gone")
    assert "gone does not exist" in widget.progress.text.text()
    assert widget.progress.button.isEnabled(), "it keeps nobody from working"
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.models.folder = str(folders[0])
    assert widget.progress.text.text() == ""


def test_a_device_that_is_not_there_is_said_before_run(open_widget, qtbot, page):
    widget = followed(open_widget, qtbot)
    with qtbot.waitSignal(widget.failed, timeout=PATIENCE) as said:
        page.compute.device = "quantum"
    assert "no device 'quantum'" in str(said.args[0])
    assert "no device 'quantum'" in widget.form.model.card.text()
    assert not widget.progress.button.isEnabled()
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        page.compute.device = "auto"
    assert widget.progress.button.isEnabled()


def test_train_names_a_device_that_no_machine_has(make_napari_viewer, qtbot, page):
    from napari_unet.plugin.train_widget import TrainWidget

    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((64, 64), np.uint8), name="image")
    viewer.add_labels(np.zeros((64, 64), np.int32), name="labels")
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    qtbot.waitUntil(widget.row.button.isEnabled, timeout=WAIT)
    qtbot.waitUntil(lambda: widget._preferences._known is not None, timeout=WAIT)
    for wrong in ("quantum", "cuda:", "cuda:x"):
        with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
            page.compute.device = wrong
        assert f"no device '{wrong}'" in widget.row.text.text()
        assert not widget.row.button.isEnabled()
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.compute.device = "cuda:1"  # the worker knows whether it is there
    assert widget.row.button.isEnabled()


def test_files_that_are_gone_are_not_listed(qtbot, page, folders):
    from napari_unet.plugin.model_chooser import ModelChooser

    one, two = (str(next(folder.iterdir())) for folder in folders)
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    chooser.set_value(one)
    chooser.set_value(two)
    Path(one).unlink()
    Path(two).unlink()
    chooser.box.opening.emit()
    assert "one.safetensors" not in listed(chooser.box)
    assert chooser.value() == two, "what is chosen stays"


def test_a_chosen_model_of_the_folder_before_stays_chosen(
    make_napari_viewer, qtbot, page, folders, reads
):
    from napari_unet.plugin.segment_widget import SegmentWidget

    page.models.folder = str(folders[0])
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    qtbot.waitUntil(lambda: len(reads) == 1, timeout=WAIT)
    chooser = widget.form.model
    chooser.box.setCurrentIndex(chooser.box.findText("one.safetensors"))
    page.models.recent = ""
    said = []
    chooser.changed.connect(said.append)
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.models.folder = str(folders[1])
    assert chooser.value() == str(folders[0] / "one.safetensors")
    assert said == []
    chooser.set_value("nuclei")
    chooser.list_own()
    assert "one.safetensors" not in listed(chooser.box)


def test_a_model_that_is_read_again_brings_nothing(
    make_napari_viewer, qtbot, page, reads
):
    from napari_unet.plugin.segment_widget import SegmentWidget

    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    qtbot.waitUntil(lambda: len(reads) == 1, timeout=WAIT)
    own = Separation(mask_threshold=0.4)
    widget._on_card(card_of(own, "a"))
    assert widget.tuning.value().mask_threshold == 0.4
    tuned = Separation(mask_threshold=0.7)
    widget.tuning.set_value(tuned)
    widget.form.invert.setChecked(True)
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.compute.device = "cpu"
    assert len(reads) == 2
    widget._on_card(card_of(own, "a"))
    assert widget.tuning.value().mask_threshold == 0.7
    assert widget.form.invert.isChecked()
    widget._on_card(card_of(own, "b"))  # the file is another
    assert widget.tuning.value().mask_threshold == 0.4
    assert not widget.form.invert.isChecked()


def card_of(separation, sha256):
    """What of a card is brought to the form."""
    normalization = SimpleNamespace(invert=False)
    recipe = SimpleNamespace(separation=separation, normalization=normalization)
    return SimpleNamespace(recipe=recipe, sha256=sha256, choices=())


def test_a_file_that_can_be_resumed_stays(make_napari_viewer, qtbot, page, folders):
    from napari_unet.plugin.annotated import RESUME
    from napari_unet.plugin.train_widget import TrainWidget

    page.models.folder = str(folders[0])
    viewer = make_napari_viewer()
    widget = TrainWidget(viewer)
    with qtbot.waitSignal(widget._warming.ready, timeout=WAIT):
        viewer.window.add_dock_widget(widget, name="Train")
    changed = widget._preferences.changed
    out = folders[0] / "cells.safetensors"
    assert widget.form.out.text() == str(out)
    out.touch()  # a training has begun, and its best model is there
    with qtbot.waitSignal(changed, timeout=WAIT):
        page.compute.device = "cpu"
    assert widget.form.out.text() == str(out)
    out.with_name(out.name + RESUME).touch()
    with qtbot.waitSignal(changed, timeout=WAIT):
        page.models.folder = str(folders[1])
    assert widget.form.out.text() == str(out)
    assert widget.row.again.isVisibleTo(widget)


def test_train_follows_folder(make_napari_viewer, qtbot, page, folders):
    from napari_unet.plugin.train_widget import TrainWidget

    page.models.folder = str(folders[0])
    viewer = make_napari_viewer()
    widget = TrainWidget(viewer)
    with qtbot.waitSignal(widget._warming.ready, timeout=WAIT):
        viewer.window.add_dock_widget(widget, name="Train")
    form, changed = widget.form, widget._preferences.changed
    assert form.out.text() == str(folders[0] / "cells.safetensors")
    assert "one.safetensors" in listed(form.start)
    with qtbot.waitSignal(changed, timeout=WAIT):
        page.models.folder = str(folders[1])
    assert form.out.text() == str(folders[1] / "cells.safetensors")
    assert "two.safetensors" in listed(form.start)
    assert "one.safetensors" not in listed(form.start)
    form.out.setText(str(folders[1] / "mine.safetensors"))
    with qtbot.waitSignal(changed, timeout=WAIT):
        page.models.folder = str(folders[0])
    assert form.out.text() == str(folders[1] / "mine.safetensors"), "the user's own"


def test_nothing_is_said_while_the_page_is_open(make_napari_viewer, qtbot, page):
    from napari_unet.plugin.preferences_watch import PreferencesWatch

    viewer = make_napari_viewer()
    watch, said = PreferencesWatch(), []
    watch.changed.connect(lambda before, now: said.append(now.compute.address))
    watch.follow()
    dialog = viewer.window._open_preferences_dialog()
    for address in ("tls://g", "tls://gpu:1"):
        page.compute.address = address
        watch._on_rest()
    assert said == []
    with qtbot.waitSignal(watch.changed, timeout=WAIT):
        dialog.accept()
    assert said == ["tls://gpu:1"]
    page.models.recent = "something"
    watch.look()
    watch.stop()
    page.compute.address = ""
    watch.look()
    assert said == ["tls://gpu:1"]
    assert not watch._rest.isActive(), "it is no longer told"


def test_train_gives_the_worker_of_another_address_back(
    make_napari_viewer, qtbot, page
):
    from napari_unet.plugin import shared_engine
    from napari_unet.plugin.train_widget import TrainWidget

    viewer = make_napari_viewer()
    widget = TrainWidget(viewer)
    with qtbot.waitSignal(widget._warming.ready, timeout=WAIT):
        viewer.window.add_dock_widget(widget, name="Train")
    engine = widget._engine()
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.compute.device = "cpu"
    assert widget._engine() is engine
    with qtbot.waitSignal(widget._preferences.changed, timeout=WAIT):
        page.compute.address = "tls://elsewhere:8786"
    assert id(widget._user) not in shared_engine._users
    assert widget._engine().compute == Compute("tls://elsewhere:8786")
