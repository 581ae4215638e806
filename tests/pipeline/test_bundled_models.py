"""The models that come with the package find simulated nuclei that they never saw."""

from __future__ import annotations

import pytest

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.errors import AxesError

UNSEEN = 90_210
PLANE = Simulation(shape=(192, 192), n_cells=25, random_seed=UNSEEN)
VOLUME = Simulation(
    shape=(24, 96, 96),
    spacing=(2.0, 1.0, 1.0),
    diameter=16.0,
    photons=50.0,
    random_seed=UNSEEN,
)


@pytest.mark.parametrize(
    ("name", "sample", "least"),
    [("nuclei", PLANE, 0.9), ("nuclei-fast", PLANE, 0.8), ("nuclei-3d", VOLUME, 0.7)],
)
def test_it_finds_nuclei(name, sample, least):
    image, truth = simulate(sample)
    found = nu.segment(image, name, axes="ZYX"[-image.ndim :]).labels
    assert nu.evaluate(found, truth).summary()["ap@0.5"] > least


def test_a_plane_is_no_volume():
    image, _ = simulate(PLANE)
    with pytest.raises(AxesError, match="Z"):
        nu.segment(image, "nuclei-3d", axes="YX")
