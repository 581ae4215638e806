"""How the window feels: stalls while a job runs, slider to pixels, first show.

    QT_QPA_PLATFORM=xcb xvfb-run -a -s '-screen 0 1400x900x24' python benchmarks/bench_window.py

Prints a table in Markdown. Software GL counts in: on a screen with a GPU it is faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

PLUGIN = "napari-unet-cells"
PULSE_MS = 2


class Stalls:
    """How long the event loop was away, measured by a timer."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.last = time.perf_counter()
        self.timer = QTimer()
        self.timer.timeout.connect(self._tick)

    def __enter__(self) -> Stalls:
        self.last = time.perf_counter()
        self.timer.start(PULSE_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append((now - self.last) * 1000 - PULSE_MS)
        self.last = now

    def row(self) -> str:
        """Return the longest gap and a usual one, in words."""
        gaps = sorted(self.gaps)
        at = gaps[int(0.99 * (len(gaps) - 1))]
        return f"longest {gaps[-1]:.0f} ms, 99th percentile {at:.1f} ms"


def wait(until: Callable[[], bool], seconds: float = 600) -> None:
    """Let the window live until something has happened."""
    end = time.monotonic() + seconds
    app = QApplication.instance()
    while not until():
        app.processEvents()
        time.sleep(0.0005)
        if time.monotonic() > end:
            sys.exit("nothing happened for too long")


def slider_to_pixels(widget, viewer, values) -> list[float]:
    """Milliseconds from a slider's move to the drawn preview."""
    from napari_unet.plugin.outputs import Outputs

    drawn: list[float] = []
    original = Outputs.preview

    def preview(self, *args):
        original(self, *args)
        drawn.append(time.perf_counter())

    Outputs.preview = preview
    times = []
    try:
        for value in values:
            drawn.clear()
            start = time.perf_counter()
            widget.tuning.sliders.field("mask_threshold").setValue(value)
            wait(lambda: bool(drawn))
            viewer.window._qt_viewer.canvas.native.repaint()
            QApplication.processEvents()
            times.append((time.perf_counter() - start) * 1000)
            wait(lambda: not widget._run.live.is_busy)
    finally:
        Outputs.preview = original
    return times


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="pixels a side")
    parser.add_argument("--frames", type=int, default=4, help="frames of the long job")
    arguments = parser.parse_args()
    n = arguments.size
    image, _ = simulate(
        Simulation(shape=(n, n), n_cells=120 * n * n // 512**2, random_seed=3)
    )
    rows = []
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1380, 880)
    viewer.add_image(image, name="still")
    start = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    QApplication.processEvents()
    rows.append(("widget shown", f"{(time.perf_counter() - start) * 1000:.0f} ms"))
    with Stalls() as stalls:
        wait(lambda: widget.card is not None)
    rows.append(("while the worker starts and reads the model", stalls.row()))

    ends: list[bool] = []
    widget.stopped.connect(lambda: ends.append(True))
    start = time.perf_counter()
    with Stalls() as stalls:
        widget.run()
        wait(lambda: bool(ends))
    took = time.perf_counter() - start
    rows.append((f"while {n} x {n} px are segmented ({took:.1f} s)", stalls.row()))

    values = np.round(np.linspace(0.35, 0.65, 9), 2)
    times = slider_to_pixels(widget, viewer, values)
    text = f"median {statistics.median(times):.0f} ms, largest {max(times):.0f} ms"
    rows.append((f"slider to pixels, {n} x {n} px in view", text))

    series = np.stack([image] * arguments.frames)
    viewer.add_image(series, name="series", axis_labels=("t", "y", "x"))
    widget.form.layer.set_value("series")
    ends.clear()
    start = time.perf_counter()
    with Stalls() as stalls:
        widget.run()
        wait(lambda: bool(ends))
    took = time.perf_counter() - start
    what = f"while {arguments.frames} such frames are segmented ({took:.1f} s)"
    rows.append((what, stalls.row()))
    viewer.close()
    print("| what | measured |\n|---|---|")
    for what, measured in rows:
        print(f"| {what} | {measured} |")


if __name__ == "__main__":
    main()
