"""The test of a package: bioimageio.core's own, in a process that cannot see ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from napari_unet.errors import CheckpointError

# Our package is hidden: what the test finds, anybody without it will find.
PROGRAM = """
import json, sys
sys.modules["napari_unet"] = None
from bioimageio.core import test_model
summary = test_model(sys.argv[1], devices=["cpu"])
details = [
    {
        "name": detail.name,
        "status": detail.status,
        "errors": [error.msg for error in detail.errors],
        "warnings": [
            f"{'.'.join(map(str, warning.loc))}: {warning.msg}"
            for warning in detail.warnings
            if warning.severity > 20
        ],
    }
    for detail in summary.details
]
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump({"status": summary.status, "details": details}, file)
"""
SECONDS = 3600


@dataclass(frozen=True)
class Checked:
    """What bioimageio.core says of a package.

    Parameters
    ----------
    passed
        Whether it may be shared.
    tests
        One line for each test, with what it found wrong.
    warnings
        What bioimage.io would like better, one line each.
    """

    passed: bool
    tests: tuple[str, ...]
    warnings: tuple[str, ...]


def check_package(package: Path, folder: Path) -> Checked:
    """Run bioimageio.core's test of a package in a fresh process.

    Parameters
    ----------
    package
        Zip or folder.
    folder
        An existing folder for what the test writes.

    Raises
    ------
    CheckpointError
        If the test cannot be run at all.
    """
    report = folder / "report.json"
    environment = {**os.environ, "BIOIMAGEIO_CACHE_PATH": str(folder / "cache")}
    try:
        ran = subprocess.run(  # noqa: S603  (this interpreter, our program)
            [sys.executable, "-c", PROGRAM, str(package), str(report)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(
            f"The test of the package took longer than {SECONDS} s.",
            "Export on a faster machine.",
        ) from None
    if not report.is_file():
        said = (ran.stderr.strip().splitlines() or ["no word"])[-1]
        raise CheckpointError(
            f"bioimageio.core could not test the package ({said}).",
            "Check its installation: pip install -U 'napari-unet-cells[bioimageio]'.",
        )
    return _read(json.loads(report.read_text(encoding="utf-8")))


def _read(report: dict[str, object]) -> Checked:
    details = report["details"]
    tests, warnings = [], []
    for detail in details if isinstance(details, list) else []:
        errors = " ".join(" ".join(detail["errors"]).split())
        tests.append(f"{detail['status']}: {detail['name']} {errors}".strip())
        warnings += [" ".join(text.split()) for text in detail["warnings"]]
    return Checked(report["status"] == "passed", tuple(tests), tuple(warnings))
