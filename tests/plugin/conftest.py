"""Image layers need an OpenGL context, which the offscreen platform does not have."""

from __future__ import annotations

import os

import pytest


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
