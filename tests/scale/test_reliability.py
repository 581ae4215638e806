"""What may go wrong in a night: a full disk, files that vanish, a scheduler's death.

Each time one sentence is raised, finished blocks stay, and the resumed run gives the
labels of an undisturbed one.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
import zarr.storage._local as local_store

import napari_unet as nu
from napari_unet.engine import records
from napari_unet.engine.cluster import connect
from napari_unet.engine.journal import Journal
from napari_unet.engine.output import Written
from napari_unet.engine.segment_to import iter_segment_to, segment_to
from napari_unet.engine.worker_process import WorkerProcess
from napari_unet.errors import ImageFileError, WorkerError
from napari_unet.pipeline import local

MakeModel = Callable[..., nu.Model]


class Run:
    """A small image in 12 blocks, its labels, and an output to be."""

    def __init__(
        self, folder: Path, image: Any, model: nu.Model, **options: Any
    ) -> None:
        self.image, self.model, self.options = image, model, {"block": 32, **options}
        self.out = folder / "o.zarr"
        self.part = folder / "o.zarr.part"
        self.expected = nu.segment(image, model, **options).labels
        assert self.expected.max() > 5

    def start(self, **more: Any) -> Any:
        """Return the job, as a generator of progress."""
        return iter_segment_to(
            self.image, self.out, self.model, **{**self.options, **more}
        )

    def stop_after(self, step: str, n_done: int = 0) -> None:
        """Work until so many items of a step are done, and stop there."""
        job = self.start()
        for progress in job:
            if progress.step == step and progress.n_done == n_done:
                break
        job.close()

    def resume(self, **more: Any) -> Written:
        """Go on, and compare the labels with those of an undisturbed run."""
        options = {**self.options, **more}
        found = segment_to(self.image, self.out, self.model, resume=True, **options)
        np.testing.assert_array_equal(found.labels[...], self.expected)
        assert not self.part.exists()
        return found

    def n_done(self, step: str) -> int:
        return len(Journal(self.part).records(0).done(step))


@pytest.fixture
def run(
    make_model: MakeModel,
    cell_like: Callable[..., nu.Separation],
    noise: Callable[..., np.ndarray],
    tmp_path: Path,
) -> Run:
    image, model, tiling = noise((120, 90)), make_model(), nu.Tiling(tile=32)
    separation = cell_like(image, model, tiling=tiling)
    return Run(tmp_path, image, model, tiling=tiling, separation=separation)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return the bytes that are left on the disk, in a list: set it."""
    left = [10**9]

    def take(n_bytes: int) -> None:
        left[0] -= n_bytes
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    put, save = local_store._put, records.save

    def limited_put(path: Path, value: Any, exclusive: bool = False) -> int:
        take(len(value))
        return put(path, value, exclusive)

    def limited_save(*args: Any) -> bytes:
        data = save(*args)
        take(len(data))
        return data

    monkeypatch.setattr(local_store, "_put", limited_put)
    monkeypatch.setattr(records, "save", limited_save)
    return left


@pytest.mark.parametrize("room", [0, 500, 20_000, 90_000])
def test_full_disk(run: Run, disk: list[int], room: int) -> None:
    """Wherever it is full: at the first group, in a block, in a record, at the end."""
    disk[0] = room
    with pytest.raises(ImageFileError, match=r"No space left on device") as error:
        list(run.start())
    assert "--resume" in error.value.remedy
    assert "o.zarr" in error.value.problem
    n_done = run.n_done("survey")
    assert n_done > 0 if room >= 20_000 else n_done == 0
    disk[0] = 10**9
    run.resume()


