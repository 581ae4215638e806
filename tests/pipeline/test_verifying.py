"""Verify: a region's tiles against one piece, wherever it lies."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.core.tiling import AxisGeometry
from napari_unet.engine.client_backend import WorkerBackend
from napari_unet.pipeline.local import LocalBackend
from napari_unet.pipeline.model_card import ModelCard, card_of
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.plan import make_plan
from napari_unet.pipeline.verifying import verify
from napari_unet.settings import Architecture, Recipe, Tiling

AXIS = AxisGeometry(divisor=4, halo=(4, 4), crop=(0, 0), smallest=4)
REGIONS = [{"Y": (20, 41), "X": (33, 60)}, {"X": (0, 9)}, None]
IMAGE = np.random.default_rng(0).integers(0, 200, (48, 60)).astype(np.uint8)


def options(region):
    return Options(axes="YX", region=region, tiling=Tiling(tile=(16,)))


@pytest.mark.parametrize("region", REGIONS)
def test_blended_tiles_of_a_network_that_changes_nothing(region):
    """On a worker; the mean of equal pixels is that pixel."""
    recipe = Recipe(
        architecture=Architecture(out_channels=1),
        channels=("interior",),
        activation="sigmoid",
    )
    card = ModelCard("hand", recipe, "0" * 64, (), (AXIS,) * 2, 100.0, ("norm",))
    dropped: list[object] = []
    engine = SimpleNamespace(
        submit=lambda _, __, pixels: pixels,
        result=lambda it: it,
        drop=dropped.extend,
    )
    plan = make_plan(IMAGE, card, options(region))
    found = verify(plan, WorkerBackend(engine, SimpleNamespace()))
    sizes = [part.stop - part.start for part in plan.region.box]
    assert found.n_pixels == np.prod(sizes)
    assert found.steps <= 1
    assert not found.exact
    assert not dropped, "every tile was waited for"


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("region", REGIONS)
def test_in_this_process(random_model, region, norm):
    model = random_model(norm=norm)
    plan = make_plan(IMAGE, card_of(model, "here"), options(region))
    found = verify(plan, LocalBackend(model, "cpu"))
    assert found.exact == (norm == "batch")
    assert found.is_kept or not found.exact


def test_a_blended_region_is_that_of_the_whole(random_model):
    """What a backend writes from an origin on is what it writes there without."""
    model = random_model(norm="instance")
    plan = make_plan(IMAGE, card_of(model, "here"), options(None))
    box, whole = np.s_[20:41, 33:60], np.zeros((3, 48, 60), np.uint16)
    part = np.zeros((3, 21, 27), np.uint16)
    moved = dataclasses.replace(plan.grid, origin=(20, 33))
    backend = LocalBackend(model, "cpu")

    def read(box):
        return IMAGE[box][None].astype(np.float32) / 200

    for grid, out in ((plan.grid, whole), (moved, part)):
        for _ in backend.predict(plan, read, grid, out):
            pass
    np.testing.assert_array_equal(part, whole[(slice(None), *box)])
