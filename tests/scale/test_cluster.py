"""Several processes: the same labels, also when one of them is killed."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import napari_unet as nu
from napari_unet.engine.cluster import Cluster, connect
from napari_unet.engine.local_workers import local_workers
from napari_unet.engine.segment_to import iter_segment_to
from napari_unet.errors import ImageFileError, WorkerError

# dask-jobqueue takes Ctrl-C for itself when it is imported.
_CTRL_C = signal.getsignal(signal.SIGINT)
from dask_jobqueue.local import LocalCluster as JobCluster  # noqa: E402

signal.signal(signal.SIGINT, _CTRL_C)

MakeModel = Callable[..., nu.Model]
Thresholds = Callable[..., nu.Separation]
Noise = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with local_workers(2) as started:
        yield started


def test_two_workers_one_of_them_killed(
    cluster: Cluster,
    make_model: MakeModel,
    cell_like: Thresholds,
    noise: Noise,
    tmp_path: Path,
) -> None:
    image, model = noise((2, 150, 131)), make_model()
    options = {"axes": "TYX", "tiling": nu.Tiling(tile=32)}
    options["separation"] = cell_like(image, model, **options)
    expected = nu.segment(image, model, **options)
    job = iter_segment_to(
        image, tmp_path / "o.zarr", model, executor=cluster, block=32, **options
    )
    victim = cluster.client.submit(os.getpid, pure=False).result()
    killed = False
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            found = stop.value
            break
        if progress.step == "survey" and progress.n_done == 5 and not killed:
            os.kill(victim, signal.SIGKILL)
            killed = True
    assert killed
    np.testing.assert_array_equal(found.labels[...], expected.labels)


def test_error_of_a_worker_is_ours(
    cluster: Cluster, make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    path = tmp_path / "image.npy"
    np.save(path, noise((100, 80)))
    job = iter_segment_to(
        path,
        tmp_path / "o.zarr",
        make_model(),
        executor=cluster,
        block=32,
        tiling=nu.Tiling(tile=32),
    )
    next(job)
    path.unlink()
    with pytest.raises(ImageFileError, match=r"image\.npy does not exist"):
        list(job)


# dask-jobqueue leaves the files of its temporary certificates to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_batch_jobs_of_a_local_stand_in(
    make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    """What dask-jobqueue does on SLURM, with a shell in the place of sbatch."""
    image, model = noise((100, 80)), make_model()
    tiling = nu.Tiling(tile=32)
    expected = nu.segment(image, model, tiling=tiling)
    with warnings.catch_warnings(action="ignore"):  # it leaves files open
        found = _by_batch_job(image, model, tiling, tmp_path)
        gc.collect()
    np.testing.assert_array_equal(found, expected.labels)


def _by_batch_job(
    image: np.ndarray, model: nu.Model, tiling: nu.Tiling, folder: Path
) -> np.ndarray:
    with (
        JobCluster(
            cores=1,
            processes=1,
            memory="4GB",
            security=True,
            shared_temp_directory=str(folder),
            scheduler_options={"dashboard": False, "dashboard_address": ":0"},
            python=sys.executable,
        ) as jobs,
        Client(jobs, set_as_default=False) as client,
    ):
        jobs.scale(1)
        assert client.scheduler_info()["address"].startswith("tls://")
        found = nu.segment_to(
            image,
            folder / "o.zarr",
            model,
            executor=Cluster(client),
            block=32,
            tiling=tiling,
        )
        return np.asarray(found.labels[...])


def test_unencrypted_address_is_refused() -> None:
    with pytest.raises(WorkerError, match="not encrypted"):
        connect("tcp://somewhere:8786")
