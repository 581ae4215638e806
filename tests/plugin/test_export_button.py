"""The Export button: a package from the window, or one line why not."""

from __future__ import annotations

import dataclasses
import os
import threading
from types import SimpleNamespace

import psutil
import pytest

import napari_unet as nu
from napari_unet.errors import UNetError
from napari_unet.nn.formats.bioimageio_extra import require_bioimageio
from napari_unet.plugin.export_button import TESTING, CreditsDialog
from napari_unet.settings import Credits

pytestmark = pytest.mark.gui

PATIENCE = 300_000


def test_a_package_is_written_or_the_reason_is_told(
    open_widget, qtbot, nuclei, tmp_path
):
    _, widget = open_widget(nuclei)
    button, out = widget.form.export, tmp_path / "nuclei.zip"
    try:
        require_bioimageio()
    except UNetError as error:
        outcome, said = button.failed, str(error)
    else:
        outcome, said = button.exported, "passed"
    with qtbot.waitSignal(outcome, timeout=PATIENCE):
        button.export(out, Credits(authors=("Ada Lovelace",), licence="CC-BY-4.0"))
        assert widget.progress.text.text() == TESTING
        assert not button.isEnabled()
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE)
    assert said in widget.progress.text.text()
    assert out.exists() == (said == "passed")


def test_a_refused_file_leaves_the_button_alive(open_widget, qtbot, nuclei, tmp_path):
    _, widget = open_widget(nuclei)
    button = widget.form.export
    with qtbot.waitSignal(button.failed, timeout=PATIENCE) as caught:
        button.export(tmp_path / "nuclei.txt", Credits())
    assert "no name for a package" in str(caught.args[0])
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE)


def test_closing_the_dock_forgets_a_package_in_work(
    make_napari_viewer, qtbot, until_destroyed
):
    from napari_unet.plugin.job import once
    from napari_unet.plugin.segment_widget import SegmentWidget

    widget, said, go_on = SegmentWidget(make_napari_viewer()), [], threading.Event()
    button = widget.form.export
    button.failed.connect(said.append)
    button._job.start(once(lambda: go_on.wait(10) and 1 / 0))
    with qtbot.waitSignal(button._job.stopped, timeout=PATIENCE):
        widget.let_go()
        go_on.set()
    assert said == []
    widget.follow()
    with until_destroyed(widget):
        widget.close()


def test_changed_preferences_end_neither_an_export_nor_the_sliders(
    make_napari_viewer, run_widget, qtbot, nuclei, monkeypatch
):
    from napari_unet.engine.client import Compute
    from napari_unet.plugin import export_button, segment_widget

    plain, where = segment_widget.read_preferences(), ["one"]

    def read():
        return dataclasses.replace(plain, compute=Compute(ca_file=where[0]))

    started, go_on = threading.Event(), threading.Event()

    def export_package(engine, *_, **__):
        started.set()
        go_on.wait(60)
        pid = engine.call(os.getpid)
        return SimpleNamespace(path=pid, tests=(), warnings=())

    monkeypatch.setattr(segment_widget, "read_preferences", read)
    monkeypatch.setattr(export_button, "export_package", export_package)
    viewer = make_napari_viewer()
    viewer.add_image(nuclei, name="image")
    widget = segment_widget.SegmentWidget(viewer)
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        viewer.window.add_dock_widget(widget)
    outputs = run_widget(widget)
    pid, button = widget._engine().pid, widget.form.export
    button.export("nuclei.zip", Credits())
    qtbot.waitUntil(started.is_set)
    where[0] = "another"
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget._load_model()
    other = widget._engine().pid
    assert other != pid
    with qtbot.waitSignal(button.exported, timeout=PATIENCE) as said:
        go_on.set()
    assert said.args[0].path == pid
    before = outputs.labels.data.copy()
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.2)
    assert (outputs.labels.data > 0).sum() > (before > 0).sum()
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(
        lambda: not (psutil.pid_exists(pid) or psutil.pid_exists(other)),
        timeout=PATIENCE,
    )


def test_the_dialog_begins_with_the_models_own_credits(qtbot):
    recipe = nu.load_model("nuclei-fast").recipe.replace(
        authors=("Ada", "Emmy"), licence="MIT", cite=()
    )
    dialog = CreditsDialog(recipe)
    qtbot.addWidget(dialog)
    given = Credits(authors=("Ada", "Emmy"), licence="MIT")
    assert dialog.credits() == given
    dialog.fields["cite"].setText("10.1000/abc")
    assert dialog.credits() == given.replace(cite=("10.1000/abc",))
    dialog.fields["cite"].setText("a paper")
    with pytest.raises(UNetError):
        dialog.credits()
