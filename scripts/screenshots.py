"""Rebuild the pictures of the plugin in docs/images, from simulated samples alone.

QT_QPA_PLATFORM=xcb xvfb-run -a -s '-screen 0 1400x900x24' python scripts/screenshots.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SIZE = (1280, 800)
PLUGIN = "napari-unet-cells"


def wait(until: Callable[[], bool], *, seconds: float = 300) -> None:
    """Let the window live until something has happened."""
    end = time.monotonic() + seconds
    while not until():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            sys.exit("nothing happened for too long")


def take(viewer: napari.Viewer, name: str) -> None:
    """Save a picture of the whole window, of 256 colours to be small."""
    start = time.monotonic()
    wait(lambda: time.monotonic() - start > 1.5)
    picture = Image.fromarray(viewer.window.screenshot(flash=False)[..., :3])
    path = FOLDER / f"{name}.png"
    picture.quantize(256).save(path, optimize=True)
    print(path, f"{path.stat().st_size / 1024:.0f} kB")


def segment(sample: str, name: str, *, step: int | None = None) -> None:
    """Open a sample, segment it, and take pictures."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE)
    viewer.open_sample(PLUGIN, sample)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    wait(lambda: widget.card is not None)
    if step is not None:
        viewer.dims.set_current_step(0, step)
    viewer.reset_view()
    ends: list[bool] = []
    widget.stopped.connect(lambda: ends.append(True))
    widget.run()
    wait(lambda: bool(ends))
    take(viewer, name)
    if step is None:
        widget.tuning.show_probabilities.setChecked(True)
        widget.outputs.labels.visible = False
        take(viewer, f"{name}-probabilities")
    viewer.close()


def main() -> None:
    """Take all pictures."""
    segment("touching_nuclei", "segment")
    segment("nuclei_series", "segment-series", step=4)


if __name__ == "__main__":
    main()
