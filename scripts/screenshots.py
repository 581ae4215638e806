"""Rebuild the pictures of the plugin in docs/images, from simulated samples alone.

QT_QPA_PLATFORM=xcb xvfb-run -a -s '-screen 0 1400x900x24' python scripts/screenshots.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication
from scipy import ndimage

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


def pause(seconds: float) -> None:
    """Let the window live for a while."""
    start = time.monotonic()
    wait(lambda: time.monotonic() - start > seconds)


def take(viewer: napari.Viewer, name: str) -> None:
    """Save a picture of the whole window, of 256 colours to be small."""
    pause(1.5)
    picture = Image.fromarray(viewer.window.screenshot(flash=False)[..., :3])
    path = FOLDER / f"{name}.png"
    picture.quantize(256).save(path, optimize=True)
    print(path, f"{path.stat().st_size / 1024:.0f} kB")


def segment(sample: str, name: str, *, step: int | None = None) -> None:
    """Open a sample, segment it, and take pictures."""
    viewer = opened(sample)
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


def evaluate() -> None:
    """Score a result with errors of every kind, and take a picture."""
    viewer = opened("touching_nuclei")
    truth = viewer.layers[1]
    placed = {name: getattr(truth, name) for name in ("scale", "units", "axis_labels")}
    viewer.add_labels(with_errors(truth.data), name="nuclei [cells]", **placed)
    viewer.layers[-1].opacity = 0.6
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Evaluate")
    pause(1)
    viewer.reset_view()
    widget.run()
    wait(lambda: widget.findings is not None)
    take(viewer, "evaluate")
    viewer.close()


def with_errors(truth: np.ndarray) -> np.ndarray:
    """Return labels in which some cells are missed, merged, split or invented."""
    found = truth.copy()
    found[np.isin(truth, (6, 7, 8, 9))] = 0
    for label in (24, 40, 71):
        near = ndimage.binary_dilation(truth == label) & (found != label) & (found > 0)
        if near.any():
            found[truth == label] = found[near][0]
    for label in (72, 75):
        rows, cols = np.nonzero(truth == label)
        lower = rows > rows.mean() + 1
        found[rows[lower], cols[lower]] = found.max() + 1
    y, x = np.indices(truth.shape)
    for place in ((60, 430), (300, 30)):
        disc = (y - place[0]) ** 2 + (x - place[1]) ** 2 < 100
        found[disc & (found == 0)] = found.max() + 1
    return found


def train() -> None:
    """Go on from a model for some steps, and take pictures of the weights and of the curves."""
    viewer = opened("touching_nuclei")
    viewer.window._qt_window.resize(SIZE[0], 880)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    pause(1)
    viewer.reset_view()
    network = {"patch": 128, "batch": 2, "validate_every": 0.05}
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "nuclei.safetensors")
        choice = widget.value().replace(
            minutes=5.0, steps=200, start="nuclei", network=network, out=out
        )
        widget.set_value(choice)
        shown: list[object] = []
        widget.weighted.connect(shown.append)
        widget.form.show_weights.setChecked(True)
        wait(lambda: bool(shown))
        widget.form.weights_part.expand(animate=False)
        take(viewer, "border-weights")
        widget.form.show_weights.setChecked(False)
        widget.form.weights_part.collapse(animate=False)
        ends: list[bool] = []
        widget.stopped.connect(lambda: ends.append(True))
        widget.run()
        wait(lambda: len(widget.curves.scores) > 8 or bool(ends), seconds=1200)
        take(viewer, "train")
        widget.abort()
        wait(lambda: bool(ends))
        viewer.close()


def opened(sample: str) -> napari.Viewer:
    """Return a window with a sample."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE)
    viewer.open_sample(PLUGIN, sample)
    return viewer


def main() -> None:
    """Take all pictures, or those named on the command line."""
    pictures: dict[str, Callable[[], None]] = {
        "segment": lambda: segment("touching_nuclei", "segment"),
        "segment-series": lambda: segment("nuclei_series", "segment-series", step=4),
        "evaluate": evaluate,
        "train": train,
    }
    for name in sys.argv[1:] or pictures:
        pictures[name]()


if __name__ == "__main__":
    main()
