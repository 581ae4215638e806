"""Use model: what was trained becomes the model of every Segment widget."""

from __future__ import annotations

from typing import Any


def use_in_segment(viewer: Any, path: str) -> bool:
    """Choose a model in every Segment widget; return whether there is one."""
    from napari_unet.plugin.segment_widget import SegmentWidget

    docked = viewer.window.dock_widgets.values()
    found = [widget for widget in docked if isinstance(widget, SegmentWidget)]
    for widget in found:
        model = widget.form.model
        if model.value() == path:  # the file is another than it has read
            model.changed.emit(path)
        model.set_value(path)
    return bool(found)
