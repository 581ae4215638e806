"""A selected shape counts by its own outline: read off the viewer, and run."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon2mask

import napari_unet as nu
from napari_unet.errors import SettingsError

pytestmark = pytest.mark.gui

PATIENCE = 300_000
BOX = np.array([[5, 5], [5, 10], [10, 10], [10, 5.0]])
TILTED = np.array([[5, 7.5], [7.5, 10], [10, 7.5], [7.5, 5]])


@pytest.fixture
def select():
    """Return a function: axes, shapes of one kind -> region and outline of them."""
    from napari.components import ViewerModel

    from napari_unet.plugin.view import SHAPE, chosen_part

    shape = {"YX": (40, 50), "XY": (50, 40), "ZYX": (9, 40, 50), "YXC": (40, 50, 3)}

    def make(axes: str, kind: str, *shapes: np.ndarray, **shown):
        viewer = ViewerModel()
        rgb = axes.endswith("C")
        pixels = np.zeros(shape[axes], np.uint8)
        scale = (0.5,) * (len(axes) - rgb)
        layer = viewer.add_image(pixels, rgb=rgb, scale=scale)
        drawn = viewer.add_shapes(list(shapes), shape_type=kind)
        drawn.selected_data = set(range(len(shapes)))
        viewer.dims.order = shown.get("order", range(viewer.dims.ndim))
        return chosen_part(SHAPE, viewer, layer, axes)

    return make


def test_a_box_is_a_region_alone(select):
    region = {"Y": (10, 21), "X": (10, 21)}
    for kind in ("rectangle", "polygon"):
        assert select("YX", kind, BOX) == {"region": region, "outline": None}
    assert select("XY", "rectangle", BOX)["outline"] is None
    upright = np.insert(BOX / 5, 1, 3.0, axis=1)  # drawn with Z and X on screen
    found = select("ZYX", "rectangle", upright, order=(1, 0, 2))
    assert (found["region"]["Z"], found["region"]["X"]) == ((2, 5), (2, 5))
    assert found["outline"] is None


@pytest.mark.parametrize(
    ("kind", "corners"),
    [
        ("rectangle", TILTED),
        ("polygon", TILTED[:3]),
        ("polygon", np.array([[5, 5], [5, 10], [10, 9], [10, 5.0]])),
        ("path", TILTED[:3]),
    ],
)
def test_points_are_those_of_the_image(select, kind, corners):
    expected = (corners * 2).tolist()
    assert select("YX", kind, corners)["outline"] == [expected]
    assert select("YXC", kind, corners)["outline"] == [expected]
    turned = [[x, y] for y, x in expected]
    assert select("XY", kind, corners)["outline"] == [turned]
    assert select("ZYX", kind, corners)["outline"] == [expected]
    both = select("YX", kind, corners, corners + 7)
    assert both["outline"] == [expected, (corners * 2 + 14).tolist()]
    assert both["region"]["Y"] == (10, 35)


def test_an_ellipse_becomes_a_polygon(select):
    found = select("YX", "ellipse", BOX)
    (points,) = np.asarray(found["outline"])
    radii = np.hypot(*(points - 15).T)
    np.testing.assert_allclose(radii, 5, atol=0.01)
    assert len(points) >= 60
    assert found["region"] == {"Y": (10, 21), "X": (10, 21)}


def test_what_surrounds_nothing_is_refused(select):
    with pytest.raises(SettingsError, match="2 points encloses nothing"):
        select("YX", "line", BOX[[0, 2]])
    with pytest.raises(SettingsError, match="No shape is selected"):
        select("YX", "polygon")
    with pytest.raises(SettingsError, match="no pixel"):
        select("YX", "polygon", TILTED[:3] / 100 + 1.1)
    upright = np.insert(TILTED[:3] / 5, 1, 3.0, axis=1)
    with pytest.raises(SettingsError, match="plane of Y and X"):
        select("ZYX", "polygon", upright, order=(1, 0, 2))


def inside_of(made, shape):
    return np.any([polygon2mask(shape, points) for points in made["outline"]], axis=0)


def test_run_counts_by_the_outline(make_napari_viewer, run_widget, qtbot, one_worker):
    """Labels, sliders, script and metadata, on an image out of place."""
    viewer = make_napari_viewer()
    viewer.open_sample("napari-unet-cells", "touching_nuclei")
    image = viewer.layers[0]
    image.scale, image.translate, image.rotate = (0.5, 0.5), (3, 4), 15
    corners = np.array([[40, 30], [40, 200], [160, 200], [160, 30.0]])
    shapes = viewer.add_shapes(
        [corners],
        shape_type="ellipse",
        scale=image.scale,
        translate=image.translate,
        rotate=image.rotate,
    )
    shapes.add_polygons([np.array([[100, 150], [240, 120], [200, 245.0]])])
    shapes.selected_data = {0, 1}
    _, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment")
    qtbot.waitUntil(lambda: widget.card is not None, timeout=PATIENCE)
    widget.form.layer.set_value(image.name)
    widget.form.model.set_value("nuclei-fast")
    widget.form.region.setCurrentText("Selected shape")
    outputs = run_widget(widget)
    made = outputs.labels.metadata["napari_unet"]
    inside = inside_of(made, image.data.shape)
    analytic = np.pi * 60 * 85
    assert inside_of({"outline": made["outline"][:1]}, inside.shape).sum() == (
        pytest.approx(analytic, rel=0.01)
    )
    whole = nu.segment(image.data, "nuclei-fast", axes="YX")
    kept = np.where(inside, whole.probabilities, 0).astype(np.uint16)
    expected = nu.separate(kept, whole.separation, channels=whole.channels)
    np.testing.assert_array_equal(outputs.labels.data, expected)
    assert 3 < expected.max() < whole.labels.max()
    for name, channel in zip(whole.channels[1:], outputs.channels, strict=True):
        np.testing.assert_array_equal(channel.data, kept[whole.channels.index(name)])
    np.testing.assert_allclose(
        outputs.labels.data_to_world((7, 9)), image.data_to_world((7, 9))
    )
    with qtbot.waitSignal(widget.tuned, timeout=PATIENCE):
        widget.tuning.sliders.field("mask_threshold").setValue(0.2)
    separation = widget.tuning.value()
    tuned = nu.segment(
        image.data,
        "nuclei-fast",
        axes="YX",
        separation=separation,
        region=made["region"],
        outline=made["outline"],
    )
    np.testing.assert_array_equal(outputs.labels.data, tuned.labels)
    assert (tuned.labels != expected).any()
    names: dict[str, object] = {}
    exec(compile(widget.copy_as_python(), "copied.py", "exec"), names)
    np.testing.assert_array_equal(names["labels"], outputs.labels.data)


def test_another_outline_updates_in_place(open_widget, run_widget, nuclei):
    viewer, widget = open_widget(np.stack([nuclei] * 2), axis_labels=("t", "y", "x"))
    one = np.array([[1, 20, 20], [1, 150, 60], [1, 60, 150.0]])
    other = one + np.array([0, 30, 40])
    shapes = viewer.add_shapes([one, other], shape_type="polygon")
    shapes.selected_data = {0}
    viewer.dims.set_current_step(0, 1)
    widget.form.layer.set_value("image")
    widget.form.region.setCurrentText("Selected shape")
    labels = run_widget(widget).labels
    first, n_layers = labels.data.copy(), len(viewer.layers)
    shapes.selected_data = {1}
    again = run_widget(widget).labels
    assert "were replaced" in widget.progress.text.text()
    assert (again.name, len(viewer.layers)) == (labels.name, n_layers)
    for data, points in ((first, one), (again.data, other)):
        assert data[1].max() > 1
        assert not data[0].any()
        assert not data[1][~polygon2mask(nuclei.shape, points[:, 1:])].any()
    made = again.metadata["napari_unet"]
    assert made["outline"] == [other[:, 1:].tolist()]
    run_widget(widget)
    assert "were replaced" not in widget.progress.text.text()
    widget.form.region.setCurrentText("Current slice or frame")
    every = run_widget(widget).labels
    assert every.metadata["napari_unet"]["outline"] is None
    assert every.data[1].max() > first.max()
