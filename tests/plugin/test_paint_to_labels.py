"""All the way a new user goes: paint, Train, and Segment with what was learned."""

from __future__ import annotations

import os

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.training_settings import Training

pytestmark = pytest.mark.gui

PATIENCE = 300_000
SEEN = os.environ.get("QT_QPA_PLATFORM") == "xcb"


def widget_in(viewer, kind):
    docks = viewer.window.dock_widgets.values()
    return next(dock for dock in docks if type(dock).__name__ == kind)


def test_from_the_brush_to_labels(make_napari_viewer, qtbot, one_worker, tmp_path):
    from napari_unet.plugin.commands import open_segment, open_train

    pixels, truth = simulate(Simulation(shape=(128, 128), n_cells=12, random_seed=5))
    viewer = make_napari_viewer(show=SEEN)
    image = viewer.add_image(pixels, name="image")
    open_segment()
    open_train()
    segment, train = (widget_in(viewer, f"{k}Widget") for k in ("Segment", "Train"))
    qtbot.waitUntil(lambda: segment.card is not None, timeout=PATIENCE)
    # New, and paint the cells of the upper half.
    train.form.pairs.paint.click()
    painted = viewer.layers["image [painted]"]
    painted.brush_size = 3
    for label in np.unique(truth[:64])[1:]:
        painted.selected_label = int(label)
        for place in np.argwhere(truth == label)[::3]:
            painted.paint(place, int(label))
    assert 3 < len(np.unique(painted.data)) - 1 < 12
    # A box around what is annotated.
    viewer.add_shapes([[[0, 0], [0, 127], [63, 127], [63, 0]]], name="annotated")
    train.form.pairs.shapes.set_value("annotated")
    train.form.pairs.inside.setChecked(True)
    out = tmp_path / "mine.safetensors"
    network = Training(patch=64, batch=1, validate_every=0.5).model_dump()
    choice = train.value().replace(
        steps=4, network=network, start="nuclei-fast", out=str(out)
    )
    train.set_value(choice)
    assert train.value().pairs[0].annotated == "annotated"
    with qtbot.waitSignal(train.stopped, timeout=PATIENCE):
        train.row.button.click()
    assert out.is_file(), train.row.text.text()
    # It is the model in Segment; Run.
    assert segment.form.model.value() == str(out)
    qtbot.waitUntil(lambda: segment._model.card is not None, timeout=PATIENCE)
    segment.form.layer.set_value("image")
    with qtbot.waitSignal(segment.stopped, timeout=PATIENCE):
        segment.progress.button.click()
    labels = segment.outputs.labels
    model = nu.load_model(out)
    assert labels.metadata["napari_unet"]["model"]["sha256"] == model.sha256
    expected = nu.segment(pixels, model, axes="YX", separation=segment.tuning.value())
    np.testing.assert_array_equal(labels.data, expected.labels)
    assert 6 <= labels.data.max() <= 18
    if SEEN:
        for layer in viewer.layers:
            layer.visible = layer in (image, labels)
        seen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        assert (np.ptp(seen, axis=-1) > 30).mean() > 0.02, "cells in colour"