def test_full_disk_is_one_line_of_the_shell(
    run: Run,
    disk: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from napari_unet.cli import main

    path = run.out.with_name("image.zarr")
    zarr.create_array(path, data=run.image, chunks=(32, 32))
    command = ["segment", str(path), "-o", str(run.out), "--axes", "YX"]
    command += ["--tile", "32", "--block", "32", "-m", "nuclei-fast"]
    disk[0] = 20_000
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("napari-unet: o.zarr.part could not be read or written (No ")
    disk[0] = 10**9
    with pytest.raises(SystemExit) as stop:
        main([*command, "--resume"])
    assert stop.value.code == 0
    found = zarr.open_array(run.out / "labels" / "cells" / "0", mode="r")
    tiling = nu.Tiling(tile=32)
    expected = nu.segment(run.image, "nuclei-fast", axes="YX", tiling=tiling)
    np.testing.assert_array_equal(found[...], expected.labels)


def remove_chunk(part: Path) -> None:
    (part / "0" / "c" / "0" / "1" / "1").unlink()


def cut_chunk(part: Path) -> None:
    path = part / "0" / "c" / "0" / "2" / "1"
    path.write_bytes(path.read_bytes()[:-5])


def remove_probabilities(part: Path) -> None:
    shutil.rmtree(part / "0")


def remove_labels(part: Path) -> None:
    shutil.rmtree(part / "labels")


def cut_record(part: Path) -> None:
    path = Journal(part).records(0).path("survey", 3)
    path.write_bytes(path.read_bytes()[:100])


def remove_record(part: Path) -> None:
    Journal(part).records(0).remove("join", 0)


def remove_all_records(part: Path) -> None:
    shutil.rmtree(Journal(part).records(0).folder)


@pytest.mark.parametrize(
    ("step", "damage"),
    [
        ("flood", remove_chunk),
        ("flood", cut_chunk),
        ("flood", remove_probabilities),
        ("flood", cut_record),
        ("labels", remove_labels),
        ("labels", remove_record),
        ("labels", remove_all_records),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_damage_between_two_runs_is_made_good(
    run: Run, step: str, damage: Callable[[Path], None]
) -> None:
    run.stop_after(step, 5)
    assert run.n_done(step) == 5
    damage(run.part)
    run.resume()


def test_probabilities_that_vanish_on_the_way_are_no_hole(run: Run) -> None:
    """A chunk that is not there reads as zeros: it is looked for before."""
    job = run.start()
    for progress in job:
        if progress.step == "flood" and progress.n_done == 3:
            (run.part / "0" / "c" / "0" / "2" / "2").unlink()
            break
    with pytest.raises(ImageFileError, match="damaged or not there"):
        list(job)
    run.resume()


def test_probabilities_with_a_changed_byte_are_computed_again(run: Run) -> None:
    """The chunk has its size; its checksum tells."""
    run.stop_after("flood", 3)
    path = run.part / "0" / "c" / "0" / "2" / "2"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ImageFileError, match="damaged or not there"):
        segment_to(run.image, run.out, run.model, resume=True, **run.options)
    run.resume()


def test_record_that_is_damaged_within_is_made_again(run: Run) -> None:
    """It has its length and its head, so that only reading it tells."""
    run.stop_after("flood", 0)
    path = Journal(run.part).records(0).path("survey", 3)
    data = path.read_bytes()
    path.write_bytes(data[:-100] + bytes(255 - value for value in data[-100:]))
    with pytest.raises(ImageFileError, match=r"record .* is damaged"):
        segment_to(run.image, run.out, run.model, resume=True, **run.options)
    run.resume()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("separation", {"separation": nu.Separation(min_size=77)}),
        ("tile", {"tiling": nu.Tiling(tile=64)}),
        ("prediction", {"prediction": nu.Prediction(stored="uint8")}),
        ("normalization", {"normalization": nu.Normalization(low=3.0)}),
        ("threads", {"threads": 7}),
        ("block", {"block": 64}),
        ("probabilities", {"keep_probabilities": False}),
        ("scale", {"scale": 1.5}),
        ("image", {"image": True}),
        ("model", {"model": True}),
    ],
)
def test_resume_with_something_else_is_refused(
    run: Run, make_model: MakeModel, name: str, change: dict[str, Any]
) -> None:
    run.stop_after("survey", 4)
    image, model, options = run.image, run.model, {**run.options, **change}
    if options.pop("image", False):
        image = image.copy()
        image[5, 5] += 1
    if options.pop("model", False):
        model = make_model(seed=1)
    with pytest.raises(ImageFileError, match=f"begun with another .*{name}"):
        segment_to(image, run.out, model, resume=True, **options)
    assert run.n_done("survey") == 4


@pytest.mark.parametrize(("step", "refused"), [("survey", True), ("flood", False)])
def test_another_kind_of_device(
    run: Run, monkeypatch: pytest.MonkeyPatch, step: str, refused: bool
) -> None:
    """It may round otherwise: refused, unless the network has done its part."""
    run.stop_after(step, 4)
    with monkeypatch.context() as patch:
        patch.setattr(local, "choose_device", lambda name: torch.device("cuda"))
        if refused:
            with pytest.raises(ImageFileError, match=r"kind cpu, .* is cuda") as error:
                run.resume()
            assert "--device cpu" in error.value.remedy
        else:
            run.resume()
    if refused:
        assert run.n_done("survey") == 4
        run.resume()


