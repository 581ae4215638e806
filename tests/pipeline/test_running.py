"""The loop with a backend that computes by hand: regions, order, full memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from napari_unet.core.events import Note, SampleDone, TileDone
from napari_unet.core.mirror import read_mirrored
from napari_unet.core.tiling import AxisGeometry
from napari_unet.errors import DeviceError, DeviceFullError, SettingsError
from napari_unet.pipeline.held import empty_labels, held_part
from napari_unet.pipeline.model_card import ModelCard
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.plan import make_plan
from napari_unet.pipeline.running import run
from napari_unet.settings import (
    Architecture,
    Normalization,
    Recipe,
    Tiling,
)

AXIS = AxisGeometry(divisor=4, halo=(4, 4), crop=(0, 0), smallest=4)


def card(ndim: int = 2) -> ModelCard:
    recipe = Recipe(
        architecture=Architecture(ndim=ndim, out_channels=1),
        channels=("interior",),
        activation="sigmoid",
        normalization=Normalization(low=0, high=100),
    )
    return ModelCard("hand", recipe, "0" * 64, (), (AXIS,) * ndim, 100.0, ())


class ByHand:
    """The network is the identity, objects are runs of bright rows."""

    def __init__(self, most_pixels: int = 10**9) -> None:
        self.most_pixels = most_pixels
        self.sizes: list[int] = []

    def predict(self, plan, reader, grid, out):
        for n_done, tile in enumerate(grid.tiles, start=1):
            if tile.n_read > self.most_pixels:
                raise DeviceFullError("The memory is full.", "Buy more.")
            pixels = read_mirrored(reader, tile.read, grid.shape)
            kept = pixels[(slice(None), *tile.crop)]
            out[(slice(None), *grid.target(tile))] = np.rint(kept * 65535)
            yield TileDone(tile, n_done, len(grid.tiles))

    def separate(self, stored, channels, separation, *, semantic):
        from scipy.ndimage import label

        return label(stored[0] > separation.mask_threshold * 65535)[0].astype(np.int32)

    def facts(self) -> dict[str, Any]:
        return {"device": "hand", "threads": 1, "versions": {}}


def finish(job):
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as stop:
            return events, stop.value


def stripes() -> np.ndarray:
    """Five bright squares in a row, the middle one across column 32."""
    image = np.zeros((32, 80), np.float32)
    for start in (4, 16, 28, 44, 60):
        image[8:16, start : start + 8] = 1
    return image


def segment(image, backend=None, *, first=None, ndim=2, **options):
    options = {"tiling": Tiling(tile=(16,)), **options}
    plan = make_plan(image, card(ndim), Options(**options))
    return finish(run(plan, backend or ByHand(), first=first))


def test_a_region_computes_its_tiles_and_keeps_whole_objects():
    whole = segment(stripes(), axes="YX")[1]
    events, part = segment(stripes(), axes="YX", region={"X": (30, 50), "Y": (0, 12)})
    tiles = [event.tile for event in events if isinstance(event, TileDone)]
    assert [tile.write for tile in tiles] == [
        (slice(0, 16), slice(16 * i, 16 * i + 16)) for i in (1, 2, 3)
    ]
    # The third and fourth square touch the region, and are whole beyond it.
    expected = np.where((whole.labels == 3) | (whole.labels == 4), whole.labels - 2, 0)
    np.testing.assert_array_equal(part.labels, expected)
    assert part.provenance["region"] == {"X": (30, 50), "Y": (0, 12)}


CUTS = [
    ("YX", {"X": (30, 50), "Y": (0, 12)}),
    ("YX", {"X": (30, 33)}),
    ("TYX", {"T": (1, 3), "X": (20, 30)}),
    ("XTY", {"T": 2, "X": (66, 80)}),
    ("CYX", {"X": (30, 50)}),
]


def picture(axes: str) -> np.ndarray:
    """Stripes along Y and X, other for each index along the rest."""
    sizes = {"T": 4, "C": 1}
    order = [a for a in axes if a not in "YX"] + ["Y", "X"]
    image = np.zeros([sizes.get(a, 0) for a in order[:-2]] + [32, 80], np.float32)
    for at in np.ndindex(*image.shape[:-2]):
        image[at] = np.roll(stripes(), sum(at), axis=1)
    return image.transpose([order.index(a) for a in axes])


@pytest.mark.parametrize(("axes", "region"), CUTS)
@pytest.mark.parametrize("most_pixels", [10**9, 600])
def test_what_is_cropped_is_that_part_of_the_whole(axes, region, most_pixels):
    backend = ByHand(most_pixels)
    image, options = picture(axes), {"axes": axes, "region": region}
    whole = segment(image, ByHand(most_pixels), **options)[1]
    part = segment(image, backend, crop=True, **options)[1]
    assert part.labels.size < whole.labels.size
    assert part.labels.max() > 0
    shape = dict(zip(part.axes, part.labels.shape, strict=True))
    key = tuple(slice(part.start[a], part.start[a] + shape[a]) for a in part.axes)
    np.testing.assert_array_equal(part.labels, whole.labels[key])
    np.testing.assert_array_equal(
        part.probabilities, whole.probabilities[(slice(None), *key)]
    )
    rest = whole.labels.copy()
    rest[key] = 0
    assert rest.max() == 0
    assert part.provenance["crop"]


def test_smaller_tiles_fill_all_that_is_separated():
    """A region of one tile, whose smaller tiles lie across it."""
    options = {"axes": "YX", "region": {"X": (17, 19)}, "tiling": Tiling(tile=(32, 24))}
    full = segment(stripes(), ByHand(1000), **options)[1]
    plain = segment(stripes(), **options)[1]
    np.testing.assert_array_equal(full.labels, plain.labels)
    np.testing.assert_array_equal(full.probabilities, plain.probabilities)


@pytest.mark.parametrize("x", [(17, 19), (30, 33)])
def test_smaller_tiles_fill_it_also_if_the_image_is_scaled(x):
    options = {"axes": "YX", "region": {"X": x}, "scale": 0.5}
    options["tiling"] = Tiling(tile=(16, 24))
    found = segment(stripes(), ByHand(300), **options)[1]
    plain = segment(stripes(), **options)[1]
    assert found.provenance["tile"] != plain.provenance["tile"]
    assert found.provenance["planned_tile"] == plain.provenance["tile"]
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)


def test_what_is_scaled_is_not_cropped():
    options = {"axes": "YX", "region": {"X": (30, 50)}, "scale": 2.0}
    whole = segment(stripes(), **options)[1]
    found = segment(stripes(), crop=True, **options)[1]
    np.testing.assert_array_equal(found.labels, whole.labels)
    assert set(found.start.values()) == {0}


def test_of_what_is_scaled_only_frames_are_left_out():
    series = np.stack([np.roll(stripes(), at, axis=1) for at in range(4)])
    options = {"axes": "TYX", "region": {"T": (1, 3), "X": (30, 50)}, "scale": 2.0}
    whole = segment(series, **options)[1]
    found = segment(series, crop=True, **options)[1]
    assert found.start == {"T": 1, "Y": 0, "X": 0}
    np.testing.assert_array_equal(found.labels, whole.labels[1:3])
    np.testing.assert_array_equal(found.probabilities, whole.probabilities[:, 1:3])


@pytest.mark.parametrize("at", [0, 3])
def test_a_sample_that_is_not_held_is_no_other_one(at):
    options = Options(axes="TYX", region={"T": (1, 3)}, crop=True)
    held = held_part(make_plan(np.stack([stripes()] * 4), card(), options))
    labels = empty_labels(held)
    assert held.labels(labels, {"T": 2}).shape == (32, 80)
    with pytest.raises(IndexError, match="not held"):
        held.labels(labels, {"T": at})


def test_intensity_is_that_of_the_whole_image():
    image = stripes()
    image[30, 70] = 2.0  # far from the region, and the brightest
    part = segment(image, axes="YX", region={"X": (0, 16)})[1]
    assert part.provenance["intensity"] == [[[0.0], [2.0]]]
    assert part.probabilities[0, 10, 6] == 32768


def test_a_region_of_samples_leaves_the_others_empty():
    series = np.stack([stripes()] * 3)
    found = segment(series, axes="TYX", region={"T": 1})[1]
    assert [int(frame.max()) for frame in found.labels] == [0, 5, 0]


def test_a_volume_of_slices_may_be_cut_along_z():
    volume = np.stack([stripes()] * 16)
    found = segment(volume, ndim=3, axes="ZYX", region={"Z": (0, 4)})[1]
    assert found.labels.max() == 5


@pytest.mark.parametrize("region", [{"C": 0}, {"Y": (40, 50)}, {"X": (5, 5)}])
def test_a_region_outside_the_image_is_refused(region):
    with pytest.raises(SettingsError, match="region"):
        segment(stripes(), axes="YX", region=region)


def test_what_is_looked_at_comes_first_and_changes_nothing():
    plain = segment(stripes(), axes="YX")[1]
    events, found = segment(stripes(), axes="YX", first={"X": (60, 70)})
    columns = [e.tile.write[1].start for e in events if isinstance(e, TileDone)]
    assert columns[:4] == [48, 64, 48, 64]
    np.testing.assert_array_equal(found.labels, plain.labels)


def test_full_memory_restarts_with_smaller_tiles_and_says_so():
    plain = segment(stripes(), axes="YX")[1]
    backend = ByHand(most_pixels=20 * 20)
    options = {"axes": "YX", "tiling": Tiling(tile=(32,))}
    events, found = segment(stripes(), backend, **options)
    assert any("memory is full" in e.text for e in events if isinstance(e, Note))
    np.testing.assert_array_equal(found.labels, plain.labels)
    assert found.provenance["tile"] != [32, 32]
    with pytest.raises(DeviceError, match="too small for any tile"):
        segment(stripes(), ByHand(most_pixels=1), axes="YX")


def test_full_memory_in_mid_series_begins_the_whole_series_again():
    """All frames are cut alike, whichever of them met the full memory."""

    class FullLater(ByHand):
        def predict(self, plan, reader, grid, out):
            self.sizes.append(grid.tile[0])
            if len(self.sizes) == 3:
                raise DeviceFullError("The memory is full.", "Buy more.")
            yield from super().predict(plan, reader, grid, out)

    frames = np.stack([stripes()] * 4)
    backend = FullLater()
    options = {"axes": "TYX", "tiling": Tiling(tile=(32,))}
    events, found = segment(frames, backend, **options)
    large, small = backend.sizes[0], backend.sizes[-1]
    assert large > small
    # Two frames, the one that failed, itself again, the last, and the first two again.
    assert backend.sizes == [large] * 3 + [small] * 4
    done = [event.sample["T"] for event in events if isinstance(event, SampleDone)]
    assert done == [0, 1, 2, 3, 0, 1]
    assert found.provenance["tile"][0] == small
    np.testing.assert_array_equal(found.labels, segment(frames, axes="TYX")[1].labels)


def test_a_resampled_region_is_that_of_the_whole():
    options = {"axes": "YX", "scale": 0.5, "tiling": Tiling(tile=(8,))}
    whole = segment(stripes(), **options)[1]
    part = segment(stripes(), **options, region={"X": (28, 36)})[1]
    where = part.labels > 0
    assert where.sum() == (whole.labels == 3).sum()
    assert (whole.labels[where] == 3).all()


class Recording:
    """An array that remembers which frames were read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.read = array, []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        self.read.append(key[0])
        return self.array[key]


def test_frames_are_measured_when_they_are_reached():
    series = Recording(np.stack([stripes(), stripes() * 2]))
    job = run(make_plan(series, card(), Options(axes="TYX")), ByHand())
    while not isinstance(next(job), TileDone):
        pass
    assert set(series.read) == {0}
    _, found = finish(job)
    assert found.provenance["intensity"] == [[[0.0], [1.0]], [[0.0], [2.0]]]


def test_planning_reading_and_running_need_no_torch():
    code = (
        "import json, sys\n"
        "import napari_unet.engine.client_backend, napari_unet.engine.client\n"
        "import napari_unet.pipeline.running, napari_unet.pipeline.plan\n"
        "heavy = ('torch', 'numba', 'napari', 'qtpy')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == []
