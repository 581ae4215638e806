"""Shared fixtures, and the GUI plugins of pytest loaded only where Qt can start.

napari's and Qt's pytest plugins abort the whole run on a machine without the system
libraries of OpenGL. They are switched off in pyproject.toml and loaded here, once a
process of its own has shown that Qt starts; otherwise the GUI tests are skipped.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import pytest

APT = (
    "apt-get install -y --no-install-recommends libglib2.0-0 libgl1 libegl1 "
    "libfontconfig1 libxkbcommon0 libdbus-1-3"
)
PROBE = """
import sys
from qtpy.QtWidgets import QApplication
application = QApplication([])
import napari
from napari.viewer import Viewer
"""
SHARED = "NAPARI_UNET_SHARED"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Tests share the cores already: torch's threads, here and in the processes that tests
# start, would mostly wait for each other. What threads change is tested by number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# napari's colours are numba's: once drawn, numba's threads are torch's in that process,
# and probabilities depend on their number.
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


def _kernel_cache() -> Path:
    """A folder for compiled kernels that changes with any of their sources.

    numba notices that a kernel's own file has changed, but not one that it calls.
    """
    sources = Path(__file__).parents[1] / "src" / "napari_unet" / "core"
    digest = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        digest.update(path.read_bytes())
    return (
        Path(tempfile.gettempdir()) / f"napari-unet-kernels-{digest.hexdigest()[:12]}"
    )


os.environ.setdefault("NUMBA_CACHE_DIR", str(_kernel_cache()))


def _marker() -> Path:
    """A file that says that Qt starts here; another one when packages change."""
    changed = Path(sysconfig.get_path("purelib")).stat().st_mtime_ns
    text = f"{sys.executable} {os.environ['QT_QPA_PLATFORM']} {changed}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"napari-unet-qt-{digest}"


def _why_no_gui() -> str:
    """Return why GUI tests cannot run here; empty if they can."""
    marker = _marker()
    if marker.exists() and os.environ.get("NAPARI_UNET_GUI") != "required":
        return ""
    try:
        found = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return "Qt did not start within two minutes"
    if found.returncode == 0:
        marker.touch()
        return ""
    lines = found.stderr.strip().splitlines() or ["Qt does not start"]
    if "No module named" in lines[-1]:
        return f"{lines[-1]}; install it with: pip install -e '.[all,test]'"
    return f"{lines[-1][:120]}; it would run after: {APT}"


NO_GUI = _why_no_gui()


def pytest_configure(config: pytest.Config) -> None:
    if NO_GUI and os.environ.get("NAPARI_UNET_GUI") == "required":
        raise pytest.UsageError(f"The GUI tests cannot run here: {NO_GUI}")
    if not NO_GUI:
        for name in ("pytestqt.plugin", "napari.utils._testsupport"):
            if not config.pluginmanager.has_plugin(name):
                config.pluginmanager.import_plugin(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = os.environ.get(SHARED)
    for item in items:
        if NO_GUI and item.get_closest_marker("gui"):
            item.add_marker(pytest.mark.skip(reason=NO_GUI))
        if not folder and item.get_closest_marker("shared"):
            reason = f"{SHARED} does not name the folder of real images"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def shared() -> Path:
    """The folder of real images and checkpoints."""
    return Path(os.environ[SHARED])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20151505)
