"""Samples open in a viewer, and the truth lies on the image."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_unet.errors import ImageFileError

KEYS = ("touching_nuclei", "nuclei_3d", "nuclei_series")


@pytest.mark.gui
@pytest.mark.parametrize("key", KEYS)
def test_sample_opens_in_the_viewer(make_napari_viewer, key):
    viewer = make_napari_viewer()
    image, truth = viewer.open_sample("napari-unet-cells", key)
    assert image.data.shape == truth.data.shape
    np.testing.assert_allclose(image.scale, truth.scale)
    assert image.units == truth.units
    assert image.axis_labels == truth.axis_labels
    inside = truth.data > 0
    assert image.data[inside].mean() > 2 * image.data[~inside].mean()


@pytest.mark.gui
@pytest.mark.parametrize(
    ("key", "name", "shape", "names"),
    [
        ("human_mitosis", "human_mitosis", (8, 9), ["human mitosis"]),
        ("cells_3d", "cells3d", (4, 2, 8, 9), ["membranes 3-D", "cell nuclei 3-D"]),
    ],
)
def test_public_images_open_in_the_viewer(
    make_napari_viewer, monkeypatch, key, name, shape, names
):
    import skimage.data

    assert callable(getattr(skimage.data, name))
    threads, pixels = [], np.arange(np.prod(shape)).reshape(shape)

    def download():
        threads.append(threading.current_thread())
        return pixels

    monkeypatch.setattr(skimage.data, name, download)
    layers = make_napari_viewer().open_sample("napari-unet-cells", key)
    assert [layer.name for layer in layers] == names
    expected = pixels[:, 1] if pixels.ndim == 4 else pixels
    np.testing.assert_array_equal(layers[-1].data, expected)
    assert threads != [threading.main_thread()], "the window lives on meanwhile"


@pytest.mark.gui
def test_a_download_that_fails_is_one_line(make_napari_viewer, monkeypatch):
    import skimage.data

    def offline():
        raise ConnectionError("no internet connection is available. To avoid\nthis,")

    monkeypatch.setattr(skimage.data, "human_mitosis", offline)
    viewer = make_napari_viewer()
    with pytest.raises(ImageFileError) as error:
        viewer.open_sample("napari-unet-cells", "human_mitosis")
    assert "no internet connection is available. Connect" in str(error.value)
    assert len(viewer.layers) == 0


@pytest.mark.gui
def test_segmented_sample_lies_on_its_image(make_napari_viewer):
    import napari_unet as nu

    viewer = make_napari_viewer()
    image, truth = viewer.open_sample("napari-unet-cells", "touching_nuclei")
    found = nu.segment(image.data, "nuclei", axes="YX").labels
    labels = viewer.add_labels(found, scale=image.scale, units=image.units)
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert nu.evaluate(labels.data, truth.data).summary()["ap@0.5"] > 0.9
