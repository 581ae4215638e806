"""Whole sessions: what is left behind, and what never enters napari's process."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

pytestmark = [pytest.mark.gui, pytest.mark.installed]

PATIENCE = 300_000

SESSION = """
import os, sys
if os.environ["QT_QPA_PLATFORM"] == "offscreen":
    import napari._vispy.layers.image as image
    import napari._vispy.layers.labels as labels
    image.get_gl_extensions = lambda: ""
    image.get_max_texture_sizes = labels.get_max_texture_sizes = lambda: (16384, 2048)
import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

pixels, _ = simulate(Simulation(shape=(128, 128), n_cells=8, random_seed=3))
viewer = napari.Viewer(show=False)
viewer.add_image(pixels, name="image")
_, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment")
widget.run()
steps = []

def finish(result):
    steps.append(int(result.labels.max()))
    widget.tuning.sliders.field("mask_threshold").setValue(0.3)

def leave():
    steps.append("tuned")
    viewer.close()
    QApplication.instance().quit()

widget.finished.connect(finish)
widget.tuned.connect(leave)
widget.failed.connect(lambda error: (print(error), os._exit(1)))
QTimer.singleShot(500_000, lambda: os._exit(2))
napari.run(force=True)
assert steps[0] > 4 and steps[1] == "tuned", steps
heavy = [name for name in ("torch",) if name in sys.modules]
# napari itself imports numba where it finds it; our kernels must not be there.
ours = ("napari_unet.nn", "napari_unet.core.components")
print("HEAVY", heavy, [name for name in sys.modules if name.startswith(ours)])
"""


def _play(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=600
    )


def test_neither_torch_nor_our_kernels_enter_the_viewers_process(tmp_path):
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    found = _play(script)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "HEAVY [] []" in found.stdout


def test_the_windows_open_without_what_takes_long_to_load():
    code = (
        "import sys\n"
        "for name in ('segment', 'train', 'evaluate'):\n"
        "    __import__(f'napari_unet.plugin.{name}_widget')\n"
        "heavy = ('torch', 'zarr', 'tifffile', 'distributed', 'pyqtgraph', 'pandas')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


COMMAND = """
import sys
import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

def look():
    viewer = napari.current_viewer()
    docks = [] if viewer is None else list(viewer.window.dock_widgets)
    if not any("Segment" in name for name in docks):
        return QTimer.singleShot(50, look)
    print("DOCKED", docks)
    viewer.close()
    QApplication.instance().quit()

real = napari.run
def run(*args, **kwargs):
    QTimer.singleShot(50, look)
    return real(*args, **kwargs)

napari.run = run
sys.argv = ["napari", "-w", "napari-unet-cells", "Segment"]
from napari.__main__ import main
main()
"""


def test_the_napari_command_opens_the_widget_and_ends_while_it_reads(tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    found = _play(script)
    assert "DOCKED" in found.stdout, found.stdout + found.stderr
    assert (found.returncode, found.stderr) == (0, "")


ENDS = """
import threading, time
from qtpy.QtWidgets import QApplication
from napari_unet.engine.client import Engine
from napari_unet.plugin.job import Job, once

application = QApplication([])
engine, job, is_in_work = Engine(), Job(), threading.Event()

def wait():
    future = engine.submit(time.sleep, 1000)
    is_in_work.set()
    return engine.result(future)

job.start(once(wait))
assert is_in_work.wait(300)
"""


def test_python_may_end_while_a_job_runs(tmp_path):
    script = tmp_path / "ends.py"
    script.write_text(ENDS)
    found = _play(script)
    assert (found.returncode, found.stderr) == (0, "")


EMPTY = """
import time
import napari, pint
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show=False)
warm = []
for name in ("Segment", "Train"):
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", name)
    widget._warming._labels.stopped.connect(lambda: warm.append(True))
end = time.monotonic() + 300
while len(warm) < 2 and time.monotonic() < end:
    QApplication.processEvents()
    time.sleep(0.001)
lazy = object.__getattribute__(pint.application_registry, "_registry")
print(len(warm), type(lazy).__name__)
viewer.close()
"""


def test_an_empty_viewer_is_left_to_build_its_units(tmp_path):
    """They are built in the window's thread alone, with the first layer."""
    script = tmp_path / "empty.py"
    script.write_text(EMPTY)
    assert _play(script).stdout == "2 LazyRegistry\n"


