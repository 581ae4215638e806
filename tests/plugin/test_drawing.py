"""A box drawn again looks like a layer that is drawn anew."""

from __future__ import annotations

import os

import numpy as np
import pytest

pytestmark = pytest.mark.gui

LABELS = np.arange(24 * 20, dtype=np.int32).reshape(24, 20) // 40


@pytest.fixture
def drawn(make_napari_viewer):
    """A labels layer, and a list of what is drawn of it."""
    viewer = make_napari_viewer()
    layer = viewer.add_labels(LABELS.copy())
    said = []
    layer.events.labels_update.connect(lambda event: said.append(event.offset))
    layer.events.set_data.connect(lambda event: said.append("all"))
    return viewer, layer, said


def change(layer, box):
    """Change pixels in place; return what napari would make of all of them."""
    layer.data[box] += 300
    return layer.colormap._data_to_texture(layer.data)


def test_only_the_box_is_drawn(drawn):
    from napari_unet.plugin.drawing import draw_box

    _, layer, said = drawn
    expected = change(layer, np.s_[3:9, 2:7])
    draw_box(layer, "YX", {"Y": slice(3, 9), "X": slice(2, 7)})
    assert said[-1] == [3, 2]
    np.testing.assert_array_equal(layer._slice.image.view, expected)


def test_axes_may_be_turned(drawn):
    from napari_unet.plugin.drawing import draw_box

    viewer, layer, said = drawn
    viewer.dims.transpose()
    said.clear()
    expected = change(layer, np.s_[3:9, 2:7])
    draw_box(layer, "YX", {"Y": slice(3, 9), "X": slice(2, 7)})
    assert said[-1] == [2, 3]
    np.testing.assert_array_equal(layer._slice.image.view, expected.T)


@pytest.mark.parametrize("how", ["contour", "volume", "lazy"])
def test_what_cannot_be_drawn_in_part_is_drawn_anew(make_napari_viewer, how):
    import dask.array as da

    from napari_unet.plugin.drawing import draw_box

    viewer = make_napari_viewer()
    stack = np.zeros((3, 8, 9), np.int32)
    layer = viewer.add_labels(da.from_array(stack) if how == "lazy" else stack)
    if how == "contour":
        layer.contour = 1
    if how == "volume":
        viewer.dims.ndisplay = 3
    said = []
    layer.events.set_data.connect(lambda event: said.append("all"))
    draw_box(layer, "ZYX", {"Y": slice(1, 3), "X": slice(2, 7)})
    assert said == ["all"]


@pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") != "xcb", reason="needs a screen: xvfb-run"
)
def test_the_screen_shows_it(make_napari_viewer):
    from napari_unet.plugin.drawing import draw_box

    viewer = make_napari_viewer(show=True)
    layer = viewer.add_labels(LABELS.copy())

    def picture():
        return viewer.screenshot(canvas_only=True, flash=False)

    before, said = picture(), []
    layer.events.set_data.connect(lambda event: said.append("all"))
    change(layer, np.s_[3:9, 2:7])
    draw_box(layer, "YX", {"Y": slice(3, 9), "X": slice(2, 7)})
    after = picture()
    assert said == []
    layer.refresh()
    assert (before != after).any()
    np.testing.assert_array_equal(after, picture())
