"""Cell segmentation with U-Nets: exact tiling, any checkpoint, one label per cell.

The public names are loaded when they are first used: importing this package loads
neither torch nor napari nor numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.core.border_weights import border_weights
    from napari_unet.core.metrics import evaluate
    from napari_unet.engine.segment_to import iter_segment_to, segment_to
    from napari_unet.errors import UNetError
    from napari_unet.io.pairing import find_pairs
    from napari_unet.io.training_data import load_pairs
    from napari_unet.io.training_image import TrainingImage
    from napari_unet.nn.checkpoint import Model, load_model, save_model
    from napari_unet.nn.formats.bioimageio_export import export_model
    from napari_unet.nn.formats.inspecting import Inspection, inspect_model
    from napari_unet.nn.training import iter_train, train
    from napari_unet.nn.unet import UNet
    from napari_unet.pipeline import Segmentation, iter_segment, segment, separate
    from napari_unet.settings import (
        Architecture,
        Credits,
        Normalization,
        Prediction,
        Recipe,
        Separation,
        Tiling,
    )
    from napari_unet.training_settings import Augmentation, Loss, Training

_HOME = {
    "Architecture": "settings",
    "Augmentation": "training_settings",
    "Loss": "training_settings",
    "Credits": "settings",
    "Inspection": "nn.formats.inspecting",
    "Model": "nn.checkpoint",
    "Normalization": "settings",
    "Prediction": "settings",
    "Recipe": "settings",
    "Segmentation": "pipeline",
    "Separation": "settings",
    "Tiling": "settings",
    "Training": "training_settings",
    "TrainingImage": "io.training_image",
    "UNet": "nn.unet",
    "UNetError": "errors",
    "border_weights": "core.border_weights",
    "evaluate": "core.metrics",
    "export_model": "nn.formats.bioimageio_export",
    "find_pairs": "io.pairing",
    "inspect_model": "nn.formats.inspecting",
    "iter_segment": "pipeline",
    "iter_segment_to": "engine.segment_to",
    "iter_train": "nn.training",
    "load_model": "nn.checkpoint",
    "load_pairs": "io.training_data",
    "save_model": "nn.checkpoint",
    "segment": "pipeline",
    "segment_to": "engine.segment_to",
    "separate": "pipeline",
    "train": "nn.training",
}

__all__ = [
    "Architecture",
    "Augmentation",
    "Credits",
    "Inspection",
    "Loss",
    "Model",
    "Normalization",
    "Prediction",
    "Recipe",
    "Segmentation",
    "Separation",
    "Tiling",
    "Training",
    "TrainingImage",
    "UNet",
    "UNetError",
    "border_weights",
    "evaluate",
    "export_model",
    "find_pairs",
    "inspect_model",
    "iter_segment",
    "iter_segment_to",
    "iter_train",
    "load_model",
    "load_pairs",
    "save_model",
    "segment",
    "segment_to",
    "separate",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version(
            "napari-unet-cells"
        )
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
