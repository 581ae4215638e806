"""Regions of large images: layers of their own shape, which lie where they belong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.plugin import segment_plan

pytestmark = pytest.mark.gui

PATIENCE = 300_000
BUDGET = 2**25


@pytest.fixture
def all_is_large(monkeypatch):
    """Tiles are small, and every image is taken for a large one."""
    plain = segment_plan.read_preferences()
    small = dataclasses.replace(plain, memory_budget=BUDGET)
    monkeypatch.setattr(segment_plan, "read_preferences", lambda: small)
    monkeypatch.setattr(segment_plan, "CROPPED", 0)


@pytest.mark.usefixtures("all_is_large")
def test_a_region_has_layers_of_its_own(open_widget, run_widget, qtbot, nuclei):
    series = np.stack([np.concatenate([nuclei] * 3, axis=1)] * 3)
    placed = {"scale": (1, 0.5, 0.4), "translate": (0, 3, 4), "rotate": 20}
    # The larger model, whose tiles are the smaller: each pixel takes more memory.
    how = {"model": "nuclei", "axis_labels": ("t", "y", "x")}
    viewer, widget = open_widget(series, **how, **placed)
    corners = np.array([[1, 50, 300], [1, 50, 320], [1, 90, 320], [1, 90, 300]])
    shapes = viewer.add_shapes([corners], **placed)
    shapes.selected_data = {0}
    viewer.dims.set_current_step(0, 1)
    widget.form.layer.set_value("image")
    widget.form.region.setCurrentText("Selected shape")
    outputs = run_widget(widget)
    region = {"T": 1, "Y": (50, 91), "X": (300, 321)}
    options = {
        "axes": "TYX",
        "region": region,
        "crop": True,
        "tiling": nu.Tiling(memory_budget=BUDGET),
    }
    expected = nu.segment(series, "nuclei", **options)
    np.testing.assert_array_equal(outputs.labels.data, expected.labels)
    assert outputs.labels.data.max() > 0
    assert outputs.labels.data.size < series[0].size
    source = viewer.layers["image"]
    first = tuple(expected.start[axis] for axis in expected.axes)
    assert first[0] == 1
    for layer in (outputs.labels, *outputs.channels):
        assert layer.data.shape == expected.labels.shape
        for at in ((0, 0, 0), (0, 7, 9)):
            np.testing.assert_allclose(
                layer.data_to_world(at), source.data_to_world(np.add(first, at))
            )
    assert "crop=True" in widget.copy_as_python()
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.2)
    tuned = nu.segment(series, "nuclei", separation=widget.tuning.value(), **options)
    np.testing.assert_array_equal(outputs.labels.data, tuned.labels)
    assert (tuned.labels != expected.labels).any()


def test_small_images_keep_their_shape(open_widget, run_widget, nuclei):
    _, widget = open_widget(np.stack([nuclei] * 2), axis_labels=("t", "y", "x"))
    widget.form.region.setCurrentText("Current slice or frame")
    assert run_widget(widget).labels.data.shape == (2, *nuclei.shape)
