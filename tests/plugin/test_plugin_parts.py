"""Parts of the plugin that need no worker."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_unet.errors import SettingsError, UNetError
from napari_unet.settings import Prediction, Separation
from napari_unet.settings_base import Settings

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


def test_jobs_that_wait_keep_no_other_from_starting(qtbot):
    from qtpy.QtCore import QThreadPool

    from napari_unet.plugin.job import Job, once

    pool, go_on = QThreadPool.globalInstance(), threading.Event()
    n_threads = pool.maxThreadCount()
    waiting = [Job() for _ in range(n_threads + 2)]
    for job in waiting:
        job.start(once(lambda: go_on.wait(60)))
    last = Job()
    with qtbot.waitSignal(last.done):
        last.start(once(lambda: "done"))
    go_on.set()
    qtbot.waitUntil(lambda: not any(job.is_running for job in waiting))
    assert pool.maxThreadCount() == n_threads


@pytest.fixture
def only_new_objects():
    """The collector looks at what a test makes, not at every module: far faster."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("in_window", [True, False])
def test_a_job_that_is_collected_ends_its_work(
    qtbot, only_new_objects, in_window, owned
):
    """Python's collector may find it, or its owner, in any thread: no crash."""
    from napari_unet.plugin.job import Job

    ends = []
    for number in range(20):
        reached, go_on = threading.Event(), threading.Event()
        owner = QObject() if owned else None
        job = Job(owner)
        job.owner, job.itself = owner, job
        if owner is not None:
            owner.job = job
        job.start(lambda pair=(reached, go_on): two_steps(*pair, ends))
        assert reached.wait(10)
        cancelled = job._cancelled
        del job, owner
        qtbot.waitUntil(lambda event=cancelled: collect(in_window) or event.is_set())
        go_on.set()
        qtbot.waitUntil(lambda n=number: len(ends) > n)
    assert ends == ["closed"] * 20


def collect(in_window):
    collector = threading.Thread(target=gc.collect)
    collector.run() if in_window else collector.start()
    if not in_window:
        collector.join()


def two_steps(reached, go_on, ends):
    end = "closed"
    try:
        yield 1
        reached.set()
        go_on.wait(10)
        yield 2
        end = "went on"
    finally:
        ends.append(end)


def test_what_waits_for_an_end_is_done_once_and_then_gone(qtbot):
    from napari_unet.plugin.when_destroyed import when_destroyed

    app, done = QCoreApplication.instance(), []
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    before = len(app.children())
    owner = QObject()
    for number in range(3):
        when_destroyed(QObject(owner), lambda number=number: done.append(number))
    assert len(app.children()) == before + 3
    owner.deleteLater()
    del owner
    for _ in range(2):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert sorted(done) == [0, 1, 2]
    assert len(app.children()) == before


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


class Bounded(Settings):
    share: float = Field(0.5, gt=0, lt=1, description="A part.")
    number: int = Field(3, gt=1, le=9, description="A count.")


def test_every_place_of_a_slider_is_a_valid_value(qtbot):
    from napari_unet.plugin.settings_form import SettingsForm

    form = SettingsForm(Bounded, {"share": "Share", "number": "Number"})
    qtbot.addWidget(form)
    share, number = form.field("share"), form.field("number")
    for field, low, high in ((share, 0.01, 0.99), (number, 2, 9)):
        assert (field.minimum(), field.maximum()) == pytest.approx((low, high))
        for value in (low, high):
            field.setValue(value)
            form.value()


def test_numbers_of_a_preview_meet_their_colours():
    from napari_unet.plugin.colours import LARGEST, N_COLOURS, PALETTE, table_of

    rng = np.random.default_rng(0)
    for n_cells in (0, 3, 300, 70_000):
        own = rng.integers(1, N_COLOURS + 1, n_cells + 1).astype(np.uint8)
        table = table_of(own)
        assert 255 < table.n <= LARGEST
        wanted = rng.integers(1, N_COLOURS + 1, 500).astype(np.uint8)
        wanted[0] = 0
        first, second = table.numbers(wanted), table.numbers(wanted, taken=500)
        assert first[0] == second[0] == 0
        assert len(set(first[1:]) | set(second[1:])) == 998
        assert min(first[1:]) > min(n_cells, table.n)
        drawn = table.colormap().map(first)
        np.testing.assert_allclose(drawn, PALETTE[wanted])
        np.testing.assert_array_equal(table.paint(first), wanted)
        kept = min(n_cells, LARGEST - N_COLOURS) + 1
        painted = table.paint(np.arange(kept, dtype=np.int32))
        np.testing.assert_array_equal(painted[1:], own[1:kept])


def test_colours_are_those_of_one_moment_while_the_window_draws():
    """A job asks for them, and a preview appears meanwhile."""
    from napari_unet.plugin.colours import table_of

    class Drawn(np.ndarray):
        def max(self, *given, **more):
            found = np.asarray(self).max(*given, **more)
            self[...] = 27_129
            return found

    table = table_of(np.arange(5, dtype=np.uint8))
    labels = np.array([[0, 1, 3]], np.int32).view(Drawn)
    np.testing.assert_array_equal(table.paint(labels), [[0, 1, 3]])


