"""Images whose channels stand behind another axis: what is made of them lies on them.

In the images here a pixel's value tells where it is, but for C: labels that lie on
their image have, wherever it is looked at, the values of the image.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.errors import AxesError
from napari_unet.pipeline.given import plan_given
from napari_unet.pipeline.options import parse_options
from napari_unet.plugin.thin_axes import arranged, brought_back, order_between

pytestmark = pytest.mark.gui

PATIENCE = 300_000
SIZE = {"T": 3, "Z": 4, "C": 2, "Y": 16, "X": 18}
STEP = {"T": 7.0, "Z": 2.0, "C": 3.0, "Y": 0.5, "X": 0.25}
NAMES = {"T": "t", "Z": "z", "C": "c", "Y": "y", "X": "x"}
BEHIND = ["TCYX", "ZCYX", "TZCYX", "TCZYX", "YXC", "YCX"]


def numbered(axes):
    """Return an array without C, of which every pixel has its own number."""
    shape = [SIZE[axis] for axis in axes if axis != "C"]
    return np.arange(1, np.prod(shape) + 1, dtype=np.int32).reshape(shape)


def add_source(viewer, axes, n_channels=2, **given):
    """Add an image of axes, which shows the numbers in every channel."""
    pixels = np.expand_dims(numbered(axes), axes.index("C"))
    pixels = np.repeat(pixels, n_channels, axes.index("C")).astype(np.uint16)
    layer = viewer.add_image(
        pixels,
        name="image",
        rgb=False,
        scale=[STEP[axis] for axis in axes],
        translate=[1 + i for i in range(len(axes))],
        axis_labels=[NAMES[axis] for axis in axes],
        **given,
    )
    # Y and X are seen, in this order.
    seen = [axes.index("Y"), axes.index("X")]
    viewer.dims.order = (*[i for i in range(len(axes)) if i not in seen], *seen)
    return layer


def outputs_of(viewer, source, axes, **options):
    from napari_unet.plugin.outputs import Outputs

    plan = plan_given(source.data, axes, parse_options({"rgb": False, **options}))
    n = len(plan.model.recipe.channels)
    stored = np.stack([numbered(axes)] * n).astype(np.uint16)
    if region := options.get("region"):
        at = axes.replace("C", "").index("T")
        stored = stored.take([region["T"]], 1 + at)
    outputs = Outputs(viewer, source, plan, stored)
    while not outputs.put_next():
        pass
    return outputs


def finish(outputs, axes):
    """Give each sample its labels, as a run does."""
    whole = numbered(axes)
    for sample in outputs.plan.region.samples:
        labels = outputs.plan.axes.labels_view(whole, sample)
        n = int(labels.max()) + 1
        outputs.finish_sample(sample, labels, np.ones(n, np.uint8))


def every_step(viewer):
    """Move the sliders to every place in turn."""
    hidden = viewer.dims.not_displayed
    steps = [range(viewer.dims.nsteps[axis]) for axis in hidden]
    for at in itertools.product(*steps):
        viewer.dims.set_current_step(hidden, at)
        yield at


def shown(layer):
    return np.squeeze(np.asarray(layer._slice.image.raw))


def value_at(layer, viewer, y, x):
    """Return what the status bar says of a place of the plane in view."""
    point = np.array(viewer.dims.point)
    point[list(viewer.dims.displayed)] = y, x
    return layer.get_value(
        point, dims_displayed=list(viewer.dims.displayed), world=True
    )


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("axes", BEHIND)
def test_outputs_lie_on_their_image_at_every_slider(
    make_napari_viewer, axes, n_channels
):
    viewer = make_napari_viewer()
    source = add_source(viewer, axes, n_channels)
    viewer.dims.set_current_step(0, 1)
    before = viewer.dims.range, viewer.dims.current_step, viewer.dims.axis_labels
    outputs = outputs_of(viewer, source, axes)
    assert (viewer.dims.range, viewer.dims.current_step) == before[:2], "no new slider"
    assert viewer.dims.axis_labels == before[2]
    finish(outputs, axes)
    np.testing.assert_array_equal(outputs.pixels, numbered(axes))
    outputs.show_probabilities(True)
    steps = []
    for at in every_step(viewer):
        steps.append(at)
        np.testing.assert_array_equal(shown(outputs.labels), shown(source))
        np.testing.assert_array_equal(shown(outputs.channels[0]), shown(source))
        y, x = (viewer.dims.range[axis].start for axis in viewer.dims.displayed)
        here = y + 5 * STEP["Y"], x + 6 * STEP["X"]
        assert value_at(outputs.labels, viewer, *here) == shown(source)[5, 6]
    n_planes = np.prod([SIZE[axis] for axis in axes if axis in "TZ"])
    assert len(steps) == n_channels * n_planes
    np.testing.assert_allclose(
        outputs.labels.extent.world[:, 0], source.extent.world[:, 0]
    )


@pytest.mark.parametrize("axes", ["CYX", "CTYX", "CZYX"])
def test_where_channels_come_first_labels_have_no_such_axis(make_napari_viewer, axes):
    viewer = make_napari_viewer()
    outputs = outputs_of(viewer, add_source(viewer, axes), axes)
    assert outputs.labels.data.shape == numbered(axes).shape
    assert "channel_axis" not in outputs.labels.metadata["napari_unet"]


def test_colour_samples_are_no_axis_of_labels(make_napari_viewer):
    from napari_unet.plugin.layers import add_empty_labels

    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((8, 9, 3), np.uint8), rgb=True)
    layer = add_empty_labels(viewer, image)
    assert layer.data.shape == (8, 9)
    assert layer.metadata == {}


def test_a_rotated_image_and_a_part_of_it(make_napari_viewer):
    viewer = make_napari_viewer()
    affine = np.eye(5)
    affine[2:4, 2:4] = [[0.0, -1.0], [1.0, 0.0]]
    source = add_source(viewer, "TCYX", affine=affine)
    outputs = outputs_of(viewer, source, "TCYX", region={"T": 2}, crop=True)
    assert outputs.labels.data.shape == (1, 1, 16, 18)
    here = outputs.labels.data_to_world((0, 0, 5, 6))
    there = [source.data_to_world((2, c, 5, 6)) for c in (0, 1)]
    np.testing.assert_allclose(here, np.mean(there, axis=0))


def test_a_preview_is_drawn_in_its_frame(make_napari_viewer):
    viewer = make_napari_viewer()
    source = add_source(viewer, "TCYX")
    viewer.dims.set_current_step((0, 1), (2, 1))
    outputs = outputs_of(viewer, source, "TCYX")
    outputs.show_colours({"T": 2})
    drawn = []
    outputs.labels.events.labels_update.connect(
        lambda event: drawn.append(event.offset)
    )
    outputs.preview({"T": 2}, np.s_[3:9, 2:7], np.full((6, 5), 3, np.int32))
    assert drawn == [[3, 2]], "the box alone"
    expected = np.zeros((16, 18))
    expected[3:9, 2:7] = 3
    np.testing.assert_array_equal(shown(outputs.labels), expected)
    np.testing.assert_array_equal(outputs.pixels[:2], 0)


def test_a_pyramid_on_disk_lies_on_its_image(make_napari_viewer):
    from napari_unet.io.lazy import LazyArray
    from napari_unet.plugin.layers import full_pixels, put_layer

    viewer = make_napari_viewer()
    source, whole = add_source(viewer, "TCYX"), numbered("TCYX")
    levels = [
        LazyArray(pixels, (0, 1, 2), name="cells.zarr")
        for pixels in (whole, whole[:, ::2, ::2])
    ]
    made = {"napari_unet": {"output": "cells"}}
    given = {"multiscale": True, "name": "image [cells]", "metadata": made}
    for _ in range(2):  # added, and updated in place
        layer = put_layer(viewer, "labels", levels, source=source, axes="TCYX", **given)
    assert [level.shape for level in layer.data] == [(3, 1, 16, 18), (3, 1, 8, 9)]
    for t, _ in every_step(viewer):
        level = int(layer.data_level)
        assert shown(layer)[0, 0] == whole[t, 0, 0], level
    np.testing.assert_array_equal(np.asarray(full_pixels(layer)), whole)


@pytest.mark.parametrize("axes", ["TCYX", "TZCYX", "YXC"])
def test_who_paints_paints_in_what_is_seen(make_napari_viewer, axes):
    """And learns from it there: a pair of layers holds the pixels of both."""
    from napari_unet.plugin.annotated import make_order
    from napari_unet.plugin.layers import add_empty_labels
    from napari_unet.plugin.train_choice import PairChoice, TrainChoice

    viewer = make_napari_viewer()
    image = add_source(viewer, axes)
    painted = add_empty_labels(viewer, image)
    last = [viewer.dims.nsteps[axis] - 1 for axis in viewer.dims.not_displayed]
    viewer.dims.set_current_step(viewer.dims.not_displayed, last)
    point = np.array(viewer.dims.point)
    rows, columns = viewer.dims.displayed
    point[[rows, columns]] = [
        viewer.dims.range[rows].start + 3 * STEP["Y"],
        viewer.dims.range[columns].start + 8 * STEP["X"],
    ]
    painted.brush_size = 1
    painted.paint(painted.world_to_data(point), 7)
    assert shown(painted)[3, 8] == 7
    pair = PairChoice(image="image", labels=painted.name)
    given = make_order(TrainChoice(pairs=(pair,)), viewer.layers).layers[0]
    assert given.axes == axes
    (place,) = np.argwhere(given.labels == 7)
    assert numbered(axes)[tuple(place)] == shown(image)[3, 8]
    np.testing.assert_array_equal(given.image, image.data)


@pytest.mark.parametrize("shape", [(3, 16, 18), (3, 1, 16, 18)])
def test_labels_of_files_pair_with_or_without_the_axis(make_napari_viewer, shape):
    from napari_unet.plugin.annotated import check_choice, make_order
    from napari_unet.plugin.train_choice import PairChoice, TrainChoice

    viewer = make_napari_viewer()
    add_source(viewer, "TCYX")
    viewer.add_labels(numbered("TCYX").reshape(shape), name="file")
    viewer.add_labels(np.zeros((3, 2, 16, 18), int), name="each channel")
    choice = TrainChoice(pairs=(PairChoice(image="image", labels="file"),))
    given = make_order(choice, viewer.layers).layers[0]
    np.testing.assert_array_equal(given.labels, numbered("TCYX"))
    wrong = TrainChoice(pairs=(PairChoice(image="image", labels="each channel"),))
    with pytest.raises(AxesError, match=r"\(3, 2, 16, 18\)"):
        check_choice(wrong, viewer.layers)


def test_shapes_mark_the_frame_that_they_were_drawn_in(make_napari_viewer):
    from napari_unet.plugin.annotated import annotated_mask
    from napari_unet.plugin.layers import add_empty_labels

    viewer = make_napari_viewer()
    image = add_source(viewer, "TCYX")
    painted = add_empty_labels(viewer, image)
    corners = [(2, 3), (2, 9), (8, 9), (8, 3)]
    world = [image.data_to_world((2, 1, y, x)) for y, x in corners]
    shapes = viewer.add_shapes([np.array(world)], shape_type="polygon")
    mask = annotated_mask(shapes, painted)
    assert mask.shape == (3, 16, 18)
    assert mask[2, 2:9, 3:10].all()
    assert mask.sum() == 7 * 7


def blocks():
    """Two frames: a cell in the first, that and another in the second."""
    labels = np.zeros((2, 40, 50), np.int32)
    labels[:, 5:15, 5:15] = 1
    labels[1, 20:30, 20:40] = 2
    return labels


@pytest.fixture
def opened(make_napari_viewer, one_worker):
    """A viewer with an image TCYX, labels on it, and the truth from a file."""
    from napari_unet.plugin.evaluate_widget import EvaluateWidget
    from napari_unet.plugin.layers import put_layer

    viewer = make_napari_viewer()
    bright = np.stack([blocks() * 10, blocks() * 100], 1).astype(np.uint16)
    placed = {"axis_labels": tuple("tcyx"), "scale": (1, 1, 0.5, 0.5)}
    image = viewer.add_image(bright, name="image", **placed)
    made = {"napari_unet": {"output": "cells", "ndim": 2}}
    found = blocks()
    found[1, 20:30, 20:40] = 0
    found[1, 32:36, 20:40] = 3
    cells = put_layer(
        viewer,
        "labels",
        found,
        source=image,
        axes="TCYX",
        name="image [cells]",
        metadata=made,
    )
    viewer.add_labels(blocks()[:, None], name="truth", scale=placed["scale"])
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    return viewer, widget, cells


def test_errors_are_found_looked_at_and_corrected_in_their_frame(opened, qtbot):
    viewer, widget, cells = opened
    viewer.dims.set_current_step((0, 1), (0, 1))
    assert (widget.value().labels, widget.value().truth) == (cells.name, "truth")
    assert widget.value().objects == "planes"
    with qtbot.waitSignal(widget.scored, timeout=PATIENCE):
        widget.run()
    counts = widget.findings.counts()
    assert (counts["matched"], counts["missed"], counts["false"]) == (2, 1, 1)
    assert set(cells.features["error"]) == {"", "matched"}
    for kind in ("missed", "false"):
        with qtbot.waitSignal(widget.looked, timeout=PATIENCE):
            widget.errors.forth.click()
        assert viewer.dims.current_step[0] == 1, kind
    viewer.dims.set_current_step(1, 1)
    assert "false" in set(cells.features["error"])
    with qtbot.waitSignal(widget.scored, timeout=PATIENCE):
        widget.correct.correct("delete", [(1, 0.25, 34, 25)], (2, 3))
    assert (cells.data == 3).sum() == 0
    assert widget.findings.counts()["false"] == 0
    cells.undo()
    assert (cells.data[1, 0] == 3).sum() == 80


def test_looking_at_a_cell_leaves_the_channel_that_is_looked_at(opened):
    from napari_unet.plugin.camera import look_at

    viewer, _, cells = opened
    for channel in (0, 1):
        viewer.dims.set_current_step((0, 1), (0, channel))
        look_at(viewer, cells, np.nonzero(cells.data == 3))
        assert viewer.dims.current_step[:2] == (1, channel)


@pytest.mark.parametrize("name", ["image [cells]", "truth"])
def test_cells_are_measured_in_all_channels(opened, name, one_worker):
    from napari_unet.plugin.evaluate_choice import n_leading
    from napari_unet.plugin.measuring import iter_measurements

    viewer, widget, _ = opened
    labels = viewer.layers[name]
    lead = n_leading(widget.value(), labels)
    job = iter_measurements(one_worker, labels, viewer.layers["image"], lead)
    try:
        while True:
            next(job)
    except StopIteration as stop:
        table = stop.value
    means = [column for column in table if column.startswith("intensity_mean")]
    assert len(means) == 2
    one = table["label"] == 1
    assert one.sum() == 2
    assert {float(x) for x in table[means[0]][one]} == {10.0}
    assert {float(x) for x in table[means[1]][one]} == {100.0}
    assert (table["area"][one] == 100).all() or (table["area"][one] == 25).all()


def test_the_weight_map_lies_on_its_frame(opened, qtbot):
    from napari_unet.plugin.train_widget import TrainWidget

    viewer, _, _ = opened
    viewer.layers["truth"].name = "drawn"
    viewer.dims.set_current_step((0, 1), (1, 0))
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    widget.form.pairs.labels.set_value("drawn")
    with qtbot.waitSignal(widget.weighted, timeout=PATIENCE) as said:
        widget.form.show_weights.setChecked(True)
    layer = said.args[0]
    assert layer.data.shape == (2, 1, 40, 50)
    assert viewer.dims.current_step[0] == 1
    for channel in (0, 1):
        viewer.dims.set_current_step(1, channel)
        assert shown(layer).max() > 1, channel
    viewer.dims.set_current_step(0, 0)
    assert shown(layer).max() == 0


def test_a_script_gives_the_labels_that_lie_on_each_frame(open_widget, run_widget):
    frame, _ = simulate(Simulation(shape=(96, 104), n_cells=8, random_seed=3))
    series = np.stack([frame, frame[::-1], frame[:, ::-1]])[:, None]
    viewer, widget = open_widget(series, axis_labels=tuple("tcyx"))
    assert widget.form.axes.value() == "TCYX"
    outputs = run_widget(widget)
    expected = nu.segment(series, "nuclei-fast", axes="TCYX").labels
    assert (expected[0] != expected[2]).any()
    assert viewer.dims.ndim == 4
    for t, _ in every_step(viewer):
        np.testing.assert_array_equal(shown(outputs.labels), expected[t])
    script = widget.copy_as_python()
    reading = next(line for line in script.splitlines() if line.startswith("image ="))
    names = {"image": series}
    exec(compile(script.replace(reading, ""), "copied.py", "exec"), names)
    np.testing.assert_array_equal(names["labels"], outputs.pixels)
    assert run_widget(widget).labels is outputs.labels, "updated in place"


@pytest.mark.parametrize(
    ("shape", "wanted", "order"),
    [
        ((3, 1, 4, 5), (3, 4, 5), (0, 2, 3)),
        ((3, 4, 5), (3, 1, 4, 5), (0, None, 1, 2)),
        ((1, 1, 4, 5), (1, 4, 5), (0, 2, 3)),
        ((4, 5, 1), (4, 5), (0, 1)),
        ((1, 4, 5), (4, 1, 5), (1, None, 2)),
        ((3, 2, 4, 5), (3, 4, 5), None),
        ((3, 4, 5), (4, 5), None),
        ((4, 5), (5, 4), None),
    ],
)
def test_axes_of_length_1_come_and_go(shape, wanted, order):
    assert order_between(shape, wanted) == order
    if order is None:
        return
    pixels = np.arange(np.prod(shape)).reshape(shape)
    found = arranged(pixels, order)
    assert found.shape == wanted
    assert np.shares_memory(found, pixels)
    np.testing.assert_array_equal(found.ravel(), pixels.ravel())
    places = np.nonzero(found % 7 == 3)
    back = brought_back(places, order, len(shape))
    np.testing.assert_array_equal(pixels[back], found[places])
