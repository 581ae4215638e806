"""Killed at the worst moments, training goes on as if nothing had happened.

Each moment is one process that kills itself there, as `kill -9` would: nothing is
cleaned up. All run at once, since starting torch takes most of the time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_unet as nu
from napari_unet.nn.training_state import state_path
from napari_unet.training_settings import Training

TINY = Training(
    steps=6,
    base_channels=2,
    depth=2,
    patch=32,
    batch=2,
    precision="float32",
    validate_every=0.5,
)
MOMENTS = {
    "after a step": 4,
    "half a state is written": 0,
    "the state is written, the best model is not": 3,
    "while the separation is tuned": 6,
    "all is written, the state is not removed": 6,
}
"""What happens, and the step from which training then goes on."""

SCRIPT = """
import os, signal, sys
import numpy as np
import torch
import napari_unet as nu
from napari_unet.core.training_events import StepDone
from napari_unet.nn import training, training_loop, training_state
from napari_unet.training_settings import Training

torch.set_num_threads(1)
moment, data, out, settings = sys.argv[1:]
arrays = np.load(data)
pairs = list(zip(arrays["images"], arrays["labels"]))
training_loop.SAVE_EVERY = -1.0  # after every step


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def save_half(parts, path):
    path.write_bytes(b"half of it")
    die()


def save_all(*arguments):
    save_model(*arguments)
    die()


if moment == "half a state is written":
    training_state.torch.save = save_half
elif moment == "the state is written, the best model is not":
    training_loop.Loop._write = die
elif moment == "while the separation is tuned":
    training.tune_separation = die
elif moment == "all is written, the state is not removed":
    save_model, training.save_model = training.save_model, save_all
job = nu.iter_train(pairs, out, training=Training.model_validate_json(settings))
for event in job:
    if moment == "after a step" and isinstance(event, StepDone) and event.step == 5:
        die()
"""


@pytest.fixture(scope="module")
def pairs(discs: Callable[..., Any]) -> list[tuple[Any, Any]]:
    return [discs(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def killed(
    pairs: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Start a process for each moment; return a function that waits for one of them."""
    folder = tmp_path_factory.mktemp("killed")
    images, labels = zip(*pairs, strict=True)
    np.savez(folder / "data.npz", images=images, labels=labels)
    running = {}
    for number, moment in enumerate(MOMENTS):
        out = folder / f"{number}.safetensors"
        command = [moment, folder / "data.npz", out, TINY.model_dump_json()]
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *map(str, command)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        running[moment] = out, process

    def wait(moment: str) -> Path:
        out, process = running[moment]
        _, said = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, said.decode()
        return out

    return wait


@pytest.fixture(scope="module")
def whole(
    pairs: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """What training without an interruption leads to."""
    out = tmp_path_factory.mktemp("whole") / "m.safetensors"
    nu.train(pairs, TINY, out=out)
    return nu.load_model(out)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_uninterrupted(
    pairs: list[tuple[Any, Any]],
    killed: Callable[[str], Path],
    whole: nu.Model,
    moment: str,
) -> None:
    out, first_step = killed(moment), MOMENTS[moment]
    assert state_path(out).exists() == (first_step > 0)
    job = nu.iter_train(pairs, out, training=TINY, resume=True)
    events = list(job)
    (planned,) = [e for e in events if type(e).__name__ == "Planned"]
    assert planned.step == first_step
    found = nu.load_model(out)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value), name
    assert found.recipe.scores == whole.recipe.scores
    assert found.recipe.separation == whole.recipe.separation
    assert found.recipe.training["step"] == whole.recipe.training["step"]
    assert found.recipe.training["stopped"] == "The budget was used up."
    assert not state_path(out).exists()
