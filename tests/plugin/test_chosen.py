"""What is chosen in a widget holds, whatever the order and the names."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.errors import SettingsError
from napari_unet.nn.checkpoint import BUNDLED
from napari_unet.plugin import paths
from napari_unet.plugin.annotated import make_order
from napari_unet.plugin.evaluate_choice import EvaluateChoice
from napari_unet.plugin.evaluate_widget import EvaluateWidget
from napari_unet.plugin.labels_box import LabelsBox
from napari_unet.plugin.layers import KEY, PREVIEW
from napari_unet.plugin.preferences import remember
from napari_unet.plugin.segment_choice import SegmentChoice
from napari_unet.plugin.train_choice import PairChoice, TrainChoice
from napari_unet.plugin.train_form import TrainForm

pytestmark = pytest.mark.gui

PATIENCE = 300_000


def test_what_was_chosen_holds_when_the_model_is_read(
    open_widget, qtbot, nuclei, tmp_path
):
    """Of a model that is not read yet, as in a script that chooses and runs."""
    _, widget = open_widget(nuclei)
    own = widget.tuning.value()
    first, second = (tmp_path / f"{name}.safetensors" for name in ("a", "b"))
    for path in (first, second):
        path.write_bytes((BUNDLED / "nuclei-fast.safetensors").read_bytes())
    given = {"seed_threshold": 0.35, "min_size": 33}
    choice = SegmentChoice(model=str(first), invert=True, separation=given)
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.set_value(choice)
    assert widget.tuning.value() == choice.separation != own
    assert widget.value().invert
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.set_value(SegmentChoice(model=str(second)))
    assert widget.tuning.value() == own, "the model's own, where nothing is given"
    assert not widget.value().invert
    widget.set_value(choice.replace(model=str(second)))
    assert widget.tuning.value() == choice.separation
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.set_value(widget.value().replace(model=str(first)))
    assert widget.tuning.value() == own, "another model does not take over thresholds"
    widget.set_value(choice)
    widget.set_value(SegmentChoice(model=str(first)))
    assert widget.tuning.value() == own


def test_the_models_own_sizes_follow_the_diameter(open_widget, run_widget, nuclei):
    """Shell, script and window give the same labels, and so does the copied script."""
    _, widget = open_widget(nuclei)
    own = widget.card.recipe.separation
    assert widget.tuning.value() == own
    widget.form.diameter.setValue(1.5 * widget.card.recipe.diameter)
    diameter = widget.form.diameter.value()
    wanted = nu.segment(nuclei, "nuclei-fast", axes="YX", diameter=diameter)
    assert widget.tuning.value() == wanted.separation
    assert wanted.separation == own.scaled(2.25) != own
    outputs = run_widget(widget)
    np.testing.assert_array_equal(outputs.labels.data, wanted.labels)
    script = widget.copy_as_python()
    line = next(one for one in script.splitlines() if one.startswith("image = "))
    again = {"image": nuclei}
    exec(script.replace(line, ""), again)
    assert again["seg"].separation == wanted.separation
    np.testing.assert_array_equal(again["labels"], wanted.labels)


def test_what_is_tuned_does_not_follow_the_diameter(open_widget, nuclei):
    _, widget = open_widget(nuclei)
    own = widget.card.recipe.separation
    double = 2 * widget.card.recipe.diameter
    widget.tuning.sliders.field("seed_threshold").setValue(0.45)
    widget.tuning.sliders.field("min_size").setValue(7)
    widget.form.diameter.setValue(double)
    followed = own.scaled(4).replace(seed_threshold=0.45, min_size=7)
    assert widget.tuning.value() == followed
    widget.tuning.reset.click()
    assert widget.tuning.value() == own.scaled(4)
    widget.form.diameter.setValue(0.0)
    assert widget.tuning.value() == own
    # A script that changes the diameter alone gets sizes that fit it.
    choice = widget.value()
    widget.set_value(choice.replace(diameter=double))
    assert widget.tuning.value() == own.scaled(4)
    widget.set_value(choice.replace(diameter=double, separation={"min_size": 9}))
    assert widget.tuning.value() == nu.Separation(min_size=9)


def test_a_layer_that_is_not_open_is_refused(open_widget, nuclei):
    _, widget = open_widget(nuclei)
    with pytest.raises(SettingsError, match="no image layer other"):
        widget.set_value(SegmentChoice(layer="other"))
    pair = PairChoice(image="image", labels="mistyped")
    form = TrainForm(widget._viewer)
    form.attach()
    with pytest.raises(SettingsError, match="no labels layer mistyped"):
        form.set_value(TrainChoice(pairs=(pair,)))
    form.detach()
    assert widget.value().layer == "image"


def test_a_shape_may_be_drawn_after_it_is_asked_for(
    open_widget, run_widget, qtbot, nuclei
):
    viewer, widget = open_widget(nuclei)
    widget.form.region.setCurrentText("Selected shape")
    assert "Draw one in a Shapes layer" in widget.progress.text.text()
    with qtbot.waitSignal(widget.failed) as said:
        widget.run()
    assert "No shape is selected" in str(said.args[0])
    corners = np.array([[10, 10], [10, 50], [60, 50], [60, 10]])
    viewer.add_shapes([corners]).selected_data = {0}
    assert widget.progress.button.isEnabled()
    assert run_widget(widget) is not None


def test_what_cannot_be_seen_is_no_file(tmp_path):
    assert paths.is_folder(tmp_path)
    assert not paths.is_folder(tmp_path / "none")
    for path in ("x" * 5000, "a\0b"):
        assert not paths.is_file(path)
        assert not paths.is_folder(path)
        assert not paths.exists(path)
        assert paths.files_in(path) == []
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert [path.name for path in paths.files_in(tmp_path)] == ["a", "b"]


@pytest.fixture
def pyramid(make_napari_viewer, nuclei):
    """A viewer with an image, its labels as a pyramid, and others beside them."""
    viewer = make_napari_viewer()
    labels = (nuclei > nuclei.mean()).astype(np.int32)
    viewer.add_image(nuclei, name="image")
    levels = [labels, labels[::2, ::2]]
    viewer.add_labels(levels, multiscale=True, name="pyramid")
    viewer.add_labels(labels, name="truth")
    found = {KEY: {"source": "image", "output": "cells"}}
    viewer.add_labels(labels, name="image [cells]", metadata=found)
    preview = {KEY: {"source": "image", "output": PREVIEW}}
    viewer.add_labels(labels, name="image [training]", metadata=preview)
    return viewer


def test_a_pyramid_of_labels_counts_at_its_finest(pyramid, qtbot, nuclei):
    pair = PairChoice(image="image", labels="pyramid")
    choice = TrainChoice(pairs=(pair,))
    (given,) = make_order(choice, pyramid.layers).layers
    np.testing.assert_array_equal(given.labels, pyramid.layers["truth"].data)
    np.testing.assert_array_equal(given.image, nuclei)
    (blank,) = make_order(choice, pyramid.layers, blank=True).layers
    assert (blank.image.shape, blank.image.any()) == (nuclei.shape, False)

    widget = EvaluateWidget(pyramid)
    pyramid.window.add_dock_widget(widget, name="Evaluate")
    widget.set_value(EvaluateChoice(labels="pyramid", truth="truth"))
    with qtbot.waitSignal(widget.scored, timeout=PATIENCE):
        widget.run()
    assert widget.findings.scores.summary()["ap@0.5"] == 1
    again = []
    widget.scored.connect(again.append)
    qtbot.waitUntil(lambda: not widget._watch.is_busy)
    assert not again, "the colours of the errors are no other pixels"


def test_what_was_found_is_scored_against_what_was_drawn(pyramid):
    pyramid.layers.remove("truth")
    pyramid.layers["pyramid"].name = "painted"
    widget = EvaluateWidget(pyramid)
    pyramid.window.add_dock_widget(widget, name="Evaluate")
    assert (widget.value().labels, widget.value().truth) == ("image [cells]", "painted")


def test_a_model_that_was_opened_meanwhile_can_be_gone_on_from(pyramid, tmp_path):
    form = TrainForm(pyramid)
    form.complete()
    path = tmp_path / "opened.safetensors"
    path.touch()
    remember(str(path))
    assert form.start.findData(str(path)) < 0
    form.start.opening.emit()  # as the list does before it is shown
    assert form.start.findData(str(path)) >= 0


def test_what_was_drawn_is_offered_before_what_was_found(pyramid):
    box = LabelsBox(pyramid, "")
    box.attach()
    names = [box.itemText(i) for i in range(box.count())]
    assert names == ["truth", "pyramid", "image [cells]"]
    box.detach()
