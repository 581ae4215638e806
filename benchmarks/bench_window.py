"""How the window feels: stalls while a job runs, slider to pixels, first show.

    QT_QPA_PLATFORM=xcb xvfb-run -a -s '-screen 0 1400x900x24' python benchmarks/bench_window.py

Prints a table in Markdown. Software GL counts in: on a screen with a GPU it is faster.
Processor time stands beside the time on the clock, because other work on the machine
lengthens only the latter. With --why, what the window did in its long gaps is printed;
with --write, the table takes its place in docs/decisions/0005-previews.md.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import psutil
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

PLUGIN = "napari-unet-cells"
PULSE_MS = 2
DECISION = Path(__file__).parents[1] / "docs" / "decisions" / "0005-previews.md"
HEADING = "## Measured"


class Stalls:
    """How long the event loop was away, measured by a timer.

    With `why`, a thread looks at what the window's thread does in gaps above 50 ms.
    """

    why = False

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.busy: list[float] = []
        self.places: collections.Counter[str] = collections.Counter()
        self.last = time.perf_counter()
        self.timer = QTimer()
        self.timer.timeout.connect(self._tick)
        self.is_over = threading.Event()

    def __enter__(self) -> Stalls:
        self.last, self.worked = time.perf_counter(), time.thread_time()
        self.timer.start(PULSE_MS)
        if self.why:
            main = threading.get_ident()
            threading.Thread(target=self._look, args=[main], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.stop()
        self._tick()
        self.is_over.set()
        for place, n in self.places.most_common(8):
            print(f"<!-- {10 * n} ms in {place} -->")

    def _tick(self) -> None:
        now = time.perf_counter()
        worked = time.thread_time()
        self.gaps.append((now - self.last) * 1000 - PULSE_MS)
        self.busy.append((worked - self.worked) * 1000)
        self.last, self.worked = now, worked

    def _look(self, main: int) -> None:
        while not self.is_over.wait(0.01):
            if time.perf_counter() - self.last > 0.05:
                stack = traceback.extract_stack(sys._current_frames()[main])
                ours = [f for f in stack if "napari_unet" in f.filename]
                shown = [*ours[-1:], *stack[-3:]]
                self.places[" < ".join(map(_place, shown))] += 1

    def row(self) -> str:
        """Return the longest gap and a usual one, in words."""
        gaps = sorted(self.gaps)
        at = gaps[int(0.99 * (len(gaps) - 1))]
        n_long = sum(gap > 50 for gap in gaps)
        return (
            f"longest {gaps[-1]:.0f} ms ({max(self.busy):.0f} ms of own work), 99th "
            f"percentile {at:.1f} ms, {n_long} above 50 ms"
        )


def _place(frame: traceback.FrameSummary) -> str:
    return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"


def wait(until: Callable[[], bool], seconds: float = 600) -> None:
    """Let the window live until something has happened, while `Stalls` are measured."""
    end = time.monotonic() + seconds
    app = QApplication.instance()
    while not until():
        app.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        if time.monotonic() > end:
            sys.exit("nothing happened for too long")


class Stages:
    """Where a slider's move spends its time, on the clock and on the processor."""

    NAMES = ("until asked", "answered", "handed over", "put in the layer", "drawn")

    def __init__(self, worker: psutil.Process) -> None:
        self.worker = worker
        self.at: list[float] = []
        self.rows: list[list[float]] = []
        self.cpu: list[tuple[float, float]] = []

    def begin(self) -> None:
        """Move the slider."""
        self.at = [time.perf_counter()]
        self._before = self._cpu()

    def note(self) -> None:
        """Enter the next stage."""
        self.at.append(time.perf_counter())

    def end(self) -> None:
        """See it drawn."""
        self.note()
        self.rows.append([1000 * (b - a) for a, b in itertools.pairwise(self.at)])
        after = self._cpu()
        self.cpu.append(
            tuple(1000 * (b - a) for a, b in zip(self._before, after, strict=True))
        )

    def _cpu(self) -> tuple[float, float]:
        times = self.worker.cpu_times()
        return time.process_time(), times.user + times.system

    def table(self, how: str) -> list[tuple[str, str]]:
        """Return rows for the printed table, of moves made in some way."""
        whole = [sum(row) for row in self.rows]
        middle = statistics.median
        found = [
            (
                f"slider to pixels, {how}",
                f"median {middle(whole):.0f} ms, largest {max(whole):.0f} ms",
            )
        ]
        for name, times in zip(self.NAMES, np.transpose(self.rows), strict=True):
            found.append((f"- {name}", f"{middle(times):.1f} ms"))
        for who, times in zip(
            ("window", "worker"), np.transpose(self.cpu), strict=True
        ):
            found.append((f"- processor time, {who}", f"{middle(times):.0f} ms"))
        return found


