"""The Export button: a package from the window, or one line why not."""

from __future__ import annotations

import threading

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


def test_closing_the_dock_forgets_a_package_in_work(make_napari_viewer, qtbot):
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
    with qtbot.waitSignal(widget.destroyed, timeout=PATIENCE):
        widget.close()


def test_the_dialog_begins_with_the_models_own_credits(qtbot):
    recipe = nu.load_model("nuclei").recipe.replace(
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
