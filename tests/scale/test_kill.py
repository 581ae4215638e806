"""Runs that are killed at any moment, also half way through a write, are resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_killed_and_resumed() -> None:
    """The script itself compares labels with those of an undisturbed run."""
    given = ["--kills", "5", "--model", "nuclei-fast", "--json"]
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *given],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["kills"] == 5
    assert found["half_written"] >= 1
    assert found["finished"] >= 1
    assert found["objects"] > 20
    assert any("survey" in state for state in found["states"])
