"""The worker gives the shell's labels, and its death is a message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

import napari_unet as nu
from napari_unet.core.events import SampleDone, Started, TileDone
from napari_unet.engine import worker_tasks
from napari_unet.engine.client import Compute, Engine
from napari_unet.errors import CheckpointError, SettingsError, WorkerError
from napari_unet.nn.checkpoint import save_model
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe, Separation, Tiling

SMALL = Tiling(tile=(96,))


def finish(job):
    """Return the events of a job and its result."""
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as stop:
            return events, stop.value


def test_labels_and_probabilities_are_those_of_the_shell(engine, card, nuclei):
    options = {"axes": "YX", "tiling": SMALL}
    events, found = finish(engine.iter_segment(nuclei, card, **options))
    expected = nu.segment(nuclei, "nuclei-fast", **options)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.provenance == expected.provenance
    assert found.labels.max() > 15
    tiles = [event.n_done for event in events if isinstance(event, TileDone)]
    assert tiles == [1, 2, 3, 4, 5, 6]


def test_what_is_looked_at_comes_first_and_changes_nothing(engine, card, nuclei):
    series = np.stack([nuclei, nuclei[::-1]])
    options = {"axes": "TYX", "tiling": SMALL}
    _, expected = finish(engine.iter_segment(series, card, **options))
    job = engine.iter_segment(series, card, first={"T": 1, "Y": (200, 210)}, **options)
    events, found = finish(job)
    np.testing.assert_array_equal(found.labels, expected.labels)
    tiles = [event.tile for event in events if isinstance(event, TileDone)]
    assert [tile.write[0].start for tile in tiles[:4]] == [96, 96, 96, 0]
    samples = [event.sample for event in events if isinstance(event, SampleDone)]
    assert samples == [{"T": 1}, {"T": 0}]


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_file_of_any_norm_is_run_as_here(engine, nuclei, tmp_path, norm):
    architecture = Architecture(depth=2, base_channels=2, norm=norm)
    recipe = Recipe(
        architecture=architecture, channels=("background", "interior", "boundary")
    )
    path = tmp_path / "tiny.safetensors"
    save_model(path, UNet(architecture), recipe)
    options = {"axes": "YX", "tiling": Tiling(tile=(64,))}
    card = engine.card(str(path))
    assert bool(card.tile_dependent_layers) == (norm == "instance")
    _, found = finish(engine.iter_segment(nuclei, card, **options))
    expected = nu.segment(nuclei, path, **options)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_closing_the_job_keeps_what_is_finished(engine, card, nuclei):
    job = engine.iter_segment(nuclei, card, axes="YX", tiling=SMALL)
    started = next(job)
    assert isinstance(started, Started)
    done = next(job)
    job.close()
    write = (slice(None), *done.tile.write)
    total = started.probabilities[write].sum(axis=0, dtype=np.int64)
    assert np.abs(total - 65535).max() <= 2
    assert np.count_nonzero(started.probabilities) <= total.size * 3


def test_an_error_of_the_worker_is_its_own_sentence(engine, card, nuclei):
    with pytest.raises(CheckpointError, match="no model called absent"):
        engine.card("absent")
    with pytest.raises(SettingsError, match="axis Q"):
        engine.iter_segment(nuclei, card, axes="YX", region={"Q": 1})


def test_what_is_looked_at_is_separated_as_the_whole_is(engine, card, nuclei):
    from napari_unet.core.object_colours import next_colours
    from napari_unet.engine.kept_pixels import KeptPixels
    from napari_unet.engine.worker_tasks import Looked, Sight

    _, found = finish(engine.iter_segment(nuclei, card, axes="YX"))
    kept = KeptPixels(engine)
    pixels = kept.put(found.probabilities)
    assert kept.put(found.probabilities) is pixels, "sent once"
    box = (slice(0, 288), slice(0, 320))
    sight = Sight(box, found.channels, found.separation)
    looked = engine.call_beside(worker_tasks.look, pixels, None, sight)
    assert isinstance(looked, Looked)
    assert looked.labels.decode().dtype == np.int32
    np.testing.assert_array_equal(looked.labels.decode(), found.labels)
    colours = next_colours(found.labels, None, n_colours=12)
    np.testing.assert_array_equal(looked.colours, colours)
    looser = Separation(mask_threshold=0.2).over(found.separation)
    grown = kept.separate(found.probabilities, found.channels, looser, semantic=False)
    np.testing.assert_array_equal(grown, found.separate(looser))
    assert (grown > 0).sum() > (found.labels > 0).sum()
    wider = Sight(box, found.channels, looser)
    again = engine.call_beside(worker_tasks.look, pixels, looked, wider)
    old = found.labels > 0
    same = again.colours[grown][old] == looked.colours[found.labels][old]
    assert same.mean() > 0.95


def test_a_task_beside_others_fails_with_its_own_sentence(engine):
    with pytest.raises(CheckpointError, match="no-such-model"):
        engine.call_beside(worker_tasks.load, "no-such-model")
    pixels = engine.send(np.zeros((1, 8, 8), np.uint16))
    engine.release()
    with pytest.raises(WorkerError, match="no longer holds"):
        engine.call_beside(worker_tasks.look, pixels, None, None)


def test_what_a_worker_holds_is_bounded_and_forgotten(engine):
    from napari_unet.engine.kept_pixels import KeptPixels

    kept = KeptPixels(engine, limit=3000)
    arrays = [np.full((1000,), n, np.uint8) for n in range(4)]
    futures = [kept.put(array) for array in arrays]
    assert kept.put(arrays[3]) is futures[3]
    assert kept.put(arrays[0]) is not futures[0], "the oldest went first"
    kept.forget()
    assert kept.put(arrays[3]) is not futures[3]


def test_a_killed_worker_is_an_error_and_the_next_call_starts_another(tmp_path):
    engine = Engine()
    try:
        assert engine.call(worker_tasks.keep_file, "a.txt", b"here")
        first = engine.pid
        assert engine.is_running
        os.kill(first, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"signal 9.*Try again"):
            _call_forever(engine)
        assert not engine.is_running
        assert engine.call(worker_tasks.keep_file, "a.txt", b"here again")
        assert engine.pid != first
    finally:
        engine.close()


def test_a_worker_that_dies_while_scoring_is_its_own_sentence():
    from napari_unet.engine.scoring import iter_score

    engine = Engine()
    try:
        frames = np.repeat(np.eye(8, dtype=np.int32)[None], 100_000, axis=0)
        job = iter_score(engine, frames, frames, 1)
        while next(job) is None:
            pass
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="signal 9"):
            finish(job)
    finally:
        engine.close()


def test_a_closed_engine_starts_no_worker():
    engine = Engine()
    engine.close()
    with pytest.raises(WorkerError, match="was closed"):
        engine.client()
    assert engine.pid is None


def test_a_stream_closed_before_tls_is_a_lost_connection(engine, monkeypatch):
    def closed(*_args, **_options):
        raise ValueError("IOStream is not idle; cannot convert to SSL")

    client = engine.client()
    with monkeypatch.context() as patched:
        patched.setattr(client, "scatter", closed)
        with pytest.raises(WorkerError, match="connection to the worker was lost"):
            engine.send(b"here")
    assert engine.client() is not client


def test_another_error_is_not_taken_for_a_lost_connection(engine, monkeypatch):
    def wrong(*_args, **_options):
        raise ValueError("no such thing")

    client = engine.client()
    with monkeypatch.context() as patched:
        patched.setattr(client, "scatter", wrong)
        with pytest.raises(ValueError, match="no such thing"):
            engine.send(b"here")
    assert engine.client() is client


def test_what_a_task_prints_does_not_stop_the_worker(engine):
    for _ in range(3):
        future = engine.submit(print, "x" * 2**16)
        assert future.result(timeout=60) is None


def _call_forever(engine: Engine) -> None:
    while True:  # until the killed process is really gone
        engine.result(engine.submit(worker_tasks.keep_file, "a.txt", b"still here"))


def test_release_leaves_neither_process_nor_thread():
    before = set(threading.enumerate())
    engine = Engine()
    engine.client()
    pid = engine.pid
    engine.close()
    assert not psutil.pid_exists(pid)
    assert set(threading.enumerate()) <= before | _shared_threads()


def _shared_threads() -> set[threading.Thread]:
    """Threads of distributed that belong to the process, not to a connection."""
    names = ("IO loop", "Dask-Offload", "Profile", "AsyncProcess", "Dask-Callback")
    return {t for t in threading.enumerate() if t.name.startswith(names)}


SCRIPT = """
import os, signal, sys
import numpy as np
from napari_unet.engine.client import Engine

