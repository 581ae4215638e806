"""The napari scripts in examples/ run as they are, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

EXAMPLES = Path(__file__).parents[2] / "examples"

# Image layers need OpenGL, which the offscreen platform does not have.
WITHOUT_GL = """
import os, runpy, sys
if os.environ["QT_QPA_PLATFORM"] == "offscreen":
    import napari._vispy.layers.image as image
    import napari._vispy.layers.labels as labels
    image.get_gl_extensions = lambda: ""
    image.get_max_texture_sizes = labels.get_max_texture_sizes = lambda: (16384, 2048)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def play(tmp_path):
    """Return a function that runs an example and returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        found = subprocess.run(
            [
                sys.executable,
                "-c",
                WITHOUT_GL,
                EXAMPLES / f"{name}.py",
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    return run


@pytest.mark.gui
def test_segment_in_napari(play, tmp_path):
    out = tmp_path / "labels.tif"
    said = play("segment_in_napari", out)
    labels = tifffile.imread(out)
    n_cells = len(np.unique(labels)) - 1
    assert 110 <= n_cells <= 130
    assert f"{n_cells} cells with a lower threshold" in said
    assert "seg = nu.segment(" in said


@pytest.mark.gui
def test_train_in_napari(play, tmp_path):
    out = tmp_path / "mine.safetensors"
    said = play("train_in_napari", out, 4)
    assert said.startswith("4 steps: {")
    assert f"cells with {out}" in said
    assert out.is_file()


@pytest.mark.gui
def test_evaluate_in_napari(play, tmp_path):
    from napari_unet.io.tables import read_table

    out = tmp_path / "objects.csv"
    said = play("evaluate_in_napari", out)
    assert float(said.split("AP ")[1].split()[0]) >= 0.9
    table = read_table(out)
    assert 105 <= len(table["label"]) <= 130
    assert "false" not in table["error"].tolist()
