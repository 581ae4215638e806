"""Killed at the worst moments, training goes on as if nothing had happened.

Each moment is one process that kills itself there, as `kill -9` would: nothing is
cleaned up. All are forked from one, since starting torch takes most of the time.
"""

from __future__ import annotations

import functools
import json
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
import json, os, signal, sys, traceback
import numpy as np
import torch
import napari_unet as nu
from napari_unet.core.training_events import StepDone
from napari_unet.nn import training, training_loop, training_state
from napari_unet.training_settings import Training

torch.set_num_threads(1)
data, settings, moments = sys.argv[1:]
arrays = np.load(data)
pairs = list(zip(arrays["images"], arrays["labels"]))
training_loop.SAVE_EVERY = -1.0  # after every step


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def save_half(parts, file):
    file.write(b"half of it")
    file.flush()
    die()


def save_all(*arguments):
    save_model(*arguments)
    die()


def train(moment, out):
    if moment == "half a state is written":
        training_state.torch.save = save_half
    elif moment == "the state is written, the best model is not":
        training_loop.Loop._write = die
    elif moment == "while the separation is tuned":
        training.tune_separation = die
    elif moment == "all is written, the state is not removed":
        training.save_model = save_all
    job = nu.iter_train(pairs, out, training=Training.model_validate_json(settings))
    for event in job:
        if moment == "after a step" and isinstance(event, StepDone) and event.step == 5:
            die()


save_model, children = training.save_model, {}
for moment, out in json.loads(moments).items():
    children[moment] = os.fork()
    if children[moment] == 0:
        try:
            train(moment, out)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
statuses = {moment: os.waitpid(pid, 0)[1] for moment, pid in children.items()}
print(json.dumps({m: os.waitstatus_to_exitcode(s) for m, s in statuses.items()}))
"""


@pytest.fixture(scope="module")
def pairs(discs: Callable[..., Any]) -> list[tuple[Any, Any]]:
    return [discs(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def whole(
    pairs: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """What training without an interruption leads to."""
    out = tmp_path_factory.mktemp("whole") / "m.safetensors"
    nu.train(pairs, TINY, out=out)
    return nu.load_model(out)


@pytest.fixture(scope="module")
def killed(
    pairs: list[tuple[Any, Any]],
    whole: nu.Model,  # first: it leaves compiled kernels behind for all of them
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Start a process for each moment; return a function that waits for their ends."""
    folder = tmp_path_factory.mktemp("killed")
    images, labels = zip(*pairs, strict=True)
    np.savez(folder / "data.npz", images=images, labels=labels)
    outs = {m: folder / f"{n}.safetensors" for n, m in enumerate(MOMENTS)}
    given = [TINY.model_dump_json(), json.dumps(outs, default=str)]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder / "data.npz"), *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said = functools.cache(lambda: process.communicate(timeout=300))

    def wait(moment: str) -> Path:
        ends, errors = said()
        assert json.loads(ends)[moment] == -signal.SIGKILL, errors.decode()
        return outs[moment]

    return wait


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
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
