"""Real processes: exit codes, one line on stderr, Ctrl-C, kill, and what is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "napari_unet.cli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# Begins like the command, and stops between two images or two files.
STOPPED = """
import os, signal, sys
from napari_unet.cli import batch, main
from napari_unet.io import atomic

def at_b(whole):
    def run(*arguments, **more):
        if any(getattr(a, "name", "") == "b" for a in arguments):
            os.kill(os.getpid(), signal.{signal})
        return whole(*arguments, **more)
    return run

{where} = at_b({where})
main(sys.argv[1:])
"""


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
    )


def stopped(*arguments: object, signal: str, where: str) -> int:
    code = STOPPED.format(signal=signal, where=where)
    given = [sys.executable, "-c", code, *map(str, arguments)]
    found = subprocess.run(
        given, capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert "Traceback" not in found.stderr
    return found.returncode


def test_success_and_failure(image: Path, tmp_path: Path) -> None:
    done = command("segment", image, "-o", tmp_path / "labels.tif")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"-> {tmp_path / 'labels.tif'}\n")
    failed = command("segment", tmp_path / "no.tif", "-o", tmp_path / "labels.tif")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr == (
        f"napari-unet: {tmp_path / 'no.tif'} does not exist. Check the spelling and "
        "the current folder.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_and_kill_leave_whole_files_and_resume(
    folder: Path, tmp_path: Path, listing, hidden_files
) -> None:
    out = tmp_path / "out"
    given = ("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    cancelled = stopped(*given, signal="SIGINT", where="batch.segment_source")
    assert cancelled == 130
    assert listing(out) == ["a.tif"]
    killed = stopped(*given, "--resume", signal="SIGKILL", where="batch.write_outputs")
    assert killed == -signal.SIGKILL
    assert listing(out) == ["a.tif"]
    before = (out / "a.tif").read_bytes()
    assert command(*given, "--resume").returncode == 0
    assert listing(out) == ["a.tif", "b.tif", "c.tif"]
    assert (out / "a.tif").read_bytes() == before
    assert hidden_files(out) == [".napari-unet-journal.jsonl"]


def loaded_by(code: str) -> set[str]:
    """Return the heavy packages that are in memory after `code`."""
    heavy = ("torch", "numba", "napari", "dask", "qtpy", "scipy", "skimage", "zarr")
    loaded = f"[n for n in {heavy!r} if n in sys.modules]"
    ask = f"\nimport json, sys\nprint(json.dumps({loaded}))"
    found = subprocess.run(
        [sys.executable, "-c", code + ask],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(found.stdout.splitlines()[-1]))


HELP = """
from napari_unet.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import napari_unet; dir(napari_unet)",
        "import napari_unet.cli.app",
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["segment", "--help"]),
        "import napari_unet as nu; nu.Separation(); nu.Tiling(); nu.UNetError",
    ],
)
def test_what_is_light_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()
