from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_unet.core.tiling import make_grid
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor, iter_predict
from napari_unet.settings import Prediction

CPU = torch.device("cpu")
Pixels = npt.NDArray[np.float32]
MakeModel = Callable[..., Model]
MakeImage = Callable[..., Pixels]
Run = Callable[..., npt.NDArray[Any]]


def reader_of(image: Pixels) -> Callable[[tuple[slice, ...]], Pixels]:
    return lambda region: image[(slice(None), *region)]


def predictor_of(model: Model, **prediction: Any) -> Predictor:
    return model.predictor(Prediction(**prediction), CPU)


# -- order, grouping, workers ----------------------------------------------------


@pytest.mark.parametrize("arguments", [{}, {"padded": False, "upsampling": "bilinear"}])
def test_neither_order_nor_grouping_nor_workers_matter(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    rng: np.random.Generator,
    arguments: dict[str, Any],
) -> None:
    model = make_model(**arguments, base_channels=4)
    image = random_image((70, 90))
    grid = make_grid((70, 90), (16, 32), model.geometry)
    predict = predictor_of(model)
    wanted = run(predict, image, grid)
    for workers in (1, 2, 3):
        shuffled = tuple(grid.tiles[i] for i in rng.permutation(len(grid.tiles)))
        again = replace(grid, tiles=shuffled)
        assert np.array_equal(run(predict, image, again, workers=workers), wanted)
    out = np.zeros_like(wanted)
    for part in (grid.tiles[5:], grid.tiles[:2], grid.tiles[2:5]):
        for _ in iter_predict(
            predict, reader_of(image), replace(grid, tiles=part), out
        ):
            pass
    assert np.array_equal(out, wanted)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_tiles_at_once_change_nothing(
    run: Run, random_image: MakeImage, make_model: MakeModel, workers: int
) -> None:
    """Two tiles at once, of two threads each, give what one at a time does."""
    model = make_model(base_channels=8, depth=3)
    image = random_image((130, 150))
    grid = make_grid((130, 150), (64, 64), model.geometry)
    predict = predictor_of(model)
    wanted = run(predict, image, grid)
    assert np.array_equal(run(predict, image, grid, workers=workers), wanted)
    assert torch.get_num_threads() == 2


# -- cancelling ------------------------------------------------------------------


def live_threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("n_done", [0, 1, 4])
def test_cancelling_keeps_what_is_finished(
    run: Run, random_image: MakeImage, make_model: MakeModel, workers: int, n_done: int
) -> None:
    model = make_model()
    image = random_image((70, 90))
    grid = make_grid((70, 90), (16, 32), model.geometry)
    predict = predictor_of(model)
    wanted = run(predict, image, grid)
    out = np.zeros_like(wanted)
    before = live_threads()
    job: Any = iter_predict(predict, reader_of(image), grid, out, workers=workers)
    finished = [next(job).tile.index for _ in range(n_done)]
    job.close()
    assert live_threads() == before
    assert torch.get_num_threads() == 2
    assert finished == list(range(n_done))
    n_written = 0
    for tile in grid.tiles:
        part = out[(slice(None), *tile.write)]
        is_done = np.array_equal(part, wanted[(slice(None), *tile.write)])
        assert is_done or not part.any()
        assert is_done or tile.index >= n_done
        n_written += is_done
    assert n_written <= n_done + 3


# -- memory and other troubles ---------------------------------------------------


class Crowded(nn.Module):
    """Runs out of memory whenever a second tile comes while the first is inside."""

    def __init__(self, network: nn.Module, *, both: bool) -> None:
        super().__init__()
        self.network, self.both = network, both
        self.lock = threading.Lock()
        self.second = threading.Event()
        self.n_inside = self.n_failures = 0

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.n_inside += 1
            crowded = self.n_inside > 1
        if crowded:
            self.second.set()
        met = self.second.wait(10)  # the first tile waits for its rival
        try:
            if crowded or (self.both and met and self.n_failures == 1):
                self.n_failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory.")
            result: Tensor = self.network(x)
            return result
        finally:
            with self.lock:
                self.n_inside -= 1


@pytest.mark.parametrize("both", [False, True])
def test_full_memory_first_lowers_the_number_of_tiles(
    run: Run, random_image: MakeImage, make_model: MakeModel, both: bool
) -> None:
    model = make_model()
    image = random_image((70, 90))
    grid = make_grid((70, 90), (16, 32), model.geometry)
    predict = predictor_of(model)
    wanted = run(predict, image, grid)
    network = Crowded(predict.network, both=both)
    found = run(replace(predict, network=network), image, grid, workers=2)
    assert network.n_failures >= 1
    assert np.array_equal(found, wanted)


class Broken(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("shape mismatch"),
        ValueError("something else"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_helped_is_raised(
    run: Run,
    random_image: MakeImage,
    make_model: MakeModel,
    error: Exception,
    workers: int,
) -> None:
    model = make_model()
    grid = make_grid((40, 40), (16, 16), model.geometry)
    broken = replace(predictor_of(model), network=Broken(error))
    before = live_threads()
    with pytest.raises(type(error)) as raised:
        run(broken, random_image((40, 40)), grid, workers=workers)
    assert raised.value is error
    assert live_threads() == before
