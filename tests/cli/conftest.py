"""Fixtures for the tests of the shell: the real entry point, in this process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_unet.cli import main
from napari_unet.cli.report import SUMMARY
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.write import write_image, write_labels
from napari_unet.nn import checkpoint

PIXEL_SIZE = {"Y": 0.5, "X": 0.5}
Array = npt.NDArray[Any]
Run = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("napari-unet: "), self.err
        assert "Traceback" not in self.err
        return self.err.removeprefix("napari-unet: ").strip()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def model_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "load_model", cached_model)


_load_model = checkpoint.load_model


@functools.cache
def _bundled(name: str) -> checkpoint.Model:
    return _load_model(name)


def cached_model(source: str | Path, **options: Any) -> checkpoint.Model:
    if source in checkpoint.bundled_models():
        return _bundled(str(source))
    return _load_model(source, **options)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command; an error must be one line."""

    def command(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(int(stop.value.code or 0), said.out, said.err)

    return command


@functools.cache
def cells(seed: int = 0, side: int = 96) -> tuple[Array, Array]:
    """Return a simulated image and its truth."""
    simulation = Simulation(shape=(side, side), n_cells=8, random_seed=seed)
    return simulate(simulation)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A TIFF with a handful of cells."""
    path = tmp_path / "cells.tif"
    write_image(path, cells()[0], axes="YX", pixel_size=PIXEL_SIZE)
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """The true labels of `image`, in a folder of their own."""
    path = tmp_path / "truth" / "cells.tif"
    path.parent.mkdir()
    write_labels(path, cells()[1], axes="YX")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of cells: a.tif, b.tif, c.tif."""
    path = tmp_path / "images"
    path.mkdir()
    for seed, name in enumerate("abc"):
        write_image(path / f"{name}.tif", cells(seed)[0], axes="YX")
    return path


def visible(folder: Path) -> list[str]:
    """Return the names in a folder that are not hidden, but for the run's summary."""
    names = (p.name for p in folder.iterdir() if not p.name.startswith("."))
    return sorted(name for name in names if name != SUMMARY)


def hidden(folder: Path) -> list[str]:
    """Return the names in a folder that are hidden."""
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


@pytest.fixture
def listing() -> Callable[[Path], list[str]]:
    return visible


@pytest.fixture
def hidden_files() -> Callable[[Path], list[str]]:
    return hidden


@pytest.fixture
def make_cells() -> Callable[..., tuple[Array, Array]]:
    return cells


@pytest.fixture
def labels_of() -> Callable[[Path], Array]:
    """Return a function that reads the pixels of a file, without our readers."""
    import tifffile

    def read(path: Path) -> Array:
        return np.asarray(tifffile.imread(path))

    return read
