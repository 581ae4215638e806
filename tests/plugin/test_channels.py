"""Channels and axes in the window: what is chosen once is known in all widgets."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tifffile

import napari_unet as nu
from napari_unet.errors import AxesError
from napari_unet.plugin.axes_by_labels import axes_with_channels
from napari_unet.plugin.channel_box import Offer, channel_names, numbers_in

pytestmark = pytest.mark.gui

PATIENCE = 300_000
CYX = {"axis_labels": ("c", "y", "x")}


@pytest.fixture
def stack(nuclei):
    """Channel 1 holds the nuclei, channel 0 the same turned upside down."""
    return np.stack([nuclei[::-1], nuclei])


def pick(widget, text):
    """Choose a channel as a user does."""
    box = widget.form.channels.one
    index = box.findText(text)
    assert index >= 0, [box.itemText(i) for i in range(box.count())]
    box.setCurrentIndex(index)
    box.activated.emit(index)


def type_axes(widget, axes):
    edit = widget.form.axes.edit
    edit.setText(axes)
    edit.textEdited.emit(axes)


@pytest.mark.parametrize(
    ("n_image", "n_network", "rgb", "is_mixed", "usual", "is_open"),
    [
        (1, 1, False, False, (0,), False),
        (2, 1, False, False, (0,), True),
        (3, 1, True, True, (), True),
        (3, 1, False, False, (0,), True),
        (4, 3, True, False, (0, 1, 2), True),
        (4, 2, True, False, (0, 1), True),
        (2, 2, False, False, (0, 1), True),
        (1, 3, False, False, (), True),
    ],
)
def test_what_is_offered(n_image, n_network, rgb, is_mixed, usual, is_open):
    offer = Offer(("",) * n_image, n_network, rgb)
    assert (offer.is_mixed, offer.usual, offer.is_open) == (is_mixed, usual, is_open)


def test_names_of_channels(make_napari_viewer):
    viewer = make_napari_viewer()
    plain = viewer.add_image(np.zeros((2, 8, 8)))
    assert channel_names(plain, 2) == ("", "")
    plain.metadata = {"channel_names": ["DAPI", "GFP"]}
    assert channel_names(plain, 2) == ("DAPI", "GFP")
    plain.metadata = {"omero": {"channels": [{"label": "a"}, {"label": "b"}]}}
    assert channel_names(plain, 2) == ("a", "b")
    assert channel_names(plain, 3) == ("", "", ""), "names of something else"
    colour = viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    assert channel_names(colour, 3) == ("red", "green", "blue")
    assert numbers_in("0, 12 ,3") == (0, 12, 3)


@pytest.mark.parametrize(
    ("guessed", "shape", "labels", "axes"),
    [
        ("ZYX", (2, 128, 160), (128, 160), "CYX"),
        ("ZYX", (128, 2, 160), (128, 160), "YCX"),
        ("ZYX", (128, 160, 2), (128, 160), "YXC"),
        ("TZYX", (2, 30, 128, 160), (30, 128, 160), "CZYX"),
        ("TZYX", (30, 2, 128, 160), (30, 128, 160), "TCYX"),
        ("TZYX", (3, 3, 128, 160), (3, 128, 160), ""),  # either may be it
        ("ZYX", (30, 128, 160), (128, 160), ""),  # rather a stack
        ("ZYX", (2, 128, 160), (160, 128), ""),
        ("ZYX", (2, 128, 160), (2, 128, 160), ""),
        ("YX", (2, 160), (160,), ""),
        ("ZYX", (1, 128, 160), (128, 160), ""),  # lies on it as it is
    ],
)
def test_labels_tell_which_axis_holds_channels(guessed, shape, labels, axes):
    assert axes_with_channels(guessed, shape, labels) == axes


def test_a_channel_is_chosen_and_travels(
    open_widget, run_widget, stack, tmp_path, monkeypatch
):
    """The first at once, in two clicks; another by the box; the script, too."""
    _, widget = open_widget(stack, **CYX)
    box, drawing = widget.form.channels, widget.form.axes.drawing
    assert box.isVisibleTo(widget)
    assert box.title.text() == "Channel"
    assert "<b>C</b> 2 <i>channel 0</i>" in drawing.text()
    outputs = run_widget(widget)
    first = nu.segment(stack, "nuclei-fast", axes="CYX", channels=(0,)).labels
    np.testing.assert_array_equal(outputs.labels.data, first)
    pick(widget, "1")
    assert "<i>channel 1</i>" in drawing.text()
    assert widget.value().channels == (1,)
    outputs = run_widget(widget)
    second = nu.segment(stack[1], "nuclei-fast", axes="YX").labels
    np.testing.assert_array_equal(outputs.labels.data, second)
    assert second.max() > 10
    assert not np.array_equal(first, second)
    made = outputs.labels.metadata["napari_unet"]
    assert (made["channels"], made["chosen_channels"]) == ([1], [1])
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("image.tif", stack, metadata={"axes": "CYX"})
    names: dict[str, object] = {}
    exec(compile(widget.copy_as_python(), "copied.py", "exec"), names)
    np.testing.assert_array_equal(names["labels"], second)


def test_a_choice_is_held_by_its_layer(open_widget, stack):
    viewer, widget = open_widget(stack, **CYX)
    pick(widget, "1")
    choice = widget.value()
    viewer.add_image(stack[0], name="grey")
    widget.form.layer.set_value("grey")
    assert not widget.form.channels.isVisibleTo(widget)
    assert widget.value().channels == ()
    widget.form.layer.set_value("image")
    assert widget.value() == choice
    assert widget.form.channels.one.currentText() == "1"
    widget.set_value(choice.replace(channels=(0,)))
    assert widget.value().channels == (0,)
    widget.set_value(choice)
    assert widget.value() == choice


def test_a_wrong_channel_is_marked_in_place(open_widget, stack):
    _, widget = open_widget(stack, **CYX)
    box, button = widget.form.channels, widget.progress.button
    widget.set_value(widget.value().replace(channels=(5,)))
    assert "Channel 5 does not exist: the image has 2." in box.problem.text()
    assert box.one.currentText() == "5"
    assert not button.isEnabled()
    assert widget.form.axes.drawing.text() == "", "the axes are not to blame"
    pick(widget, "0")
    assert box.problem.text() == ""
    assert button.isEnabled()
    type_axes(widget, "XX")
    assert "axis twice" in widget.form.axes.drawing.text()
    assert box.problem.text() == "", "the channels are not to blame"


def test_colour_is_mixed_unless_a_channel_is_chosen(open_widget, run_widget, nuclei):
    scaled = np.clip(nuclei / nuclei.max() * 255, 0, 255).astype(np.uint8)
    picture = np.stack([scaled[::-1], scaled // 2, scaled], axis=-1)
    _, widget = open_widget(picture, rgb=True)
    box = widget.form.channels.one
    texts = [box.itemText(i) for i in range(box.count())]
    assert texts == ["grey of all", "0  red", "1  green", "2  blue"]
    assert box.currentIndex() == 0
    assert "mixed to grey" in widget.form.axes.drawing.text()
    pick(widget, "2  blue")
    outputs = run_widget(widget)
    expected = nu.segment(scaled, "nuclei-fast", axes="YX").labels
    np.testing.assert_array_equal(outputs.labels.data, expected)


def test_a_model_of_several_takes_them_in_order(open_widget, qtbot, stack, tmp_path):
    from napari_unet.nn.checkpoint import save_model
    from napari_unet.nn.unet import UNet
    from napari_unet.settings import Architecture, Recipe

    arch = Architecture(ndim=2, in_channels=2, out_channels=2, base_channels=4, depth=1)
    recipe = Recipe(architecture=arch, channels=("background", "interior"))
    path = tmp_path / "two.safetensors"
    save_model(path, UNet(arch), recipe)
    viewer, widget = open_widget(stack, model=str(path), **CYX)
    box, drawing = widget.form.channels, widget.form.axes.drawing
    assert box.title.text() == "Channels"
    assert box.several.text() == "0, 1"
    assert drawing.text().startswith("<b>C</b> 2 ·"), "all of them, as they are"
    box.several.setText("1, 0")
    box.several.textEdited.emit("1, 0")
    assert widget.value().channels == (1, 0)
    assert "channels 1, 0" in drawing.text()
    box.several.textEdited.emit("1")
    assert "takes 2 channel(s), but 1 were chosen" in box.problem.text()
    viewer.add_image(stack[0], name="grey")
    widget.form.layer.set_value("grey")
    assert "Name a channel for each under Channels, such as 0, 0" in box.problem.text()
    assert not widget.progress.button.isEnabled()
    box.several.textEdited.emit("0, 0")
    assert widget.progress.button.isEnabled()
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.form.model.set_value("nuclei-fast")
    assert "takes 1 channel(s), but 2 were chosen" in box.problem.text()


def test_axes_corrected_in_segment_count_in_train_and_measure(
    open_widget, qtbot, stack
):
    """Nine channels are too many to be told from a stack; the user's word counts."""
    from napari_unet.plugin.measuring import _image_reader
    from napari_unet.plugin.train_widget import TrainWidget

    frames = np.stack([stack] * 9)  # guessed TZYX; nine are too many for channels
    viewer, segment = open_widget(np.moveaxis(frames, 0, 1))
    image = viewer.layers["image"]
    painted = viewer.add_labels(np.zeros((2, *stack.shape[1:]), int), name="painted")
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Train")
    qtbot.waitUntil(lambda: train.form.is_complete, timeout=PATIENCE)
    assert segment.form.axes.value() == "TZYX"
    assert "read as TZYX" in train.row.text.text()
    assert "in Segment, under Axes" in train.row.text.text()
    assert not train.row.button.isEnabled()
    with pytest.raises(AxesError, match="read as TZYX"):
        _image_reader(image, painted)
    type_axes(segment, "TCYX")
    assert train.row.button.isEnabled()
    assert "all 9 channels of image, which is read as TCYX" in train.row.text.text()
    under = _image_reader(image, painted)((1,))
    np.testing.assert_array_equal(under, frames[:, 1])
    viewer.add_image(stack[0], name="other")
    segment.form.layer.set_value("other")
    segment.form.layer.set_value("image")
    assert segment.form.axes.value() == "TCYX"
    type_axes(segment, "TZYX")
    assert not train.row.button.isEnabled(), "the user's word, again"


