"""Peak memory is set by the block: nine times the image in nine times the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

BLOCK = 128
# Intensities are measured in batches of one size, larger than these images; what is
# joined over all blocks grows with the objects that lie on their faces.
OVER_BLOCKS = ("survey", "flood", "ground", "labels")


def write_image(path: Path, n: int) -> Path:
    """Repeat a picture of a block's size n times along each axis, on disk."""
    picture, _ = simulate(Simulation(shape=(BLOCK, BLOCK), diameter=14, random_seed=1))
    array = zarr.create_array(
        path, shape=(n * BLOCK,) * 2, chunks=(BLOCK, BLOCK), dtype=picture.dtype
    )
    for y, x in np.ndindex(n, n):
        array[y * BLOCK : (y + 1) * BLOCK, x * BLOCK : (x + 1) * BLOCK] = picture
    return path


def peak(image: Path, out: Path, model: nu.Model, **options: object) -> int:
    """Bytes that Python and NumPy held at once while blocks were worked on."""
    highest = 0
    tracemalloc.start()
    try:
        for event in nu.iter_segment_to(
            image, out, model, block=BLOCK, axes="YX", **options
        ):
            _, found = tracemalloc.get_traced_memory()
            highest = max(highest, found) if event.step in OVER_BLOCKS else highest
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    return highest


def test_memory_does_not_grow_with_the_number_of_blocks(
    make_model: Callable[..., nu.Model],
    cell_like: Callable[..., nu.Separation],
    tmp_path: Path,
) -> None:
    model, tiling = make_model(), nu.Tiling(tile=64)
    images = {n: write_image(tmp_path / f"{n}.zarr", n) for n in (2, 6)}
    corner = np.asarray(zarr.open_array(images[2], mode="r")[...])
    options = {"tiling": tiling, "separation": cell_like(corner, model, tiling=tiling)}
    peak(images[2], tmp_path / "warm.zarr", model, **options)
    few, many = (
        peak(images[n], tmp_path / f"{n}-out.zarr", model, **options) for n in images
    )
    assert many < 1.5 * few