def test_image_that_lost_a_chunk_on_the_way_is_refused(
    run: Run, make_model: MakeModel, tmp_path: Path
) -> None:
    """Nobody knows which blocks have read the hole: they are not gone on with."""
    path = tmp_path / "image.zarr"
    zarr.create_array(path, data=run.image, chunks=(32, 32))
    chunk, aside = path / "c" / "1" / "1", tmp_path / "aside"
    given = {"axes": "YX", **run.options}
    job = iter_segment_to(path, run.out, run.model, **given)
    for progress in job:
        if progress.step == "survey" and progress.n_done == 2:
            chunk.rename(aside)
            break
    with pytest.raises(ImageFileError, match="image changed while"):
        list(job)
    aside.rename(chunk)
    with pytest.raises(ImageFileError, match="another image"):
        segment_to(path, run.out, run.model, resume=True, **given)
    found = segment_to(path, run.out, run.model, overwrite=True, **given)
    np.testing.assert_array_equal(found.labels[...], run.expected)


def test_blocks_without_objects_are_done_like_others(run: Run) -> None:
    """Chunks of zeros are written, too: a file that is not there is damage."""
    nothing = nu.Separation(seed_threshold=0.99, mask_threshold=0.99)
    found = segment_to(
        run.image, run.out, run.model, **{**run.options, "separation": nothing}
    )
    assert found.n_objects == 0
    assert len([*(run.out / "labels" / "cells" / "0" / "c").glob("*/*")]) == 12


@pytest.mark.parametrize("moment", ["finish", "remove_scratch"])
def test_stopped_at_the_very_end(
    run: Run, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """All labels are there: nothing is computed again."""
    from napari_unet.engine.stores import Store

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            list(run.start())
    steps = {p.step for p in run.start(resume=True) if p.n_done < p.total}
    assert "survey" not in steps
    assert "labels" not in steps
    run.resume()


def test_killed_scheduler(run: Run) -> None:
    """The main process ends with one sentence, soon, and the rest is resumed."""
    from distributed.security import Security

    security = Security.temporary()
    host = WorkerProcess(security)
    try:
        with connect(host.address, security) as cluster:
            job = run.start(executor=cluster)
            for progress in job:
                if progress.step == "survey" and progress.n_done == 4:
                    os.kill(host.pid, signal.SIGKILL)
                    break
            with pytest.raises(
                WorkerError, match="connection to the scheduler"
            ) as error:
                list(job)
    finally:
        host.stop()
    assert "--resume" in error.value.remedy
    assert 4 <= run.n_done("survey") < 12
    run.resume()


def test_what_is_looked_at_comes_first(run: Run) -> None:
    """The order follows the view while it moves, and changes no label."""
    places = [{"Y": (70, 80), "X": (70, 80)}, {"Y": (0, 8), "X": (0, 8)}]
    done: list[set[int]] = [set()]
    job = run.start(first=lambda: places[0] if len(done) < 4 else places[1])
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            np.testing.assert_array_equal(stop.value.labels[...], run.expected)
            break
        if progress.step == "survey":
            now = (
                set()
                if run.out.exists()
                else set(Journal(run.part).records(0).done("survey"))
            )
            if now != done[-1]:
                done.append(now)
    order = [min(after - before) for before, after in itertools.pairwise(done)]
    assert order[0] == 2 * 3 + 2
    assert 0 in order[3:5]
    assert sorted(order) == list(range(12))


def test_previews_are_there_and_then_replaced(run: Run) -> None:
    """While it works, labels of blocks alone; at the end those of the image."""
    job = run.start(preview=True)
    for progress in job:
        if progress.step == "survey" and progress.n_done == 12:
            break
    shown = zarr.open_array(run.part / "labels" / "cells" / "0", mode="r")[...]
    mask = run.expected > 0
    assert (shown[mask] > 0).mean() > 0.9
    assert not np.array_equal(shown, run.expected)
    job.close()
    run.resume(preview=True)


def test_previews_on_every_level(
    run: Run, make_model: MakeModel, noise: Any, tmp_path: Path
) -> None:
    image, out = noise((40, 1100)), tmp_path / "wide.zarr"
    options = {**run.options, "block": 64}
    job = iter_segment_to(image, out, run.model, preview=True, **options)
    for progress in job:
        if progress.step == "join":
            break
    job.close()
    group = tmp_path / "wide.zarr.part" / "labels" / "cells"
    whole = zarr.open_array(group / "0", mode="r")[...]
    assert len(np.unique(whole)) > 20
    for level in (1, 2):
        found = zarr.open_array(group / str(level), mode="r")[...]
        step = 2**level
        np.testing.assert_array_equal(found, whole[::step, ::step])
