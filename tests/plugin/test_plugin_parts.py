"""Parts of the plugin that need no worker."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from napari_unet.errors import SettingsError, UNetError
from napari_unet.settings import Prediction, Separation

pytestmark = pytest.mark.gui


@pytest.fixture
def job(qtbot):
    from napari_unet.plugin.job import Job

    return Job()


def _record(job):
    said = []
    job.event.connect(lambda event: said.append(("event", event)))
    job.done.connect(lambda result: said.append(("done", result)))
    job.failed.connect(lambda error: said.append(("failed", str(error))))
    job.stopped.connect(lambda: said.append(("stopped",)))
    return said


def test_a_job_tells_its_events_and_its_result(job, qtbot):
    said = _record(job)

    def make():
        yield 1
        yield 2
        return 3

    with qtbot.waitSignal(job.stopped):
        job.start(make)
    assert said == [("event", 1), ("event", 2), ("done", 3), ("stopped",)]
    assert not job.is_running


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ValueError("x")])
def test_any_error_in_a_job_is_told(job, qtbot, error):
    said = _record(job)

    def make():
        yield 1
        raise error

    with qtbot.waitSignal(job.stopped):
        job.start(make)
    assert [what for what, *_ in said] == ["event", "failed", "stopped"]
    assert str(error) in said[1][1]


def test_an_error_for_users_is_told_as_it_is(job, qtbot):
    def make():
        yield from ()
        raise SettingsError("Too much.", "Take less.")

    with qtbot.waitSignal(job.failed) as said:
        job.start(make)
    assert said.args[0].remedy == "Take less."
    qtbot.waitUntil(lambda: not job.is_running)


def test_cancel_closes_the_generator_in_its_thread(job, qtbot):
    said, closed = _record(job), []
    reached, go_on = threading.Event(), threading.Event()

    def make():
        try:
            yield 1
            reached.set()
            go_on.wait(10)
            yield 2
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    job.start(make)
    qtbot.waitUntil(reached.is_set)
    with qtbot.waitSignal(job.stopped):
        job.cancel()
        go_on.set()
    assert closed == [True]
    assert said[-1] == ("stopped",)
    assert ("event", 2) not in said


def test_of_several_starts_the_last_one_counts(job, qtbot):
    said, go_on = _record(job), threading.Event()

    def wait():
        yield from ()
        go_on.wait(10)
        return "first"

    job.start(wait)
    for number in (2, 3):
        job.start(lambda number=number: iter_return(number))
    with qtbot.waitSignal(job.stopped):
        go_on.set()
    assert said == [("done", 3), ("stopped",)]


def iter_return(value):
    yield from ()
    return value


@pytest.mark.parametrize(
    "value",
    [
        Separation(seed_threshold=-0.25, min_size=900, fill_holes=False, link="TZ"),
        Prediction(precision="bfloat16", test_time_averaging="rotations"),
    ],
)
def test_a_form_gives_back_what_it_was_given(qtbot, value):
    from napari_unet.plugin.settings_form import SettingsForm

    kind = type(value)
    labels = {name: name for name in kind.model_fields}
    form = SettingsForm(kind, labels, sliders={"min_size": 500})
    qtbot.addWidget(form)
    assert form.value() == kind()
    with qtbot.waitSignal(form.changed):
        form.set_value(value)
    assert form.value() == value
    for name in kind.model_fields:
        assert form.field(name).toolTip() == kind.model_fields[name].description


def discs(*places: tuple[int, int], radius: int = 6) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.int32)
    for number, (cy, cx) in enumerate(places, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def test_colours_follow_the_object_and_not_its_number():
    from napari_unet.plugin.colours import next_colours, paint

    before = discs((10, 10), (10, 40), (40, 20))
    colours = next_colours(before, None)
    after = discs((40, 21), (10, 41), (55, 55), radius=7)
    found = next_colours(after, paint(colours, before))
    assert found[1] == colours[3]
    assert found[2] == colours[2]
    assert found[3] > 0
    assert found[0] == 0


def test_neighbours_have_different_colours_also_after_a_split():
    from napari_unet.plugin.colours import next_colours, paint

    rng = np.random.default_rng(0)
    labels = np.kron(rng.permutation(64).reshape(8, 8) + 1, np.ones((8, 8), int))
    labels = labels.astype(np.int32)
    colours = next_colours(labels, None)
    painted = paint(colours, labels).astype(int)
    assert (np.diff(painted[:, 7:9], axis=1) != 0).all()
    split = labels.copy()
    split[:4, :8] = 65
    again = next_colours(split, paint(colours, labels))
    assert again[65] != again[labels[7, 0]]
    unchanged = [n for n in range(1, 65) if n != labels[0, 0]]
    np.testing.assert_array_equal(again[unchanged], colours[unchanged])


def test_outputs_leave_out_the_channel_axis(make_napari_viewer):
    from napari_unet.plugin.layers import placement, read_layer

    viewer = make_napari_viewer()
    affine = np.eye(5)
    affine[2:4, 2:4] = [[0.0, -1.0], [1.0, 0.0]]
    layer = viewer.add_image(
        np.zeros((3, 2, 8, 9), np.uint16),
        scale=(10, 1, 0.5, 0.25),
        translate=(1, 0, 3, 4),
        affine=affine,
        units=("s", "pixel", "um", "um"),
        axis_labels=("time", "channel", "y", "x"),
    )
    image = read_layer(layer)
    assert (image.axes, image.axes_known) == ("TCYX", True)
    assert image.pixel_size == {"Y": 0.5, "X": 0.25}
    labels = viewer.add_labels(np.zeros((3, 8, 9), int), **placement(layer, "TCYX"))
    here = labels.data_to_world((1, 5, 6))
    there = layer.data_to_world((1, 0, 5, 6))
    np.testing.assert_allclose(here, np.delete(there, 1))
    assert labels.axis_labels == ("time", "y", "x")


@pytest.mark.parametrize(
    ("shape", "rgb", "axes"),
    [((8, 9), False, "YX"), ((4, 8, 9), False, "ZYX"), ((8, 9, 3), True, "YXC")],
)
def test_axes_are_guessed_without_labels(make_napari_viewer, shape, rgb, axes):
    from napari_unet.plugin.layers import read_layer

    layer = make_napari_viewer().add_image(np.zeros(shape, np.uint8), rgb=rgb)
    image = read_layer(layer)
    assert (image.axes, image.axes_known, image.pixel_size) == (axes, False, {})


def test_regions_are_read_off_the_viewer(make_napari_viewer):
    from napari_unet.plugin import view

    viewer = make_napari_viewer()
    layer = viewer.add_image(np.zeros((5, 40, 50)), scale=(1, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    assert view.region_of(view.EVERYTHING, viewer, layer, "TYX") is None
    assert view.region_of(view.CURRENT, viewer, layer, "TYX") == {"T": 3}
    with pytest.raises(SettingsError, match="No shape"):
        view.region_of(view.SHAPE, viewer, layer, "TYX")
    shapes = viewer.add_shapes(
        [np.array([[3, 5, 5], [3, 5, 10], [3, 10, 10], [3, 10, 5]])]
    )
    shapes.selected_data = {0}
    found = view.region_of(view.SHAPE, viewer, layer, "TYX")
    assert found == {"T": 3, "Y": (10, 21), "X": (10, 21)}
    layer.corner_pixels = np.array([[0, 4, 6], [0, 20, 30]])
    found = view.region_of(view.VISIBLE, viewer, layer, "TYX")
    assert found == {"T": 3, "Y": (4, 21), "X": (6, 31)}


def test_a_dropped_checkpoint_has_a_reader():
    from napari_unet.plugin.checkpoint_reader import get_reader

    assert get_reader("mine.safetensors") is not None
    assert get_reader(["mine.PTH"]) is not None
    assert get_reader("image.tif") is None
    assert get_reader(["a.pt", "b.pt"]) is None


def test_the_script_of_a_foreign_layer_is_refused(make_napari_viewer):
    from napari_unet.plugin.script import as_python

    labels = make_napari_viewer().add_labels(np.zeros((4, 4), int))
    with pytest.raises(UNetError, match="does not say how it was made"):
        as_python(labels)


def test_no_file_of_the_plugin_is_long():
    import napari_unet.plugin

    folder = Path(napari_unet.plugin.__file__).parent
    long = {p.name: len(p.read_text().splitlines()) for p in folder.glob("*.py")}
    assert {name: n for name, n in long.items() if n > 350} == {}