engine = Engine()
card = engine.card("nuclei")
job = engine.iter_segment(np.zeros((64, 64), np.uint8), card, axes="YX")
events = [type(event).__name__ for event in job]
assert events[-1] == "SampleDone", events
assert not [m for m in ("torch", "numba") if m in sys.modules], "loaded here"
print(engine.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_script_without_a_guard_works_and_a_killed_one_leaves_no_worker(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(SCRIPT)
    found = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert found.returncode == -signal.SIGKILL, found.stderr
    (pid,) = found.stdout.split()
    try:
        psutil.Process(int(pid)).wait(timeout=30)
    except psutil.NoSuchProcess:
        return
    assert not psutil.pid_exists(int(pid)) or _is_zombie(int(pid))


# A notebook's cells: no file, no __main__ guard, and a loop of the kernel's own.
KERNEL = """
from jupyter_client.manager import start_new_kernel

CELL = '''
import numpy as np
from napari_unet.engine.client import Engine

engine = Engine()
card = engine.card("nuclei")
job = engine.iter_segment(np.zeros((64, 64), np.uint8), card, axes="YX")
print([type(event).__name__ for event in job][-1])
engine.close()
'''
manager, client = start_new_kernel(kernel_name="python3")
try:
    client.execute_interactive(CELL, timeout=300)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def test_a_notebook_segments_on_a_worker():
    pytest.importorskip("ipykernel")
    found = subprocess.run(
        [sys.executable, "-c", KERNEL], capture_output=True, text=True, timeout=500
    )
    assert found.stdout.split() == ["SampleDone"], found.stdout + found.stderr


LOOP = """
import asyncio
import numpy as np
from napari_unet.engine.client import Engine

async def cell():
    with_loop = Engine()
    card = with_loop.card("nuclei")
    job = with_loop.iter_segment(np.zeros((64, 64), np.uint8), card, axes="YX")
    print([type(event).__name__ for event in job][-1])
    with_loop.close()

asyncio.run(cell())
"""


def test_a_running_event_loop_is_left_alone():
    found = subprocess.run(
        [sys.executable, "-c", LOOP], capture_output=True, text=True, timeout=500
    )
    assert found.stdout.split() == ["SampleDone"], found.stderr


def _is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_another_machine_is_reached_over_tls_only(tmp_path):
    with pytest.raises(WorkerError, match="not encrypted"):
        Engine(Compute("tcp://10.0.0.1:8786")).client()
    there = Compute("tls://10.0.0.1:8786", str(tmp_path / "ca.pem"))
    with pytest.raises(WorkerError, match="certificate authority"):
        Engine(there).client()


def test_an_address_is_used_with_the_users_certificate(tmp_path):
    """A worker of this machine, reached as if it were another's."""
    from distributed.security import Security

    from napari_unet.engine.worker_process import WorkerProcess

    security = Security.temporary()
    files = {}
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        files[name] = Path(tmp_path, f"{name}.pem")
        files[name].write_text(getattr(security, name))
    process = WorkerProcess(security)
    engine = Engine(Compute(process.address, *map(str, files.values())))
    try:
        assert engine.call(worker_tasks.keep_file, "a.txt", b"data").endswith("a.txt")
        assert engine.pid is None
    finally:
        engine.close()
        process.stop()
