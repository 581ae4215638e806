"""What somebody has who installed a wheel beside napari: the plugin, found and run.

cd somewhere/else && QT_QPA_PLATFORM=xcb xvfb-run -a python path/to/check_installed.py

A real window: napari finds the widgets by their manifest, the sample is segmented, tuned
and scored, the labels are those of the shell, and closing leaves no process behind. With
`--binding pyside6`, it is also checked that this is what napari runs on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
import qtpy
import tifffile
from qtpy.QtCore import QEventLoop, QTimer

import napari_unet

PLUGIN = "napari-unet-cells"
MASK_THRESHOLD = 0.4
problems: list[object] = []


def main() -> None:
    """Check what is installed, then play a session."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binding", default=qtpy.API_NAME)
    binding = parser.parse_args().binding
    assert qtpy.API_NAME.lower() == binding.lower(), f"Qt comes from {qtpy.API_NAME}"
    packages, here = Path(sysconfig.get_path("purelib")), Path(napari_unet.__file__)
    assert here.is_relative_to(packages), f"{here} was not installed from a wheel"
    labels, image = play()
    tifffile.imwrite("sample.tif", image)
    command = Path(sysconfig.get_path("scripts"), "napari-unet")
    tuned = ["--mask-threshold", str(MASK_THRESHOLD)]
    shell = [command, "segment", "sample.tif", "-o", "shell.tif", *tuned]
    subprocess.run(shell, check=True)
    np.testing.assert_array_equal(labels, tifffile.imread("shell.tif"))
    print(f"{labels.max()} cells in a window of {qtpy.API_NAME}, as in the shell")


def play() -> tuple[np.ndarray, np.ndarray]:
    """Open, run, tune, score and close; return the labels and the image."""
    viewer = napari.Viewer()
    image, _ = viewer.open_sample(PLUGIN, "touching_nuclei")
    segment = opened(viewer, "Segment")
    after(segment.finished, segment.run)
    seen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    assert (np.ptp(seen, axis=-1) > 30).mean() > 0.05, "no cells are seen in colour"
    field = segment.tuning.sliders.field("mask_threshold")
    after(segment.tuned, lambda: field.setValue(MASK_THRESHOLD))
    evaluate = opened(viewer, "Evaluate")  # takes the labels, and the layer "truth"
    after(evaluate.scored, evaluate.run)
    assert evaluate.findings.scores.ap[0] > 0.9
    assert opened(viewer, "Train").value().pairs, "the layers are offered"
    labels, pixels = segment.outputs.labels.data.copy(), np.asarray(image.data)
    viewer.close()
    wait(lambda: not psutil.Process().children(recursive=True))
    return labels, pixels


def opened(viewer: napari.Viewer, name: str) -> Any:
    """Return a widget of the manifest, in the window; what it refuses ends the check."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    widget.failed.connect(problems.append)
    wait(widget.isVisible)
    return widget


def after(signal: Any, action: Callable[[], None]) -> None:
    """Do something, and let the window live until a signal says that it is done."""
    said: list[bool] = []
    signal.connect(lambda *_: said.append(True))
    action()
    wait(lambda: bool(said))


def wait(until: Callable[[], bool], *, seconds: float = 300) -> None:
    """Let the window live until something is so."""
    end = time.monotonic() + seconds
    while not until():
        loop = QEventLoop()
        QTimer.singleShot(20, loop.quit)
        loop.exec()
        if problems:
            sys.exit(f"refused: {problems[0]}")
        if time.monotonic() > end:
            sys.exit("nothing happened for too long")


if __name__ == "__main__":
    main()
