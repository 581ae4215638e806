"""Image layers need an OpenGL context, which the offscreen platform does not have."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

# The user's own preferences are neither read nor written.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")

# Bundled too, and a seventh of the default's work, where any model will do.
FAST = "nuclei-fast"
# The worker imports torch and reads the model, on a machine that may be busy.
PATIENCE = 300_000


@pytest.fixture(autouse=True)
def _no_gl_needed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.node.get_closest_marker("gui") is None:
        return
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    image = "napari._vispy.layers.image"
    monkeypatch.setattr(f"{image}.get_gl_extensions", lambda: "")
    for module in (image, "napari._vispy.layers.labels"):
        size = f"{module}.get_max_texture_sizes"
        monkeypatch.setattr(size, lambda: (16384, 2048))


@pytest.fixture(scope="session")
def one_worker() -> Iterator[Any]:
    """One worker for all widgets, as in a session with several of them open."""
    from napari_unet.engine.client import Compute
    from napari_unet.plugin.shared_engine import borrow_engine, return_engine

    user = object()
    yield borrow_engine(user, Compute())
    return_engine(user)


@pytest.fixture(scope="session")
def nuclei() -> np.ndarray:
    """20 nuclei in 192 x 208 px."""
    image, _ = simulate(Simulation(shape=(192, 208), n_cells=20, random_seed=3))
    return image


@pytest.fixture
def open_widget(make_napari_viewer, qtbot, one_worker) -> Callable[..., Any]:
    """Return a function: image -> viewer, and the widget with a small model read."""

    def make(image: Any, *, model: str = FAST, **layer: Any) -> Any:
        from napari_unet.plugin.segment_widget import SegmentWidget

        viewer = make_napari_viewer()
        viewer.add_image(image, name="image", **layer)
        widget = SegmentWidget(viewer)
        with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
            widget.form.model.set_value(model)
            viewer.window.add_dock_widget(widget, name="Segment")
        return viewer, widget

    return make


@pytest.fixture
def run_widget(qtbot) -> Callable[[Any], Any]:
    """Return a function that presses Run and waits for the end."""

    def run(widget: Any) -> Any:
        with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
            widget.progress.button.click()
        return widget.outputs

    return run


@pytest.fixture
def until_destroyed(qtbot) -> Callable[[Any], Any]:
    """Return a context manager: object -> waits until Qt has destroyed it.

    `waitSignal` then disconnects from what is no more, of which PySide6 warns.
    """

    @contextlib.contextmanager
    def wait(watched: Any) -> Iterator[None]:
        gone: list[bool] = []
        watched.destroyed.connect(lambda: gone.append(True))
        yield
        qtbot.waitUntil(lambda: bool(gone), timeout=PATIENCE)

    return wait
