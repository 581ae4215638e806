"""Pipeline: an image and a model in, one label per cell out.

The friendly layer: guesses are made here, and every guess becomes a note. Names are
loaded when first used: planning and reading need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.pipeline.options import Options
    from napari_unet.pipeline.result import Segmentation
    from napari_unet.pipeline.segmenting import iter_segment, segment
    from napari_unet.pipeline.separating import separate

_HOME = {
    "Options": "options",
    "Segmentation": "result",
    "iter_segment": "segmenting",
    "segment": "segmenting",
    "separate": "separating",
}

__all__ = ["Options", "Segmentation", "iter_segment", "segment", "separate"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
