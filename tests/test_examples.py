"""The examples run as they are, without a display, and say what they promise."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def play(capsys, monkeypatch):
    """Return a function that runs an example and returns what it prints."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_is_short_and_tested():
    scripts = sorted(EXAMPLES.glob("*.py"))
    here = Path(__file__)
    tested = here.read_text() + (here.parent / "plugin" / here.name).read_text()
    for script in scripts:
        assert script.read_text().count("\n") <= 40
        assert f"def test_{script.stem}(" in tested


def test_segment_image(play, tmp_path):
    said = play("segment_image")
    assert 15 <= int(said.split()[0]) <= 25
    image = np.zeros((64, 64), np.uint8)
    image[20:40, 20:40] = 200
    tifffile.imwrite(tmp_path / "image.tif", image)
    play("segment_image", str(tmp_path / "image.tif"), str(tmp_path / "labels.tif"))
    labels = tifffile.imread(tmp_path / "labels.tif")
    assert (labels.shape, labels.dtype) == ((64, 64), np.int32)


def test_separate_again(play):
    said = play("separate_again")
    assert said.endswith("equal to the labels of segment: True\n")
    numbers = [int(n) for n in re.findall(r": (\d+) objects", said)]
    assert len(numbers) == 4
    assert all(10 <= n <= 30 for n in numbers)


def test_evaluate_labels(play):
    said = play("evaluate_labels")
    ap = [float(value) for value in re.findall(r"AP at IoU [\d.]+: ([\d.]+)", said)]
    assert len(ap) == 10
    assert ap == sorted(ap, reverse=True)
    assert ap[0] > 0.8
