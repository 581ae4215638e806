"""Annotate next: each region once, of the probabilities that a run has left."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytestmark = pytest.mark.gui

SIZE = 512


@pytest.fixture
def opened(make_napari_viewer):
    """A viewer with an image, its probabilities from a run, and empty labels."""
    from napari_unet.plugin.annotate_next import AnnotateNext
    from napari_unet.plugin.layers import KEY, put_layer

    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((SIZE, SIZE), np.uint8), name="image")
    doubt = np.zeros((SIZE, SIZE), np.uint16)
    doubt[:200, :200] = 30000  # near a half: nothing is known
    doubt[300:, 300:] = 50000
    made = {KEY: {"output": "interior"}}
    put_layer(viewer, "image", doubt, source=image, name="p", metadata=made)
    viewer.add_labels(np.zeros((SIZE, SIZE), np.int32), name="painted")
    return viewer, AnnotateNext(viewer)


def next_region(opened, qtbot, labels):
    viewer, walk = opened
    with qtbot.waitSignal(walk.moved) as said:
        walk.next(viewer.layers["image"], viewer.layers[labels], None)
    return said.args[0].box


def test_a_copy_of_the_probabilities_does_not_count_twice(opened, qtbot):
    from napari.layers import Image

    viewer, walk = opened
    image, painted = viewer.layers["image"], viewer.layers["painted"]
    alone = walk._channels(image, painted)
    copy = Image.create(*viewer.layers["p"].as_layer_data_tuple())
    copy.data = np.full((SIZE, SIZE), 32768, np.uint16)
    copy.name = "p copy"
    viewer.add_layer(copy)
    viewer.layers.move(viewer.layers.index("p copy"), 0)
    for _ in range(2):  # whichever comes first
        (found,) = walk._channels(image, painted)
        np.testing.assert_array_equal(found, alone[0])
        viewer.layers.move(0, len(viewer.layers))
    first = next_region(opened, qtbot, "painted")
    assert all(part.start < 200 for part in first)
    # Where the original is gone, the copy is all there is.
    viewer.layers.remove("p")
    (found,) = walk._channels(image, painted)
    assert (found == 32768).all()


def test_regions_seen_belong_to_the_layer_and_not_to_its_name(opened, qtbot):
    from napari.layers import Labels

    viewer, walk = opened
    first = next_region(opened, qtbot, "painted")
    viewer.layers["painted"].name = "mine"
    assert next_region(opened, qtbot, "mine") != first
    viewer.add_labels(np.zeros((SIZE, SIZE), np.int32), name="painted")
    assert next_region(opened, qtbot, "painted") == first
    gc.collect()
    n_layers = len(walk._seen)
    walk._seen[Labels(np.zeros((4, 4), np.int32))] = []
    gc.collect()
    assert len(walk._seen) == n_layers, "a layer that is gone is forgotten"