def _callbacks(viewer) -> int:
    events = viewer.layers.events
    emitters = [events.inserted, events.removed, events.reordered]
    emitters += [viewer.dims.events.current_step, viewer.layers[0].events.name]
    return sum(len(emitter.callbacks) for emitter in emitters)


def _threads() -> set[threading.Thread]:
    """Threads that are ours to end: those of the pools of Qt and dask are kept."""
    kept = ("IO loop", "Dask-", "Profile", "AsyncProcess", "Dummy-", "ThreadPool")
    return {t for t in threading.enumerate() if not t.name.startswith(kept)}


@pytest.mark.parametrize("name", ["Segment", "Train", "Evaluate"])
def test_ten_times_open_and_closed_leave_nothing_behind(
    make_napari_viewer, qtbot, one_worker, until_destroyed, name
):
    from napari_unet.plugin import shared_engine

    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((16, 16), np.uint8), name="image")
    gc.collect()
    users, callbacks = len(shared_engine._users), _callbacks(viewer)
    widgets = len(shared_engine._widgets)
    threads, children = _threads(), set(psutil.Process().children())
    for _ in range(10):
        dock, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", name)
        assert type(widget).__name__ == f"{name}Widget"
        assert _callbacks(viewer) > callbacks
        with until_destroyed(widget):
            dock.destroyOnClose()
    assert len(shared_engine._widgets) == widgets
    qtbot.waitUntil(lambda: _threads() <= threads, timeout=PATIENCE)
    assert len(shared_engine._users) == users
    assert _callbacks(viewer) == callbacks
    assert set(psutil.Process().children()) <= children


def test_a_closed_widget_ends_its_worker(make_napari_viewer, qtbot, monkeypatch):
    from napari_unet.engine.client import Compute
    from napari_unet.plugin import segment_widget

    plain = segment_widget.read_preferences()
    # Another value than that of the other tests: a worker of its own.
    alone = dataclasses.replace(plain, compute=Compute(ca_file="unused"))
    monkeypatch.setattr(segment_widget, "read_preferences", lambda: alone)
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((16, 16), np.uint8), name="image")
    widget = segment_widget.SegmentWidget(viewer)
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        viewer.window.add_dock_widget(widget)
    pid = widget._engine().pid
    assert psutil.pid_exists(pid)
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid), timeout=PATIENCE)


@pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") != "xcb", reason="needs a screen: xvfb-run"
)
def test_a_session_on_a_real_screen(make_napari_viewer, qtbot, one_worker, tmp_path):
    from napari_unet.plugin.commands import segment_visible

    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-unet-cells", "touching_nuclei")
    before = viewer.screenshot(canvas_only=True, flash=False)
    segment_visible()
    widget = next(
        dock.inner_widget() if hasattr(dock, "inner_widget") else dock
        for dock in viewer.window.dock_widgets.values()
        if type(dock).__name__ == "SegmentWidget"
    )
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        pass  # the model is still being read
    after = viewer.screenshot(canvas_only=True, flash=False)
    coloured = np.ptp(after[..., :3].astype(int), axis=-1) > 30
    assert np.ptp(before[..., :3].astype(int), axis=-1).max() < 10, "grey before"
    assert 0.05 < coloured.mean() < 0.6
    _score_what_is_seen(viewer, qtbot)
    _train_on_what_is_seen(viewer, qtbot, tmp_path / "mine.safetensors")


def _score_what_is_seen(viewer, qtbot):
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Evaluate")
    chosen = widget.value()
    assert (chosen.labels, chosen.truth) == ("nuclei [cells]", "nuclei [truth]")
    with qtbot.waitSignal(widget.scored, timeout=PATIENCE):
        widget.button.click()
    assert widget.findings.scores.ap[0] > 0.6, "what was out of view is missed"
    assert widget.isVisible()


def _train_on_what_is_seen(viewer, qtbot, out):
    from napari_unet.plugin.train_choice import PairChoice
    from napari_unet.training_settings import Training

    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Train")
    tiny = Training(depth=2, base_channels=4, batch=2, patch=64, validate_every=0.5)
    choice = widget.value().replace(
        pairs=(PairChoice(image="nuclei", labels="nuclei [truth]"),),
        steps=4,
        network=tiny.model_dump(),
        out=str(out),
    )
    widget.set_value(choice)
    with qtbot.waitSignal(widget.finished, timeout=PATIENCE) as said:
        widget.row.button.click()
    assert said.args[0].steps == 4
    assert out.is_file()
    assert widget.isVisible()