def test_a_preview_keeps_the_colormap_and_other_frames_do_not_touch_it(
    make_napari_viewer,
):
    from napari_unet.pipeline.given import plan_given
    from napari_unet.pipeline.options import parse_options
    from napari_unet.plugin.colours import PALETTE
    from napari_unet.plugin.outputs import Outputs

    viewer = make_napari_viewer()
    frames = np.zeros((2, 16, 16), np.uint8)
    source = viewer.add_image(frames, name="p", axis_labels=("t", "y", "x"))
    plan = plan_given(frames, "TYX", parse_options({"rgb": False}))
    outputs = Outputs(viewer, source, plan, np.zeros((1, 2, 16, 16), np.uint16))
    assert not outputs.put_next(), "a layer at a time"
    assert outputs.put_next()
    layer = outputs.labels
    one = np.zeros((16, 16), np.int32)
    one[2:6, 2:6] = 1
    first, second = {"T": 0}, {"T": 1}
    outputs.show_colours(first)
    outputs.finish_sample(first, one, np.array([0, 5], np.uint8))
    final = layer.colormap
    np.testing.assert_allclose(final.map(1), PALETTE[5])

    two = one.copy()
    two[8:12, 2:6] = 2
    numbers = outputs.provisional_numbers(first, np.array([0, 5, 7], np.uint8))
    outputs.preview(first, np.s_[0:16, 0:8], numbers[two][:, 0:8])
    assert layer.colormap is final
    drawn = final.map(layer.data[0])
    np.testing.assert_allclose(drawn[3, 3], PALETTE[5])
    np.testing.assert_allclose(drawn[9, 3], PALETTE[7])
    np.testing.assert_array_equal(outputs.painted(first)[9, 3], 7)

    outputs.finish_sample(second, one, np.array([0, 3], np.uint8))
    assert layer.colormap is final, "the frame in view is another one"
    outputs.show_colours(second)
    np.testing.assert_allclose(layer.colormap.map(1), PALETTE[3])
    assert outputs.n_cells == 2


def test_numbers_of_many_previews_stay_in_32_bits():
    from napari_unet.plugin.colours import table_of

    table = table_of(np.ones(60_000, np.uint8))
    wanted = np.full(10_000, 7, np.uint8)
    for taken in (0, 30_000, 10**9):
        assert (table.numbers(wanted, taken)[1:] > 60_000).all()


def test_boxes():
    from napari_unet.plugin import boxes

    one, other = np.s_[10:40, 5:20], np.s_[30:60, 0:10]
    assert boxes.common(one, other) == np.s_[30:40, 5:10]
    assert boxes.around(one, other) == np.s_[10:60, 0:20]
    assert boxes.grown(one, 8) == np.s_[2:48, 0:28]
    assert boxes.within(np.s_[30:40, 5:10], one) == np.s_[20:30, 0:5]
    assert boxes.n_pixels(one) == 450
    large = boxes.box_in_view({"Y": (0, 9000)}, "YX", (9000, 300))
    assert boxes.n_pixels(large) <= boxes.LARGEST_PREVIEW
    assert large[0].start + large[0].stop == pytest.approx(9000, abs=2)
    assert boxes.box_in_view({"Z": 3}, "ZYX", (5, 8, 9)) == np.s_[0:5, 0:8, 0:9]


def test_outputs_leave_out_the_channel_axis(make_napari_viewer):
    """Where it is the first; see `test_channel_axis` for those where it is not."""
    from napari_unet.plugin.layers import read_layer
    from napari_unet.plugin.placement import placement

    viewer = make_napari_viewer()
    affine = np.eye(5)
    affine[2:4, 2:4] = [[0.0, -1.0], [1.0, 0.0]]
    layer = viewer.add_image(
        np.zeros((2, 3, 8, 9), np.uint16),
        scale=(1, 10, 0.5, 0.25),
        translate=(0, 1, 3, 4),
        affine=affine,
        units=("pixel", "s", "um", "um"),
        axis_labels=("channel", "time", "y", "x"),
    )
    image = read_layer(layer)
    assert (image.axes, image.axes_known) == ("CTYX", True)
    assert image.pixel_size == {"Y": 0.5, "X": 0.25}
    labels = viewer.add_labels(np.zeros((3, 8, 9), int), **placement(layer, "CTYX"))
    here = labels.data_to_world((1, 5, 6))
    there = layer.data_to_world((0, 1, 5, 6))
    np.testing.assert_allclose(here, np.delete(there, 0))
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
    assert view.region_of(view.CURRENT, viewer, layer, "ZYX") == {"Z": 3}
    volume = view.region_of(view.CURRENT, viewer, layer, "ZYX", is_3d=True)
    assert volume is None, "all of it is the current volume"
    with pytest.raises(SettingsError, match="No shape"):
        view.region_of(view.SHAPE, viewer, layer, "TYX")
    shapes = viewer.add_shapes(
        [np.array([[3, 5, 5], [3, 5, 10], [3, 10, 10], [3, 10, 5]])]
    )
    shapes.selected_data = {0}
    found = view.region_of(view.SHAPE, viewer, layer, "TYX")
    assert found == {"T": 3, "Y": (10, 21), "X": (10, 21)}
    beside = np.array([[3, 50, 5], [3, 50, 10], [3, 60, 10], [3, 60, 5]])
    shapes.data = [beside]
    shapes.selected_data = {0}
    with pytest.raises(SettingsError, match="lies beside"):
        view.region_of(view.SHAPE, viewer, layer, "TYX")
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
