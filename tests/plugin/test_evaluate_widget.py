"""Evaluate widget: errors that were built in are found, shown, and corrected."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.gui

WAIT = 60_000


def truth_image() -> np.ndarray:
    """Six blocks of 10 x 10 px in a row of the upper half."""
    truth = np.zeros((40, 80), np.int32)
    for number in range(6):
        truth[5:15, 3 + 13 * number : 13 + 13 * number] = number + 1
    return truth


def result_image() -> np.ndarray:
    """1 and 2 right, 3 and 4 merged, 5 split, 6 missed, one false."""
    found = np.zeros((40, 80), np.int32)
    truth = truth_image()
    found[truth == 1], found[truth == 2] = 11, 12
    found[5:15, 29:52] = 13  # over both, and the gap between them
    found[5:15, 56:60], found[5:15, 60:64] = 14, 15
    found[25:35, 30:40] = 16
    return found


@pytest.fixture
def viewer(make_napari_viewer, one_worker):
    return make_napari_viewer()


@pytest.fixture
def opened(viewer, qtbot):
    """A viewer with image, result and truth, and the widget docked in it."""
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    placed = {"scale": (0.5, 0.5), "units": "um"}
    image = np.where(truth_image() > 0, 100, 10).astype(np.uint8)
    viewer.add_image(image, name="image", **placed)
    viewer.add_labels(truth_image(), name="truth", **placed)
    viewer.add_labels(result_image(), name="cells", **placed)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    return widget


@pytest.fixture
def scored(opened, qtbot):
    with qtbot.waitSignal(opened.scored, timeout=WAIT):
        opened.button.click()
    return opened


def colour_of(layer, label):
    return np.round(layer.colormap.map(label), 2).tolist()


def test_layers_are_guessed_and_the_choice_goes_round(opened):
    from napari_unet.plugin.evaluate_choice import EvaluateChoice

    choice = opened.value()
    assert (choice.labels, choice.truth, choice.image) == ("cells", "truth", "image")
    other = EvaluateChoice(
        labels="truth", truth="cells", image="image", objects="volumes"
    )
    opened.set_value(other)
    assert opened.value() == other


@pytest.mark.installed
def test_scores_are_those_of_the_library(scored):
    import napari_unet as nu

    direct = nu.evaluate(result_image(), truth_image())
    assert scored.findings.scores.summary() == direct.summary()
    assert scored.scores.cards["AP 0.5"].text() == f"{direct.ap[0]:.3f}"
    table = scored.scores.table
    assert table.rowCount() == 10
    assert table.item(2, 1).text() == f"{direct.ap[2]:.3f}"


def test_scores_go_with_their_truth_and_the_next_truth_is_chosen(scored, viewer):
    assert "of 6 objects found" in scored.text.text(), scored.text.text()
    viewer.layers.remove("truth")
    assert scored.findings is None
    assert scored.text.text() == ""
    assert not scored.button.isEnabled()
    viewer.add_labels(truth_image(), name="another", scale=(0.5, 0.5), units="um")
    assert (scored.value().labels, scored.value().truth) == ("cells", "another")
    assert scored.button.isEnabled(), scored.form.problem.text()


class Lazy:
    """Labels that can be read by parts only; it notes how much, and in which thread."""

    def __init__(self, labels):
        self.labels, self.reads = labels, []
        self.shape, self.ndim, self.dtype = labels.shape, labels.ndim, labels.dtype

    def __getitem__(self, key):
        part = self.labels[key]
        in_window = threading.current_thread() is threading.main_thread()
        self.reads.append((in_window, part.size))
        return part

    def __array__(self, *_, **__):
        raise AssertionError("lazy labels were read whole")


def test_lazy_series_are_scored_frame_by_frame_and_not_here(viewer, qtbot, monkeypatch):
    import napari_unet as nu
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    found = np.stack([result_image(), truth_image(), np.roll(result_image(), 2, 1)])
    truth = np.stack([truth_image()] * 3)
    truth[1, 30:, :20] = -1
    direct = nu.evaluate(list(found), list(truth))
    labelled = {"axis_labels": ("T", "Y", "X")}
    lazy = {"truth": Lazy(truth), "cells": Lazy(found)}
    for name, labels in lazy.items():
        viewer.add_labels(labels, name=name, **labelled)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")

    def here(*_, **__):
        raise AssertionError("scored in napari's process")

    for labels in lazy.values():
        labels.reads.clear()
    monkeypatch.setattr("napari_unet.core.metrics.overlap_table", here)
    with qtbot.waitSignal(widget.scored, timeout=WAIT):
        widget.button.click()
    scores = widget.findings.scores
    assert scores.summary() == direct.summary()
    assert scores.objects == direct.objects
    np.testing.assert_array_equal(scores.ap_per_image, direct.ap_per_image)
    for labels in lazy.values():
        aside = [size for in_window, size in labels.reads if not in_window]
        assert aside == [truth[0].size] * 3
    with qtbot.waitSignal(widget.looked, timeout=WAIT):
        widget.errors.forth.click()
    # napari draws one plane at a time in the window's thread.
    sizes = {size for labels in lazy.values() for _, size in labels.reads}
    assert max(sizes) == truth[0].size


def test_scoring_is_cancelled_and_all_goes_on(viewer, qtbot, one_worker):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    frames = np.repeat(np.eye(8, dtype=np.int32)[None], 20_000, axis=0)
    labelled = {"axis_labels": ("T", "Y", "X")}
    viewer.add_labels(frames, name="truth", **labelled)
    cells = viewer.add_labels(frames, name="cells", **labelled)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    with qtbot.waitSignal(widget._score.progress, timeout=10 * WAIT):
        widget.button.click()
    worker = one_worker.pid
    assert widget.button.text() == "Cancel"
    said = []
    widget.scored.connect(said.append)
    with qtbot.waitSignal(widget.stopped, timeout=WAIT):
        widget.button.click()
    assert said == []
    assert widget.findings is None
    assert (widget.button.text(), widget.text.text()) == ("Evaluate", "Cancelled.")
    assert widget.button.isEnabled()
    for layer in (viewer.layers["truth"], cells):
        layer.data = frames[:2]
    with qtbot.waitSignal(widget.stopped, timeout=WAIT):
        widget.button.click()
    assert widget.findings.scores.n_images == 2
    assert widget.button.text() == "Evaluate"
    assert one_worker.pid == worker


def test_every_error_is_listed_and_a_feature_of_its_object(scored, viewer):
    assert table_of(scored.errors)[0] == ["missed", 6, "-", "0.00", 100]
    listed = [(r.kind, r.id) for r in scored.findings.errors()]
    assert listed == [("missed", 6), ("false", 16), ("merged", 13), ("split", 5)]
    assert scored.findings.counts() == {
        "missed": 1,
        "false": 1,
        "merged": 1,
        "split": 1,
        "matched": 2,
    }
    features = viewer.layers["cells"].features
    kinds = dict(zip(features["index"], features["error"], strict=True))
    assert kinds == {
        0: "",
        11: "matched",
        12: "matched",
        13: "merged",
        14: "split",
        15: "split",
        16: "false",
    }
    partners = dict(zip(features["index"], features["partners"], strict=True))
    assert partners[13] == "3 4"
    on_truth = viewer.layers["truth"].features
    assert dict(zip(on_truth["index"], on_truth["error"], strict=True))[6] == "missed"


def test_a_piece_beside_a_match_is_listed():
    import napari_unet as nu
    from napari_unet.plugin.scoring import Findings

    truth = np.ones((1, 10), int)
    found = np.where(np.arange(10) < 6, 4, 5)[None]
    findings = Findings(nu.evaluate(found, truth), ((),))
    assert [(r.kind, r.side, r.id) for r in findings.errors()] == [
        ("split", "prediction", 5)
    ]


def test_a_cell_run_into_a_matched_one_is_outlined():
    import napari_unet as nu
    from napari_unet.plugin.scoring import Findings

    truth = np.where(np.arange(10) < 7, 1, 2)[None]
    findings = Findings(nu.evaluate(np.full((1, 10), 5), truth), ((),))
    # Two lie mainly in it: it is matched to the larger, and the smaller is merged.
    assert [(r.kind, r.side, r.id) for r in findings.errors()] == [
        ("merged", "truth", 2)
    ]
    assert findings.outlined(()) == {2}


def test_colours_tell_the_error_and_the_own_ones_come_back(scored, viewer):
    from vispy.color import Color

    from napari_unet.plugin.error_view import COLOURS

    cells, truth = viewer.layers["cells"], viewer.layers["truth"]
    for label, kind in ((11, "matched"), (13, "merged"), (14, "split"), (16, "false")):
        wanted = np.round(Color(COLOURS[kind]).rgba, 2).tolist()
        assert colour_of(cells, label) == wanted
    missed = np.round(Color(COLOURS["missed"]).rgba, 2).tolist()
    assert colour_of(truth, 6) == missed
    assert colour_of(truth, 1)[3] == 0
    scored.errors.colour.setChecked(False)
    assert type(cells.colormap).__name__ == "CyclicLabelColormap"
    assert truth.contour == 0


@pytest.mark.installed
def test_next_and_previous_move_the_camera_to_the_object(scored, viewer, qtbot):
    centres = {
        "missed": (9.5, 72.5),
        "false": (29.5, 34.5),
        "merged": (9.5, 40),
        "split": (9.5, 59.5),
    }
    for kind in centres:
        with qtbot.waitSignal(scored.looked, timeout=WAIT):
            scored.errors.forth.click()
        assert scored.errors.current().kind == kind
        centre = np.asarray(viewer.scene.camera.center)[-2:]
        np.testing.assert_allclose(centre, 0.5 * np.array(centres[kind]))
    assert viewer.layers["cells"].selected_label == 14
    assert viewer.layers.selection.active is viewer.layers["cells"]
    scored.errors.forth.click()
    assert scored.errors.current().kind == "missed"
    scored.errors.back.click()
    assert scored.errors.current().kind == "split"
    scored.errors.kinds["split"].setChecked(False)
    assert scored.errors.model.rowCount() == 3


@pytest.mark.installed
def test_corrections_are_undone_by_the_layer_and_scored_again(scored, viewer, qtbot):
    cells = viewer.layers["cells"]
    plane = (0, 1)
    with qtbot.waitSignal(scored.scored, timeout=WAIT):
        scored.correct.correct("split", [(3, 40.0), (17, 40.0)], plane)
    assert scored.findings.counts()["merged"] == 0
    with qtbot.waitSignal(scored.scored, timeout=WAIT):
        scored.correct.correct("merge", [(10, 56), (10, 63)], plane)
    with qtbot.waitSignal(scored.scored, timeout=WAIT):
        scored.correct.correct("delete", [(30, 35)], plane)
    assert scored.findings.counts() == {
        "missed": 1,
        "false": 0,
        "merged": 0,
        "split": 0,
        "matched": 5,
    }
    for _ in range(3):
        cells.undo()
    np.testing.assert_array_equal(cells.data, result_image())
    with qtbot.waitSignal(scored.scored, timeout=WAIT):
        scored.correct.redo.click()
    assert scored.findings.counts()["merged"] == 0
    with qtbot.waitSignal(scored.failed) as said:
        scored.correct.correct("merge", [(38, 1), (38, 9)], plane)
    assert "fewer than two" in str(said.args[0])


def test_painting_is_scored_when_the_hand_rests(scored, viewer, qtbot):
    with qtbot.waitSignal(scored.scored, timeout=WAIT):
        viewer.layers["cells"].fill((30, 35), 0)
    assert scored.findings.counts()["false"] == 0


def test_undo_by_key_is_scored_and_measured(scored, viewer, qtbot, one_worker):
    cells = viewer.layers["cells"]
    with qtbot.waitSignal(scored.measured, timeout=10 * WAIT):
        scored.measuring.button.click()
    both = [scored.scored, scored.measured]
    with qtbot.waitSignals(both, timeout=10 * WAIT):
        cells.fill((30, 35), 0)
    assert scored.findings.counts()["false"] == 0
    assert 16 not in set(cells.features["index"])
    with qtbot.waitSignals(both, timeout=10 * WAIT):
        cells.undo()  # what Ctrl+Z calls; the layer tells nobody
    assert scored.findings.counts()["false"] == 1
    features = cells.features.set_index("index")
    assert (features["error"][16], features["area"][16]) == ("false", 100)


def test_what_does_not_change_labels_is_not_scored_again(scored, viewer, qtbot):
    said = []
    scored.scored.connect(said.append)
    viewer.layers["cells"].refresh()
    viewer.layers["cells"].opacity = 0.5
    assert scored._watch.is_busy
    qtbot.waitUntil(lambda: not scored._watch.is_busy, timeout=WAIT)
    assert said == []


def test_a_line_drawn_with_the_mouse_splits(scored, viewer, qtbot):
    cells = viewer.layers["cells"]
    cells.mode = "paint"
    cells.mode = "pan_zoom"
    before = list(cells.mouse_drag_callbacks)
    cells.mode = "paint"
    modes = []  # napari crashes later if a brush is in hand when shapes are added
    viewer.layers.events.inserted.connect(lambda: modes.append(str(cells.mode)))
    scored.correct.tools["split"].click()
    assert modes == ["pan_zoom"]
    assert not cells.mouse_pan
    event = SimpleNamespace(
        type="mouse_press", button=1, dims_displayed=(0, 1), position=(1.5, 20.0)
    )
    drawing = cells.mouse_drag_callbacks[-1](cells, event)
    next(drawing)
    event.type = "mouse_move"
    for y in np.linspace(2, 8, 5):
        event.position = (y, 20.0)
        next(drawing)
    assert len(viewer.layers["stroke"].data) == 1
    event.type = "mouse_release"
    with qtbot.waitSignal(scored.scored, timeout=WAIT), pytest.raises(StopIteration):
        next(drawing)
    assert scored.findings.counts()["merged"] == 0
    scored.correct.tools["split"].click()
    assert "stroke" not in viewer.layers
    assert cells.mouse_pan
    assert cells.mouse_drag_callbacks == before


@pytest.mark.installed
def test_measurements_are_features_and_a_file(
    scored, viewer, qtbot, one_worker, tmp_path
):
    from napari_unet.io.tables import read_table

    with qtbot.waitSignal(scored.measured, timeout=10 * WAIT):
        scored.measuring.button.click()
    features = viewer.layers["cells"].features.set_index("index")
    assert features["area"].tolist() == [0, 100, 100, 230, 40, 40, 100]
    assert features["error"][16] == "false"
    assert features["intensity_mean_0"][16] == 10
    assert features["area_um2"][13] == 57.5
    path = tmp_path / "objects.csv"
    scored.save(str(path))
    table = read_table(path)
    assert table["label"].tolist() == [11, 12, 13, 14, 15, 16]
    assert table["error"].tolist()[-1] == "false"
    assert table["iou"].tolist()[:2] == [1.0, 1.0]


def test_measurements_do_not_go_to_a_layer_that_is_chosen_meanwhile(
    opened, viewer, qtbot, monkeypatch
):
    from napari_unet.plugin import evaluate_widget

    begun, go_on = threading.Event(), threading.Event()

    def slow(*_):
        begun.set()
        assert go_on.wait(WAIT / 1000)
        yield from ()
        return {"label": np.array([11]), "area": np.array([100])}

    monkeypatch.setattr(evaluate_widget, "iter_measurements", slow)
    other = viewer.add_labels(result_image(), name="other", scale=(0.5, 0.5))
    said = []
    opened.measured.connect(said.append)
    opened.set_value(opened.value().replace(labels="cells"))
    opened.measure()
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    opened.set_value(opened.value().replace(labels="other"))
    with qtbot.waitSignal(opened.measuring_stopped, timeout=WAIT):
        go_on.set()
    assert said == []
    assert opened.table is None
    assert opened.measuring.button.text() == "Measure"
    assert "area" not in other.features
    assert opened.text.text() == ""


@pytest.mark.parametrize("channels", [None, 3])
def test_lazy_series_are_measured_frame_by_frame_and_not_here(
    viewer, qtbot, monkeypatch, channels
):
    """The table is that of the whole series, to the last bit."""
    from napari_unet.core.measure import measure_stack
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    rng = np.random.default_rng(7)
    found = np.stack([result_image(), truth_image(), np.roll(result_image(), 2, 1)])
    image = rng.random((2, *found.shape)).astype(np.float32)
    axes = {"axes": "TYX", "spatial_axes": "YX", "pixel_size": (0.5, 0.4)}
    letters = "tyx"
    if channels is None:
        image = image[:1]
        stored = image[0]
    else:
        letters = letters[:channels] + "c" + letters[channels:]
        stored = np.moveaxis(image, 0, channels)
    direct = measure_stack(found, image, **axes)
    scale = {"t": 1, "y": 0.5, "x": 0.4, "c": 1}
    placed = {"scale": [scale[a] for a in letters], "axis_labels": tuple(letters)}
    lazy = {"image": Lazy(stored), "cells": Lazy(found)}
    viewer.add_image(
        lazy["image"], name="image", contrast_limits=(0, 1), units="um", **placed
    )
    viewer.add_labels(
        lazy["cells"],
        name="cells",
        scale=(1, 0.5, 0.4),
        axis_labels=tuple("tyx"),
        units="um",
    )
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    for pixels in lazy.values():
        pixels.reads.clear()

    def here(*_, **__):
        raise AssertionError("measured in napari's process")

    monkeypatch.setattr("napari_unet.core.measure.measure_objects", here)
    said = []
    widget._measure.progress.connect(lambda *done: said.append(done))
    with qtbot.waitSignal(widget.measured, timeout=10 * WAIT):
        widget.measuring.button.click()
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert list(widget.table) == list(direct)
    for name, column in direct.items():
        assert widget.table[name].dtype == column.dtype
        assert widget.table[name].tobytes() == column.tobytes()
    aside = [
        [size for in_window, size in pixels.reads if not in_window]
        for pixels in lazy.values()
    ]
    assert aside == [[found[0].size * len(image)] * 3, [found[0].size] * 3]
    viewer.dims.set_current_step(viewer.dims.ndim - 3, 0)
    frame = widget.table["t"] == 0
    shown = viewer.layers["cells"].features["area"].tolist()
    assert shown == [0, *widget.table["area"][frame].tolist()]


def test_measuring_is_cancelled_and_the_viewer_is_as_it_was(viewer, qtbot, one_worker):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    frames = np.repeat(np.eye(8, dtype=np.int32)[None], 20_000, axis=0)
    cells = viewer.add_labels(frames, name="cells", axis_labels=("T", "Y", "X"))
    cells.features = {"index": [0, 1], "mine": [3, 4]}
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    with qtbot.waitSignal(widget._measure.progress, timeout=10 * WAIT):
        widget.measuring.button.click()
    worker = one_worker.pid
    assert widget.measuring.button.text() == "Cancel"
    # The worker may have done more than one before the window looks.
    assert re.fullmatch(r"Measured \d+ of 20000\.", widget.text.text())
    said = []
    widget.measured.connect(said.append)
    before = cells.data
    with qtbot.waitSignal(widget.measuring_stopped, timeout=WAIT):
        widget.measuring.button.click()
    assert said == []
    assert widget.table is None
    assert not widget.measuring.save_button.isEnabled()
    assert cells.data is before
    assert cells.features.to_dict("list") == {"index": [0, 1], "mine": [3, 4]}
    assert widget.measuring.button.text() == "Measure"
    assert widget.text.text() == "Cancelled."
    cells.data = frames[:2]
    with qtbot.waitSignal(widget.measuring_stopped, timeout=WAIT):
        widget.measuring.button.click()
    assert widget.table["area"].tolist() == [8, 8]
    assert one_worker.pid == worker


def test_labels_of_a_part_are_measured_with_what_lies_under_them(viewer, qtbot):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    image = np.zeros((3, 20, 20), np.uint8)
    image[2, 5:9, 6:9] = 200
    viewer.add_image(image, name="image", axis_labels=("T", "Y", "X"))
    labels = np.zeros((1, 10, 10), np.int32)
    labels[0, 1:5, 2:5] = 4
    part = {"start": [2, 4, 4], "of": [3, 20, 20]}
    viewer.add_labels(
        labels,
        name="cells",
        axis_labels=("T", "Y", "X"),
        metadata={"napari_unet": {"part": part}},
    )
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    with qtbot.waitSignal(widget.measured, timeout=10 * WAIT):
        widget.measure()
    assert widget.table["intensity_min_0"].tolist() == [200]
    assert widget.table["area"].tolist() == [12]


def test_what_is_painted_during_the_first_scoring_is_scored(opened, viewer, qtbot):
    from napari_unet.plugin.labels_watch import fingerprint

    cells = viewer.layers["cells"]
    before = fingerprint(cells.data)
    cells.fill((30, 35), 0)
    with qtbot.waitSignal(opened._watch.changed, timeout=WAIT):
        opened._watch.know(before)
    opened._watch.know(fingerprint(cells.data))
    said = []
    opened._watch.changed.connect(lambda: said.append(1))
    qtbot.waitUntil(lambda: not opened._watch.is_busy, timeout=WAIT)
    assert said == []


def test_the_worker_of_another_address_is_given_back(opened, one_worker):
    import dataclasses

    from napari_unet.engine.client import Compute
    from napari_unet.plugin import shared_engine
    from napari_unet.plugin.preferences import read_preferences

    opened._engine()
    assert shared_engine._users[id(opened._user)] is one_worker
    now = read_preferences()
    other = dataclasses.replace(now, device="cpu")
    opened._preferences.changed.emit(now, other)
    assert shared_engine._users[id(opened._user)] is one_worker
    elsewhere = dataclasses.replace(now, compute=Compute("tls://elsewhere:8786"))
    opened._preferences.changed.emit(now, elsewhere)
    assert id(opened._user) not in shared_engine._users


@pytest.fixture
def alone(make_napari_viewer):
    """A viewer with labels, a widget, and no worker but the one that it starts."""
    from napari_unet.plugin import shared_engine
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    engines = dict(shared_engine._engines)
    shared_engine._engines.clear()
    viewer = make_napari_viewer()
    viewer.add_labels(truth_image(), name="truth")
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    yield viewer, widget
    widget.detach()
    shared_engine._engines.clear()
    shared_engine._engines.update(engines)


def test_the_worker_is_started_once_there_is_something_to_compare(
    alone, qtbot, monkeypatch
):
    from napari_unet.engine.client import Engine
    from napari_unet.plugin import shared_engine

    begun, go_on, sent = threading.Event(), threading.Event(), []

    def start(_, task):
        begun.set()
        assert go_on.wait(WAIT / 1000)
        sent.append((task.__name__, threading.current_thread()))

    monkeypatch.setattr(Engine, "start", start)
    viewer, widget = alone
    assert not widget._warm.is_busy
    assert shared_engine._engines == {}
    viewer.add_labels(result_image(), name="cells")
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    choice = widget.value()  # the window is not held up meanwhile
    assert (choice.labels, choice.truth) == ("cells", "truth")
    go_on.set()
    qtbot.waitUntil(lambda: not widget._warm.is_busy, timeout=WAIT)
    ((name, thread),) = sent
    assert name == "warm_up"
    assert thread is not threading.main_thread()
    assert list(shared_engine._engines.values()) == [widget._engine()]
    assert widget.text.text() == ""
    widget.detach()
    assert shared_engine._engines == {}


def test_a_worker_that_does_not_start_is_told_when_it_is_needed(
    alone, qtbot, monkeypatch
):
    from napari_unet.engine.client import Engine
    from napari_unet.errors import WorkerError

    def refuse(_):
        raise WorkerError("There is no worker.", "Start one.")

    monkeypatch.setattr(Engine, "client", refuse)
    viewer, widget = alone
    said = []
    widget.failed.connect(said.append)
    viewer.add_labels(result_image(), name="cells")
    qtbot.waitUntil(lambda: not widget._warm.is_busy, timeout=WAIT)
    assert (said, widget.text.text()) == ([], "")
    with qtbot.waitSignal(widget.stopped, timeout=WAIT):
        widget.run()
    assert [str(error) for error in said] == ["There is no worker. Start one."]
    assert widget.button.text() == "Evaluate"


def test_the_window_does_not_wait_for_what_draws_errors(viewer, qtbot):
    """Napari compiles for each kind of integers: that takes seconds."""
    from numba.core import event

    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    class Noted(event.Listener):
        def on_start(self, _):
            compiling.append(threading.current_thread())

        def on_end(self, _):
            pass

    for name, labels in (("truth", truth_image()), ("cells", result_image())):
        viewer.add_labels(labels.astype(np.uint32), name=name)
    compiling = []
    with event.install_listener("numba:compile", Noted()):
        widget = EvaluateWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Evaluate")
        with qtbot.waitSignal(widget.scored, timeout=WAIT):
            widget.run()
    assert colour_of(viewer.layers["cells"], 16) != colour_of(
        viewer.layers["cells"], 11
    )
    assert compiling
    assert threading.main_thread() not in compiling


def test_what_is_warmed_up_needs_no_more_than_scoring_and_measuring():
    from napari_unet.engine.measuring import warm_up

    warm_up()


def test_what_does_not_fit_is_marked_and_cannot_be_run(viewer, qtbot):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    assert not widget.button.isEnabled()
    viewer.add_labels(np.zeros((4, 4), int), name="cells")
    assert "same layer" in widget.form.problem.text()
    viewer.add_labels(np.zeros((4, 5), int), name="truth")
    widget.form.truth.set_value("truth")
    widget.form.labels.set_value("cells")
    assert "(4, 4)" in widget.form.problem.text()
    assert not widget.button.isEnabled()
    viewer.layers.remove("truth")
    viewer.add_labels(np.zeros((4, 4), int), name="other")
    widget.form.truth.set_value("other")
    assert widget.form.problem.text() == ""
    assert widget.button.isEnabled()


def table_of(panel):
    """What stands in the list of errors, row by row."""
    model = panel.model
    return [
        [model.data(model.index(row, at)) for at in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def test_frames_are_scored_on_their_own(viewer, qtbot):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    labelled = {"axis_labels": ("T", "Y", "X")}
    series = np.stack([truth_image(), result_image()])
    truth = np.stack([truth_image(), truth_image()])
    viewer.add_labels(truth, name="truth", **labelled)
    cells = viewer.add_labels(series, name="cells", **labelled)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    viewer.dims.set_current_step(0, 0)
    with qtbot.waitSignal(widget.scored, timeout=WAIT):
        widget.run()
    assert widget.findings.scores.n_images == 2
    assert table_of(widget.errors) == [
        ["missed", 6, "-", "0.00", 100, "1"],
        ["false", 16, "-", "0.00", 100, "1"],
        ["merged", 13, "3, 4", "0.43", 230, "1"],
        ["split", 5, "14, 15", "0.40", 100, "1"],
    ]
    assert set(cells.features["error"]) == {"", "matched"}
    viewer.dims.set_current_step(0, 1)
    assert "merged" in set(cells.features["error"])
    viewer.dims.set_current_step(0, 0)
    with qtbot.waitSignal(widget.looked, timeout=WAIT):
        widget.errors.forth.click()
    assert viewer.dims.current_step[0] == 1
    widget.correct.correct("delete", [(1, 30, 35)], (1, 2))
    assert (cells.data[1] == 16).sum() == 0
    np.testing.assert_array_equal(cells.data[0], truth_image())


def test_an_object_of_a_volume_is_looked_at_in_its_plane(viewer, qtbot):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    truth = np.zeros((9, 40, 80), np.int32)
    truth[2:5] = truth_image()
    found = np.where(truth == 6, 0, truth)
    labelled = {"axis_labels": ("Z", "Y", "X")}
    viewer.add_labels(truth, name="truth", **labelled)
    viewer.add_labels(found, name="cells", **labelled)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    assert widget.value().objects == "volumes"
    with qtbot.waitSignal(widget.scored, timeout=WAIT):
        widget.run()
    assert widget.findings.counts()["missed"] == 1
    with qtbot.waitSignal(widget.looked, timeout=WAIT):
        widget.errors.forth.click()
    assert viewer.dims.current_step[0] == 3


def test_closing_leaves_nothing_behind(viewer, qtbot):
    from napari_unet.plugin.evaluate_widget import EvaluateWidget

    cells = viewer.add_labels(result_image(), name="cells")
    truth = viewer.add_labels(truth_image(), name="truth")

    def followed():
        events = viewer.layers.events
        return [
            len(emitter.callbacks)
            for emitter in (
                events.inserted,
                events.removed,
                viewer.dims.events.current_step,
                cells.events.paint,
                cells.events.name,
                truth.events.name,
            )
        ] + [len(cells.mouse_drag_callbacks), len(viewer.layers)]

    before = followed()
    for _ in range(3):  # ten times without scores: test_session.py
        widget = EvaluateWidget(viewer)
        dock = viewer.window.add_dock_widget(widget, name="Evaluate")
        with qtbot.waitSignal(widget.scored, timeout=WAIT):
            widget.run()
        widget.correct.tools["merge"].click()
        viewer.window.remove_dock_widget(dock)
    assert followed() == before
    assert type(cells.colormap).__name__ == "CyclicLabelColormap"


def test_neither_torch_nor_numba_is_needed():
    code = (
        "import json, sys\n"
        "import numpy as np\n"
        "import napari_unet.plugin.evaluate_widget\n"
        "from napari_unet.core.metrics import count_image, pool_images\n"
        "import napari_unet.plugin.train_widget\n"
        "from napari_unet.core.corrections import Stroke, split_objects\n"
        "one = np.ones((9, 9), int)\n"
        "pool_images([count_image(one, one)])\n"
        "line = Stroke(np.array([[0., 4.], [8., 4.]]), (0, 1))\n"
        "split_objects(one, line, first_free=2)\n"
        "print(json.dumps([m for m in ('torch', 'numba') if m in sys.modules]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == []
