"""Commands of the palette and the menus."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from napari_unet.errors import SettingsError, UNetError
from napari_unet.plugin.preferences import PLUGIN

if TYPE_CHECKING:
    from napari_unet.plugin.evaluate_widget import EvaluateWidget
    from napari_unet.plugin.segment_widget import SegmentWidget
    from napari_unet.plugin.train_widget import TrainWidget

SEGMENT, TRAIN, EVALUATE = "Segment", "Train", "Evaluate"


def open_train() -> TrainWidget:
    """Return the Train widget of the current viewer; opened if it is not there."""
    _, widget = _viewer().window.add_plugin_dock_widget(PLUGIN, TRAIN)
    found: TrainWidget = widget
    return found


def open_evaluate() -> EvaluateWidget:
    """Return the Evaluate widget of the current viewer; opened if it is not there."""
    _, widget = _viewer().window.add_plugin_dock_widget(PLUGIN, EVALUATE)
    found: EvaluateWidget = widget
    return found


def open_segment() -> SegmentWidget:
    """Return the Segment widget of the current viewer; opened if it is not there."""
    _, widget = _viewer().window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    found: SegmentWidget = widget
    return found


def segment_visible() -> None:
    """Segment what is on screen now."""
    from napari_unet.plugin.view import VISIBLE

    widget = open_segment()
    widget.form.region.setCurrentText(VISIBLE)
    widget.run()


def copy_as_python() -> None:
    """Copy a script that makes the selected labels layer again."""
    from napari.utils.notifications import show_info, show_warning

    from napari_unet.plugin.layers import source_of
    from napari_unet.plugin.script import as_python, copied_note, copy_text

    try:
        layers = _viewer().layers
        layer = layers.selection.active
        if layer is None:
            raise SettingsError("No layer is selected.", "Select a labels layer.")
        copy_text(as_python(layer, source_of(layer, layers)))
    except UNetError as error:
        show_warning(str(error))
    else:
        show_info(copied_note(layer))


def load_checkpoint() -> None:
    """Ask for a checkpoint and choose it in the Segment widget."""
    open_segment().form.model.ask_for_file()


def load_model_folder() -> None:
    """Ask for the folder of a package and choose it in the Segment widget."""
    open_segment().form.model.ask_for_folder()


def doctor() -> None:
    """Show what `napari-unet doctor` says: torch, device, Qt, and why there is no GPU.

    In a process of its own: it looks at torch, which never enters this one.
    """
    from qtpy.QtWidgets import QPlainTextEdit

    from napari_unet.plugin.job import Job, once

    text = QPlainTextEdit("Looking at torch, devices and Qt…")
    text.setReadOnly(True)
    text.setMinimumWidth(480)
    _viewer().window.add_dock_widget(text, name="Doctor", area="right")
    job = Job(text)
    job.done.connect(text.setPlainText)
    job.failed.connect(lambda error: text.setPlainText(str(error)))
    job.start(once(_ask_doctor))


def _ask_doctor() -> str:
    found = subprocess.run(
        [sys.executable, "-m", "napari_unet.cli", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return found.stdout or found.stderr


def _viewer() -> Any:
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        raise SettingsError("There is no viewer.", "Open napari first.")
    return viewer