def settle(viewer) -> None:
    """Draw what waits to be drawn."""
    QApplication.processEvents()
    viewer.window._qt_viewer.canvas.native.repaint()
    QApplication.processEvents()


def slider_to_pixels(widget, viewer, values) -> list[tuple[str, str]]:
    """Rows of times from a slider's move to the drawn preview.

    First each move after a rest, when all is separated and drawn; then a drag, in which
    a move follows as soon as the one before is seen.
    """
    from napari_unet.plugin import live
    from napari_unet.plugin.outputs import Outputs

    drawn: list[bool] = []
    preview, see = Outputs.preview, live.see
    worker = psutil.Process(widget._engine().pid)
    canvas = viewer.window._qt_viewer.canvas.native

    def see_and_note(*args):
        stages.note()
        found = see(*args)
        stages.note()
        return found

    def preview_and_note(self, *args):
        stages.note()
        preview(self, *args)
        stages.note()
        drawn.append(True)

    def move(value):
        drawn.clear()
        stages.begin()
        widget.tuning.sliders.field("mask_threshold").setValue(value)
        wait(lambda: bool(drawn))
        canvas.repaint()
        stages.end()
        QApplication.processEvents()

    rows = []
    Outputs.preview, live.see = preview_and_note, see_and_note
    try:
        for how in ("after a rest", "in a drag"):
            stages = Stages(worker)
            for value in values:
                move(value)
                if how == "after a rest":
                    wait(lambda: not widget._run.live.is_busy)
                    settle(viewer)
            rows += stages.table(how)
            wait(lambda: not widget._run.live.is_busy)
            settle(viewer)
    finally:
        Outputs.preview, live.see = preview, see
    return rows


def write(table: list[str]) -> None:
    """Put the table into the decision that it belongs to."""
    sys.path.insert(0, str(Path(__file__).parent))
    from write_docs import processor

    text = DECISION.read_text().split(f"\n{HEADING}\n")[0].rstrip()
    how = (
        f"By `benchmarks/bench_window.py --write` on {processor()}, {psutil.cpu_count()} "
        f"cores;\nnapari {napari.__version__}, software OpenGL. To reach: 100 ms from a "
        "slider to pixels,\nstalls of 50 ms at the 99th percentile, the widget within "
        "500 ms."
    )
    parts = [text, "", HEADING, "", how, "", *table]
    DECISION.write_text("\n".join(parts) + "\n")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="pixels a side")
    parser.add_argument("--frames", type=int, default=4, help="frames of the long job")
    parser.add_argument("--why", action="store_true", help="what long gaps are")
    parser.add_argument("--write", action="store_true", help="write the decision")
    arguments = parser.parse_args()
    Stalls.why = arguments.why
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
    with Stalls() as stalls:
        rows += slider_to_pixels(widget, viewer, values)
    rows.append(("while the sliders move and rest", stalls.row()))

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
    table = ["| what | measured |", "|---|---|"]
    table += [f"| {what} | {measured} |" for what, measured in rows]
    print("\n".join(table))
    if arguments.write:
        write(table)


if __name__ == "__main__":
    main()