def test_layers_that_are_gone_are_forgotten():
    from napari.layers import Image

    from napari_unet.plugin import corrections

    layer = Image(np.zeros((2, 8, 8)))
    corrections.correct_axes(layer, "cyx")
    corrections.choose_channels(layer, (1,))
    assert corrections.corrected_axes(layer) == "CYX"
    layer.data = np.zeros((8, 8))
    assert corrections.corrected_axes(layer) == "", "of other pixels"
    corrections.correct_axes(layer, "Y")
    assert corrections.corrected_axes(layer) == ""
    corrections.correct_axes(layer, "XY")
    n_layers = len(corrections._AXES), len(corrections._CHANNELS)
    del layer
    gc.collect()
    left = len(corrections._AXES), len(corrections._CHANNELS)
    assert left == tuple(n - 1 for n in n_layers)


def test_measure_reads_the_image_as_its_labels_lie(make_napari_viewer, stack):
    from napari_unet.plugin.measuring import _image_reader

    viewer = make_napari_viewer()
    labels = viewer.add_labels(np.zeros(stack.shape[1:], int))
    for at in range(3):
        image = viewer.add_image(np.moveaxis(stack, 0, at))
        np.testing.assert_array_equal(_image_reader(image, labels)(()), stack)


def test_train_on_all_channels_then_segment(
    open_widget, run_widget, qtbot, one_worker, tmp_path
):
    """(2, Y, X) is guessed ZYX; the labels say CYX, and then Segment does, too."""
    from napari_unet.core.simulate import simulate
    from napari_unet.core.simulate_settings import Simulation
    from napari_unet.plugin.train_widget import TrainWidget
    from napari_unet.training_settings import Training

    image, truth = simulate(Simulation(shape=(128, 128), n_cells=12, random_seed=5))
    viewer, segment = open_widget(np.stack([image, image[::-1]]))
    viewer.add_labels(truth, name="painted")
    assert segment.form.axes.value() == "ZYX"
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Train")
    tiny = Training(depth=2, base_channels=4, batch=2, patch=64, validate_every=0.5)
    path = str(tmp_path / "mine.safetensors")
    choice = train.value().replace(steps=4, network=tiny.model_dump(), out=path)
    train.set_value(choice.replace(start="nuclei-fast"))
    assert train.row.button.isEnabled()
    assert "all 2 channels of image, which is read as CYX" in train.row.text.text()
    with qtbot.waitSignal(train.failed, timeout=PATIENCE) as said:
        train.run()
    qtbot.waitUntil(lambda: not train._run.is_running, timeout=PATIENCE)
    assert "takes 1 channel(s), but image has 2" in str(said.args[0])
    assert "Start from a new network" in str(said.args[0])
    train.set_value(choice)
    with (
        qtbot.waitSignal(train.previewed, timeout=PATIENCE) as shown,
        qtbot.waitSignal(train.finished, timeout=PATIENCE) as done,
    ):
        train.run()
    assert done.args[0].recipe.architecture.in_channels == 2
    assert shown.args[0].data.shape == truth.shape
    qtbot.waitUntil(lambda: segment.card is not None, timeout=PATIENCE)
    assert segment.form.axes.value() == "CYX"
    assert segment.form.channels.several.text() == "0, 1"
    outputs = run_widget(segment)
    assert outputs.labels.data.shape == truth.shape
    with qtbot.waitSignal(train.moved, timeout=PATIENCE):
        train.annotate_next()
