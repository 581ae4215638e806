"""A checkpoint with code: nothing of it runs before the user has said so."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from qtpy.QtWidgets import QMessageBox

import napari_unet as nu
from napari_unet.errors import UntrustedError

pytestmark = pytest.mark.gui

PATIENCE = 60_000


@pytest.fixture
def scripted(tmp_path) -> Path:
    """A network as TorchScript."""
    path = tmp_path / "theirs.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.script(torch.nn.Conv2d(1, 2, 3, padding=1)).save(path)
    return path


def asked(widget, qtbot, path: Path) -> QMessageBox:
    """Choose the file; return the question that is asked."""
    with qtbot.waitSignal(widget._model.untrusted, timeout=PATIENCE):
        widget.form.model.set_value(str(path))
    assert isinstance(widget._model.error, UntrustedError)
    box = widget._model.question
    assert path.name in box.text()
    assert "# TorchScript:" in box.detailedText()
    assert "def forward" in box.detailedText()
    return box


def press(box: QMessageBox, role: QMessageBox.ButtonRole) -> None:
    next(b for b in box.buttons() if box.buttonRole(b) == role).click()


def test_code_runs_when_the_user_says_so(open_widget, qtbot, nuclei, scripted):
    _, widget = open_widget(nuclei)
    box = asked(widget, qtbot, scripted)
    with qtbot.waitSignal(widget._model.loaded, timeout=PATIENCE):
        press(box, QMessageBox.ButtonRole.AcceptRole)
    card = widget.card
    assert card.trust
    assert card.sha256 == nu.load_model(scripted, trust=True).sha256


def test_code_does_not_run_when_the_user_says_no(open_widget, qtbot, nuclei, scripted):
    _, widget = open_widget(nuclei)
    box = asked(widget, qtbot, scripted)
    press(box, QMessageBox.ButtonRole.RejectRole)
    qtbot.waitUntil(lambda: not box.isVisible(), timeout=PATIENCE)
    assert not widget._model.is_loading
    assert widget.card is None
    assert "trust" in widget.form.model.card.text()


def test_another_file_than_the_one_shown_does_not_run(
    open_widget, qtbot, nuclei, scripted
):
    _, widget = open_widget(nuclei)
    box = asked(widget, qtbot, scripted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Conv2d(1, 3, 3, padding=1)).save(scripted)
    with qtbot.waitSignal(widget._model.failed, timeout=PATIENCE) as caught:
        press(box, QMessageBox.ButtonRole.AcceptRole)
    assert "another than the model that was chosen" in str(caught.args[0])
    assert widget.card is None
