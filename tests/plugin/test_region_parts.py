"""What a region's layers ask of the other parts of the plugin; needs no worker."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import label

from napari_unet.errors import AxesError, UNetError
from napari_unet.pipeline.given import plan_given, run_given
from napari_unet.pipeline.options import parse_options
from napari_unet.settings import Separation

pytestmark = pytest.mark.gui

FRAMES = np.arange(3 * 16 * 18, dtype=np.uint16).reshape(3, 16, 18)
AXES = ("t", "y", "x")
PLACED = {"scale": (2, 0.5, 0.4), "translate": (1, 3, 4), "axis_labels": AXES}


def separate(stored, *_, **__):
    return label(stored[0] > 0)[0].astype(np.int32)


def colours(_, packed, *__):
    return np.zeros(int(packed.decode().max(initial=0)) + 1, np.uint8)


BACKEND = SimpleNamespace(separate=separate, facts=dict)
ENGINE = SimpleNamespace(call=colours, pid=0)


def plan_of(pixels, **options):
    given = {"axes": "TYX", "rgb": False, **options}
    return plan_given(pixels, "TYX", parse_options(given))


@pytest.fixture
def opened(make_napari_viewer):
    """A viewer, and a series in it."""
    viewer = make_napari_viewer()
    return viewer, viewer.add_image(FRAMES, name="image", **PLACED)


def outputs_of(opened, **region):
    """Return the layers of one frame, or of all."""
    from napari_unet.plugin.outputs import Outputs

    viewer, source = opened
    options = {"region": region, "crop": True} if region else {}
    plan = plan_of(FRAMES, **options)
    stored = np.zeros((1, 1 if region else 3, 16, 18), np.uint16)
    outputs = Outputs(viewer, source, plan, stored)
    while not outputs.put_next():
        pass
    return outputs


def test_linked_labels_are_sent_also_if_no_layer_is_there_yet():
    from napari_unet.plugin.coloured import SampleLabels, coloured

    frames = np.zeros((2, 12, 18), np.uint8)
    frames[0, 2:6, 2:6] = frames[:, 2:6, 10:14] = 255
    plan = plan_of(frames, separation=Separation(link="T"))
    job = coloured(plan, run_given(plan, BACKEND), lambda: None, ENGINE)
    shown = np.zeros(frames.shape, np.int32)
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            result = stop.value
            break
        if isinstance(event, SampleLabels):
            shown[event.sample["T"]] = event.labels
    assert set(np.unique(result.labels[1])) == {0, 2}
    np.testing.assert_array_equal(shown, result.labels)


def test_a_slider_beside_the_region_starts_no_preview(opened):
    from napari_unet.plugin.live import LiveSeparation, Wish

    outputs, box, started = outputs_of(opened, T=1), np.s_[0:16, 0:18], []
    live = SimpleNamespace(
        _outputs=outputs,
        _area=outputs.held.area,
        _preview=SimpleNamespace(is_running=False),
        _start_preview=lambda: started.append(live._wanted.sample["T"]),
    )
    for at in range(3):
        wish = Wish(Separation(), {"T": at}, box, is_settled=True)
        LiveSeparation._wish(live, wish)
    assert started == [1]


def test_a_result_in_memory_takes_the_place_of_a_pyramid(opened):
    from napari_unet.plugin.layers import put_layer

    viewer, source = opened
    made = {"napari_unet": {"output": "cells"}}
    levels = [np.zeros((3, 16 // n, 18 // n), np.int32) for n in (1, 2)]
    given = {"multiscale": True, "name": "image [cells]", "metadata": made}
    put_layer(viewer, "labels", levels, source=source, **given)
    layer = outputs_of(opened).labels
    assert not layer.multiscale
    assert layer.data.shape == FRAMES.shape
    assert [one.name for one in viewer.layers].count("image [cells]") == 1


def test_outputs_are_those_of_the_image_not_of_its_name(opened):
    """Another image may take the old name of the one that is renamed."""
    from napari_unet.plugin.layers import source_of

    viewer, source = opened
    first = outputs_of(opened).labels
    source.name = "before"
    other = viewer.add_image(FRAMES, name="image", **PLACED)
    assert outputs_of(opened).labels is first
    assert outputs_of((viewer, other)).labels is not first
    assert source_of(first, viewer.layers) is source
    source.name = "again"
    assert outputs_of(opened).labels is first
    assert first.name == "again [cells]"
    viewer.layers.remove(source)
    first.metadata = {"napari_unet": {"source": "image", "output": "cells"}}
    assert source_of(first, viewer.layers) is other, "by name: the image is gone"
    assert outputs_of((viewer, other)).labels is not first, "it has its own"


@pytest.mark.parametrize("is_running", [True, False])
def test_a_layer_that_napari_refuses_ends_the_run(is_running):
    from napari_unet.plugin.segment_run import SegmentRun

    def refuse():
        raise ValueError("no such layer")

    said, waiting = [], deque([lambda: said.append("late")])
    run = SimpleNamespace(
        _building="layers",
        outputs=None,
        _later=waiting,
        _put_layer=refuse,
        _job=SimpleNamespace(is_running=is_running, cancel=lambda: said.append("end")),
        _on_failed=said.append,
        _on_stopped=lambda: said.append("stopped"),
        _break_off=lambda error: SegmentRun._break_off(run, error),
    )
    SegmentRun._go_on(run)
    assert (run._building, list(waiting)) == (None, [])
    end, error, *rest = said
    assert end == "end"
    assert isinstance(error, UNetError)
    assert "no such layer" in str(error)
    # A job that runs says itself that it has stopped.
    assert rest == ["stopped"] * (not is_running)


def test_a_large_result_lies_on_its_image_where_a_region_was(opened, monkeypatch):
    from napari_unet.plugin import large_run

    viewer, source = opened
    layer = outputs_of(opened, T=2).labels
    assert layer.translate[0] == pytest.approx(1 + 2 * 2)
    order = SimpleNamespace(plan=plan_of(FRAMES), source=source)
    run = SimpleNamespace(_viewer=viewer, _order=order)
    whole = np.ones(FRAMES.shape, np.int32)
    monkeypatch.setattr(large_run, "read_levels", lambda *_: [whole])
    large_run.LargeRun._show(run, Path("cells.zarr"))
    assert run.labels is layer
    np.testing.assert_allclose(layer.translate, source.translate)
    assert layer.data.shape == FRAMES.shape


def test_what_lies_under_a_regions_labels_is_learned_and_measured(opened):
    from napari_unet.plugin.annotated import _annotated, _check_shapes
    from napari_unet.plugin.measuring import _image_reader
    from napari_unet.plugin.train_choice import PairChoice, TrainChoice

    viewer, source = opened
    layer = outputs_of(opened, T=1).labels
    pair = PairChoice(image="image", labels=layer.name)
    _check_shapes(pair, viewer.layers)
    found = _annotated(pair, TrainChoice(), viewer.layers)
    np.testing.assert_array_equal(found.image, FRAMES[1:2])
    assert found.labels.shape == (1, 16, 18)
    under = _image_reader(source, layer)((0,))
    np.testing.assert_array_equal(under, FRAMES[None, 1])
    viewer.add_image(FRAMES[:2], name="other", axis_labels=AXES)
    with pytest.raises(AxesError, match="the same image"):
        _check_shapes(PairChoice(image="other", labels=layer.name), viewer.layers)


def test_probabilities_of_another_region_do_not_rank(opened):
    from napari_unet.plugin.annotate_next import AnnotateNext

    viewer, source = opened
    first = outputs_of(opened, T=1)
    this = SimpleNamespace(_viewer=viewer)
    assert len(AnnotateNext._channels(this, source, first.labels)) == 1
    first.labels.paint((0, 3, 3), 7)  # kept, whatever is segmented next
    second = outputs_of(opened, T=2)
    assert second.labels is not first.labels
    assert second.labels.data.shape == first.labels.data.shape
    assert AnnotateNext._channels(this, source, first.labels) == []
    assert len(AnnotateNext._channels(this, source, second.labels)) == 1


def test_a_preview_that_fails_leaves_the_rest_to_come(make_napari_viewer):
    from napari_unet.plugin.segment_run import SegmentRun

    run = SegmentRun(make_napari_viewer())
    run.is_tuning = True
    run.live.request(Separation(), {}, ())
    run.live._rest.stop()
    error = UNetError("It ended.", "Try again.")
    run.live._preview.failed.emit(error)
    assert run.is_tuning
    run.live._all.failed.emit(error)
    assert not run.is_tuning
