"""Corrections by hand outlive whatever a run or a slider writes next."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.errors import SettingsError
from napari_unet.pipeline.given import plan_given
from napari_unet.pipeline.options import parse_options

pytestmark = pytest.mark.gui

ONE = np.ones((16, 18), np.int32)
COLOURS = np.array([0, 3, 5], np.uint8)


@pytest.fixture
def opened(make_napari_viewer):
    """A viewer, its image of probabilities, and the plan to separate them."""
    viewer = make_napari_viewer()
    pixels = np.zeros((3, 16, 18), np.float32)
    source = viewer.add_image(pixels, name="image")
    return viewer, source, plan_given(pixels, "CYX", parse_options({"axes": "CYX"}))


def outputs_of(opened, said):
    from napari_unet.plugin.outputs import Outputs

    viewer, source, plan = opened
    stored = np.zeros((3, 16, 18), np.uint16)
    outputs = Outputs(viewer, source, plan, stored, said.append)
    while not outputs.put_next():
        pass
    return outputs


def correct(layer):
    """Change labels as the Correct panel does."""
    layer.data_setitem((np.array([3, 4]), np.array([5, 5])), 9)


def brush(layer):
    layer.paint((3, 3), 7)


@pytest.mark.parametrize("edit", [correct, brush])
def test_what_was_corrected_is_kept_and_new_labels_go_elsewhere(opened, edit):
    said = []
    outputs = outputs_of(opened, said)
    first = outputs.labels
    outputs.record({"tile": [16, 18]})
    outputs.finish_sample({}, ONE, COLOURS)
    outputs.finish_sample({}, 2 * ONE, COLOURS)
    assert outputs.labels is first
    edit(first)
    edited = first.data.copy()
    assert (edited != 2).any()
    outputs.preview({}, np.s_[2:5, 2:6], np.full((3, 4), 300, np.int32))
    outputs.finish_sample({}, ONE, COLOURS)
    assert outputs.labels is not first
    np.testing.assert_array_equal(first.data, edited)
    np.testing.assert_array_equal(outputs.labels.data, ONE)
    made = outputs.labels.metadata["napari_unet"]
    assert made == {"source": "image", "output": "cells", "tile": [16, 18]}
    drawn, palette = outputs.labels.colormap.map(1), outputs._table({}).colormap()
    np.testing.assert_allclose(drawn, palette.map(1))
    assert len(said) == 1
    assert said[0].startswith("image [cells] was corrected by hand")
    assert outputs.labels.name in said[0]
    first.undo()
    np.testing.assert_array_equal(first.data, 2 * ONE)


def test_the_next_run_finds_the_layer_that_is_not_corrected(opened):
    said = []
    outputs = outputs_of(opened, said)
    first = outputs.labels
    brush(first)
    edited = first.data.copy()
    second = outputs_of(opened, said).labels
    assert second is not first
    assert outputs_of(opened, said).labels is second
    np.testing.assert_array_equal(first.data, edited)
    assert len(said) == 1
    assert not first.visible


def test_a_copy_is_the_users(opened):
    """They keep it to compare with; no run may write into it."""
    from napari.layers import Layer

    first = outputs_of(opened, []).labels
    first.data = ONE
    viewer = opened[0]
    copy = viewer.add_layer(Layer.create(*first.as_layer_data_tuple()))
    assert copy.metadata == first.metadata
    viewer.layers.remove(first)
    second = outputs_of(opened, []).labels
    assert second is not copy
    np.testing.assert_array_equal(copy.data, ONE)


def test_undo_brings_no_old_pixels_into_new_labels(opened):
    from napari_unet.plugin.hand_edits import made_of

    outputs = outputs_of(opened, [])
    layer = outputs.labels
    correct(layer)
    layer.metadata = {"napari_unet": made_of(layer)}  # the user does not want it kept
    outputs.finish_sample({}, ONE, COLOURS)
    assert outputs.labels is layer
    layer.undo()
    np.testing.assert_array_equal(layer.data, ONE)


# A run without a window around it must not be destroyed by Python's collector.
_RUNS: list[object] = []


@pytest.mark.parametrize("fails", [True, False])
def test_what_a_failed_run_left_is_separated(opened, qtbot, monkeypatch, fails):
    from napari_unet.plugin.segment_run import Order, SegmentRun

    viewer, source, plan = opened

    def separate(*args, **kwargs):
        if fails:
            raise SettingsError("Too much.", "Take less.")
        return 0 * ONE

    def call(*args):
        return np.zeros(1, np.uint8)

    run, asked, errors = SegmentRun(viewer), [], []
    _RUNS.append(run)
    monkeypatch.setattr(run, "separate", asked.append)
    run.failed.connect(errors.append)
    backend = SimpleNamespace(separate=separate, facts=dict)
    engine = SimpleNamespace(call=call, compute=None, close=lambda: None)
    order = Order(plan, backend, engine, source, given=True)
    with qtbot.waitSignal(run.stopped):
        run.start(order)
    assert asked == [plan.separation] * fails
    assert len(errors) == fails
    run.close()
