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


@pytest.mark.gui
def test_segment_in_napari(tmp_path):
    out = tmp_path / "labels.tif"
    command = [sys.executable, "-c", WITHOUT_GL]
    found = subprocess.run(
        [*command, EXAMPLES / "segment_in_napari.py", out],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    labels = tifffile.imread(out)
    n_cells = len(np.unique(labels)) - 1
    assert 110 <= n_cells <= 130
    assert f"{n_cells} cells with a lower threshold" in found.stdout
    assert "seg = nu.segment(" in found.stdout
