"""Several processes: the same labels, also when one of them is killed."""

from __future__ import annotations

import contextlib
import csv
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import dask.array as da
import numpy as np
import pytest
import tifffile
from distributed import Client

import napari_unet as nu
from napari_unet.cli import main
from napari_unet.cli.place import Place
from napari_unet.cli.report import SUMMARY
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


def _same(job: object, item: int) -> int:
    time.sleep(0.01)
    return item


def _end_at_2(job: object, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_what_ends_its_worker_costs_only_itself(cluster: Cluster) -> None:
    """An image that is too large for a worker's memory, in a folder of others."""
    scheduler: Any = cluster.client.cluster.scheduler
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job = SimpleNamespace(options=SimpleNamespace(device="cpu"))
    before, scheduler.allowed_failures = scheduler.allowed_failures, 0
    try:
        with cluster.sent(job) as each:
            found = sorted(each(_end_at_2, [2], lambda item: -item))
            assert found == [-2]
            assert sorted(each(_end_at_2, [3, 4, 5])) == [3, 4, 5]
            with pytest.raises(WorkerError, match="ended worker after worker"):
                list(each(_end_at_2, [2]))
    finally:
        scheduler.allowed_failures = before


def test_no_worker_is_left_to_wait_for() -> None:
    """Also what starts workers again can be killed: an error, not an endless wait."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job = SimpleNamespace(options=SimpleNamespace(device="cpu"))
    with local_workers(1) as cluster, cluster.sent(job) as each:
        results = each(_same, range(1000))
        assert next(results) in range(1000)
        nanny = cluster.client.submit(os.getppid, pure=False).result()
        os.kill(nanny, signal.SIGKILL)
        for waiting in (results, each(_same, [1])):
            with pytest.raises(WorkerError, match="All workers have ended"):
                list(waiting)


def test_workers_that_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(WorkerError, match="ended while it started"):
        local_workers(1)


def test_dask_image_on_a_worker(
    cluster: Cluster, make_model: MakeModel, noise: Noise, tmp_path: Path
) -> None:
    """Its chunks are not tasks that would wait for the one that reads them."""
    image, model, tiling = noise((70, 60)), make_model(), nu.Tiling(tile=32)
    expected = nu.segment(image, model, tiling=tiling)
    lazy = da.from_array(image, chunks=16)
    found = nu.segment_to(
        lazy, tmp_path / "o.zarr", model, executor=cluster, block=32, tiling=tiling
    )
    np.testing.assert_array_equal(found.labels[...], expected.labels)


def test_folder_in_parallel(
    cluster: Cluster,
    noise: Noise,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Images at once on workers: the labels of a serial run, a bad file skipped."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, name in enumerate("ac"):
        tifffile.imwrite(folder / f"{name}.tif", noise((80, 70), seed=seed))
    (folder / "b.tif").write_bytes(b"II*\0 no image")
    monkeypatch.setattr(Place, "cluster", lambda _: contextlib.nullcontext(cluster))
    for out, flags in (("parallel", ["--workers", "2"]), ("serial", [])):
        with pytest.raises(SystemExit) as stop:
            main(["segment", str(folder), "-o", str(tmp_path / out), *flags])
        assert stop.value.code == 1
        said = capsys.readouterr()
        assert said.err.splitlines()[-1].startswith("napari-unet: 1 of 3 images could")
        values = said.out.splitlines()[-1].split()
        assert values[:3] == ["3", "2", "1"]
        with (tmp_path / out / SUMMARY).open(newline="") as file:
            states = [row["state"] for row in csv.DictReader(file)]
        assert states == ["done", "failed", "done"]
    for name in ("a.tif", "c.tif"):
        one = tifffile.imread(tmp_path / "parallel" / name)
        np.testing.assert_array_equal(one, tifffile.imread(tmp_path / "serial" / name))


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
