"""Corrections: what a user said of an image layer, which all widgets then know.

They are held beside the layer: its own axis labels and metadata are the user's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from napari_unet.core.axes import check_axes
from napari_unet.errors import AxesError
from napari_unet.plugin.hand_edits import behind_proxy

if TYPE_CHECKING:
    from napari.layers import Image

_AXES: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_CHANNELS: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()


class _News(QObject):
    axes_corrected = Signal()


_NEWS = _News()
# The axes of a layer were corrected.
axes_corrected = _NEWS.axes_corrected


def corrected_axes(layer: Image) -> str:
    """Return the axes as they were corrected; empty if they were not, or do not fit."""
    axes = _AXES.get(behind_proxy(layer), "")
    return axes if _fits(layer, axes) else ""


def correct_axes(layer: Image, axes: str) -> None:
    """Remember the axes of a layer; axes that do not fit it are forgotten."""
    before, itself = corrected_axes(layer), behind_proxy(layer)
    if _fits(layer, axes):
        _AXES[itself] = axes.upper()
    else:
        _AXES.pop(itself, None)
    if corrected_axes(layer) != before:
        axes_corrected.emit()


def chosen_channels(layer: Image | None) -> tuple[int, ...]:
    """Return the channels that were chosen for a layer; empty: none were."""
    return () if layer is None else _CHANNELS.get(behind_proxy(layer), ())


def choose_channels(layer: Image, channels: tuple[int, ...]) -> None:
    """Remember the channels of a layer that a model is to see."""
    _CHANNELS[behind_proxy(layer)] = channels


def _fits(layer: Image, axes: str) -> bool:
    try:
        check_axes(axes, (1,) * (layer.ndim + bool(layer.rgb)))
    except AxesError:
        return False
    return True
