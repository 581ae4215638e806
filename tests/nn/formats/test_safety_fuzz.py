"""A short run of the fuzzer; `scripts/fuzz_checkpoints.py` alone makes a long one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "fuzz_checkpoints.py"
MUTATIONS = 200


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits of memory are set as on Linux"
)
@pytest.mark.skipif(not SCRIPT.exists(), reason="the script is not in this package")
def test_mutated_files_are_refused_or_read_as_they_are() -> None:
    command = [sys.executable, str(SCRIPT), "--mutations", str(MUTATIONS)]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert f"{MUTATIONS} mutations, 0 failures" in ran.stdout
    # The oracle is alive: some files were read, some unchanged, some refused.
    for outcome in ("refused", "unchanged", "as mutated"):
        assert re.search(outcome, ran.stdout), ran.stdout
