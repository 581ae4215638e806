"""`napari-unet doctor`: what is installed and used, and what to do about the rest."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from napari_unet.cli.console import out

CLASHING = "napari-unet"
APT = (
    "apt-get install libglib2.0-0 libgl1 libegl1 libfontconfig1 libxkbcommon0 "
    "libdbus-1-3"
)
# Loads Qt and says which one; and how many references to None 100 calls have cost:
# PySide6 6.12.0 loses one a call, and Python before 3.12 ends when there is none left.
QT_PROBE = """
import sys
import qtpy
from qtpy.QtWidgets import QApplication
before = sys.getrefcount(None)
for _ in range(100):
    QApplication.processEvents()
print(qtpy.API_NAME, before - sys.getrefcount(None))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    subject
        What was looked at.
    state
        What was found.
    remedy
        What to do; empty if all is well.
    """

    subject: str
    state: str
    remedy: str = ""


def run_doctor() -> None:
    """Print every finding."""
    for finding in examine():
        mark = "!" if finding.remedy else " "
        out.print(f"{mark} {finding.subject:<14} {finding.state}", markup=False)
        if finding.remedy:
            out.print(f"  {'':<14} {finding.remedy}", markup=False)


def examine() -> list[Finding]:
    """Return all findings, in the order in which they matter."""
    return [
        Finding("napari-unet", f"{version('napari-unet-cells')} ({platform.system()})"),
        Finding("Python", sys.version.split()[0]),
        *examine_clash(),
        *examine_torch(),
        *examine_models(),
        examine_napari(),
        examine_qt(),
    ]


def examine_clash() -> list[Finding]:
    """Look for the other plugin that brings an import package of the same name."""
    if installed(CLASHING) is None:
        return []
    return [
        Finding(
            "clash",
            f"the package {CLASHING} {installed(CLASHING)} is installed as well; both "
            "bring `napari_unet`",
            f"pip uninstall {CLASHING}, then reinstall napari-unet-cells",
        )
    ]


def examine_torch() -> list[Finding]:
    """Look at torch and say why a GPU is not used, if one is there."""
    try:
        import torch

        from napari_unet.nn.device import choose_device
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        remedy = "pip install --force-reinstall torch: https://pytorch.org/get-started"
        return [Finding("torch", f"does not load: {reason}", remedy)]
    device = choose_device()
    name = device.type
    if name == "cuda":
        name = torch.cuda.get_device_name(device)
    threads = f"{torch.get_num_threads()} threads"
    reason, remedy = ("", "") if device.type != "cpu" else why_no_gpu()
    return [
        Finding("torch", torch.__version__),
        Finding("device", f"{name}, {threads}{reason}", remedy),
    ]


def why_no_gpu() -> tuple[str, str]:
    """Return why torch uses no GPU here, and what to do about it."""
    import torch

    gpu = nvidia_gpu()
    built = torch.version.cuda is not None
    if gpu and not built:
        return (
            f"; this torch is built without CUDA, but there is a {gpu}",
            "install the CUDA build of torch: https://pytorch.org/get-started",
        )
    if gpu:
        return (
            f"; torch cannot reach the {gpu} (built for CUDA {torch.version.cuda})",
            "update the NVIDIA driver, or install torch for your driver's CUDA",
        )
    if built and shutil.which("nvidia-smi"):
        return "; the NVIDIA driver does not answer", "reboot or reinstall the driver"
    return "; no GPU found", ""


def nvidia_gpu() -> str:
    """Return the name that the NVIDIA driver gives its first GPU; empty if none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        found = subprocess.run(  # noqa: S603  (a fixed command)
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip().split("\n")[0]


def examine_models() -> list[Finding]:
    """List the bundled models."""
    files = Path(__file__).parents[1].joinpath("models").glob("*.safetensors")
    return [Finding("models", ", ".join(sorted(p.stem for p in files)) or "none")]


def examine_napari() -> Finding:
    """Look for napari, and for a version that is known to work."""
    found = installed("napari")
    if found is None:
        return Finding(
            "napari",
            "not installed (needed for the viewer only)",
            "pip install 'napari-unet-cells[all]'",
        )
    old = tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < (0, 9)
    return Finding("napari", found, "pip install -U 'napari>=0.9'" if old else "")


def examine_qt() -> Finding:
    """Try to load Qt in a process of its own: a failure there may be fatal."""
    bindings = [n for n in ("PyQt6", "PySide6") if importlib.util.find_spec(n)]
    if not bindings:
        return Finding(
            "Qt",
            "no binding installed (needed for the viewer only)",
            "pip install 'napari-unet-cells[all]'",
        )
    tried = subprocess.run(  # noqa: S603  (a fixed command)
        [sys.executable, "-c", QT_PROBE], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        lines = tried.stderr.strip().splitlines() or ["it does not load"]
        return Finding("Qt", f"{bindings[0]} does not load: {lines[-1]}", APT)
    used, n_lost = tried.stdout.split()
    state = f"{used} {installed(used) or ''}"
    if int(n_lost) < 50:
        return Finding("Qt", state)
    return Finding(
        "Qt",
        f"{state} loses references to None; the viewer will abort after a while",
        "pip install 'PySide6<6.12', or use PyQt6, or Python 3.12 or newer",
    )


def installed(name: str) -> str | None:
    """Return the version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
