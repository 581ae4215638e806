"""Samples open in a viewer, and the truth lies on the image."""

from __future__ import annotations

import numpy as np
import pytest

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
def test_segmented_sample_lies_on_its_image(make_napari_viewer):
    import napari_unet as nu

    viewer = make_napari_viewer()
    image, truth = viewer.open_sample("napari-unet-cells", "touching_nuclei")
    found = nu.segment(image.data, "nuclei", axes="YX").labels
    labels = viewer.add_labels(found, scale=image.scale, units=image.units)
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert nu.evaluate(labels.data, truth.data).summary()["ap@0.5"] > 0.9
