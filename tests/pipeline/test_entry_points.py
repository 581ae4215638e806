"""One answer: whatever the array, the order of tiles, the workers, or who asks."""

from __future__ import annotations

import random
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import zarr

import napari_unet as nu
from napari_unet.core.events import SampleDone, Started, TileDone
from napari_unet.nn import predict
from napari_unet.pipeline.local import default_workers

TILES = nu.Tiling(tile=16)


@pytest.fixture
def image(scene):
    noise = np.random.default_rng(0).integers(0, 60, (50, 70))
    return (scene((50, 70)) + noise.astype(np.uint8)).astype(np.uint16)


@pytest.fixture
def answer(random_model, image):
    seg = nu.segment(image, random_model(), axes="YX", tiling=TILES)
    assert seg.labels.max() > 10
    return seg


class Counting:
    """An array that knows the largest region that was asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, key):
        found = self.array[key]
        self.largest = max(self.largest, found.size)
        return found


def test_every_kind_of_array(random_model, image, answer, tmp_path):
    stored = zarr.create_array(store=str(tmp_path / "z"), data=image, chunks=(16, 32))
    np.save(tmp_path / "x.npy", image)
    arrays = {
        "dask": dask.array.from_array(image, chunks=(13, 29)),
        "zarr": stored,
        "mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "fortran": np.asfortranarray(image),
        "big endian": image.astype(">u2"),
        "multiscale": [image, image[::2, ::2]],
        "negative strides": image[::-1, ::-1].copy()[::-1, ::-1],
    }
    for name, array in arrays.items():
        seg = nu.segment(array, random_model(), axes="YX", tiling=TILES)
        assert np.array_equal(seg.labels, answer.labels), name
        assert np.array_equal(seg.probabilities, answer.probabilities), name


def test_a_lazy_image_is_never_read_whole(random_model):
    image = np.random.default_rng(0).random((600, 64)).astype(np.float32)
    lazy = Counting(image)
    tiling = nu.Tiling(tile=(32, 64))
    seg = nu.segment(lazy, random_model(depth=1), axes="YX", tiling=tiling)
    wanted = nu.segment(image, random_model(depth=1), axes="YX", tiling=tiling)
    assert np.array_equal(seg.labels, wanted.labels)
    # Floating-point pixels up to 2**24 are measured all at once; tiles are small.
    reads = Counting(image.astype(np.uint8))
    nu.segment(reads, random_model(depth=1), axes="YX", tiling=tiling)
    assert reads.largest <= image.size


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers(random_model, image, answer, workers):
    seg = nu.segment(image, random_model(), axes="YX", tiling=TILES, workers=workers)
    assert np.array_equal(seg.probabilities, answer.probabilities)
    assert np.array_equal(seg.labels, answer.labels)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_tiles(random_model, image, answer, monkeypatch, seed):
    in_order = predict._in_order

    def shuffled(work, tiles, workers, device):
        mixed = random.Random(seed).sample(list(tiles), len(tiles))
        return in_order(work, mixed, workers, device)

    monkeypatch.setattr(predict, "_in_order", shuffled)
    seg = nu.segment(image, random_model(), axes="YX", tiling=TILES)
    assert np.array_equal(seg.labels, answer.labels)


def test_other_tiles_give_the_same_within_rounding(random_model, image, answer):
    for tile in ((), (8,), (64, 24)):
        tiling = nu.Tiling(tile=tile)
        seg = nu.segment(image, random_model(), axes="YX", tiling=tiling)
        difference = seg.probabilities.astype(int) - answer.probabilities
        assert np.abs(difference).max() <= 1


def test_events_tell_what_is_done(random_model, image, answer):
    stack = np.stack([image, image])
    job = nu.iter_segment(stack, random_model(), axes="TYX", tiling=TILES)
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as stop:
            seg = stop.value
            break
    started, *rest = events
    assert isinstance(started, Started)
    n_tiles = started.n_tiles
    assert n_tiles >= 2 * 6
    tiles = [e for e in rest if isinstance(e, TileDone)]
    assert [(e.n_done, e.n_tiles) for e in tiles] == [
        (i, n_tiles) for i in range(1, n_tiles + 1)
    ]
    samples = [e for e in rest if isinstance(e, SampleDone)]
    assert samples == [SampleDone(1, 2, {"T": 0}), SampleDone(2, 2, {"T": 1})]
    assert np.array_equal(started.labels, seg.labels)
    assert np.array_equal(seg.labels, np.stack([answer.labels] * 2))


def test_closing_keeps_what_is_finished(random_model, image, answer):
    stack = np.stack([image, image])
    job = nu.iter_segment(stack, random_model(), axes="TYX", tiling=TILES)
    started = next(job)
    for event in job:
        if isinstance(event, TileDone) and event.n_done == started.n_tiles // 2 + 1:
            tile = event.tile
            break
    job.close()
    assert np.array_equal(started.labels[0], answer.labels)
    assert not started.labels[1].any()
    key = (slice(None), *tile.write)
    assert np.array_equal(started.probabilities[:, 1][key], answer.probabilities[key])
    bottom = slice(tile.write[0].stop, None)
    assert not started.probabilities[:, 1, bottom].any()


def test_a_full_memory_restarts_with_smaller_tiles(
    random_model, image, answer, monkeypatch
):
    whole = predict.Predictor.__call__

    def small_device(self, tile, crop):
        if tile[0].size > 52 * 60:
            raise MemoryError
        return whole(self, tile, crop)

    monkeypatch.setattr(predict.Predictor, "__call__", small_device)
    tiling = nu.Tiling(tile=64)
    seg = nu.segment(image, random_model(), axes="YX", tiling=tiling)
    assert any("restarted with tiles of" in note for note in seg.notes)
    difference = seg.probabilities.astype(int) - answer.probabilities
    assert np.abs(difference).max() <= 1
    assert max(seg.provenance["tile"]) < 64


def test_an_error_of_the_network_is_not_blamed_on_memory(
    random_model, image, monkeypatch
):
    def broken(self, tile, crop):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(predict.Predictor, "__call__", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        nu.segment(image, random_model(), axes="YX", tiling=TILES)


def test_provenance_is_enough_to_repeat(random_model, image, answer):
    told = answer.provenance
    seg = nu.segment(
        image,
        random_model(),
        axes=told["axes"],
        tiling=nu.Tiling(tile=tuple(told["tile"])),
        separation=nu.Separation(**told["separation"]),
        normalization=nu.Normalization(**told["normalization"]),
        prediction=nu.Prediction(**told["prediction"]),
        device=told["device"],
    )
    assert np.array_equal(seg.labels, answer.labels)
    assert seg.provenance == {**told, "tiling": seg.provenance["tiling"]}
    import json

    assert json.loads(json.dumps(told)) == told


def test_separating_again_is_separating(random_model, image, answer):
    other = nu.Separation(mask_threshold=0.7, min_size=3)
    again = answer.separate(other)
    model = random_model()
    direct = nu.segment(image, model, axes="YX", tiling=TILES, separation=other)
    assert np.array_equal(again, direct.labels)
    assert np.array_equal(answer.separate(nu.Separation()), answer.labels)


def test_classes_of_a_semantic_model(threshold_model, scene):
    """Names that could be instances do not make it one."""
    model = threshold_model(task="semantic")
    seg = nu.segment(scene(), model, axes="YX")
    assert seg.semantic
    assert np.array_equal(seg.labels, scene() > 100)
    assert np.array_equal(seg.separate(nu.Separation()), seg.labels)


def test_workers_follow_the_device():
    import torch

    assert default_workers(torch.device("cpu")) == 1
    assert default_workers(torch.device("cuda")) == 2


def test_a_model_may_be_named(image):
    by_name = nu.segment(image, "nuclei", axes="YX")
    by_model = nu.segment(image, nu.load_model("nuclei"), axes="YX")
    assert np.array_equal(by_name.labels, by_model.labels)
    assert replace(by_name, notes=("x",)).notes == ("x",)
