"""Chosen image: the layer of a form, with axes and channels as a user corrects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_unet.errors import SettingsError
from napari_unet.plugin.channel_box import offer_of
from napari_unet.plugin.corrections import (
    axes_corrected,
    choose_channels,
    chosen_channels,
    correct_axes,
    corrected_axes,
)
from napari_unet.plugin.layers import LayerImage, read_layer

if TYPE_CHECKING:
    from napari_unet.pipeline.model_card import ModelCard
    from napari_unet.plugin.segment_form import SegmentForm


class ChosenImage(QObject):
    """The image of a form; what is corrected there is remembered with the layer.

    `switched` says that it is another layer, `corrected` that another widget found out
    about its axes.

    Parameters
    ----------
    form
        Where it is chosen.
    parent
        Owner.
    """

    switched = Signal()
    corrected = Signal()

    def __init__(self, form: SegmentForm, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._form = form
        self.layer: Any = None
        self._ndim = 0
        form.changed.connect(self._remember_channels)

    def attach(self) -> None:
        """Follow the layers, and what other widgets find out about them."""
        self._form.layer.attach()
        axes_corrected.connect(self._on_axes_corrected)

    def detach(self) -> None:
        """Stop following."""
        self._form.layer.detach()
        axes_corrected.disconnect(self._on_axes_corrected)

    def look(self) -> None:
        """Take what stands in the form now: another layer, or other axes."""
        layer, form = self._form.layer.layer(), self._form
        ndim = 0 if layer is None else layer.ndim
        if layer is not self.layer or ndim != self._ndim:
            self.layer, self._ndim = layer, ndim
            form.axes.set_value("" if layer is None else read_layer(layer).axes)
            form.channels.set_value(chosen_channels(layer))
            self.switched.emit()
        elif layer is not None and form.axes.value() != read_layer(layer).axes:
            correct_axes(layer, form.axes.value())

    def read(self) -> LayerImage:
        """Return what the layer holds, with the axes of the form; empty: guessed.

        Raises
        ------
        SettingsError
            If there is no layer.
        """
        if self.layer is None:
            raise SettingsError(
                "There is no image.",
                "Open one, or choose File > Open Sample > U-Net Cells.",
            )
        return read_layer(self.layer, self._form.axes.value() or None)

    def offer_channels(self, card: ModelCard | None) -> None:
        """Show which channels there are for a model.

        Parameters
        ----------
        card
            Of the model; None: there is none, or it is not read.
        """
        channels, image = self._form.channels, self.read()
        n = 0 if card is None else card.recipe.architecture.in_channels
        channels.offer(offer_of(self.layer, image, n) if n else None)

    def _remember_channels(self) -> None:
        if self.layer is not None:
            choose_channels(self.layer, self._form.channels.value())

    def _on_axes_corrected(self, _: object = None) -> None:
        axes = "" if self.layer is None else corrected_axes(self.layer)
        if axes and axes != self._form.axes.value():
            self._form.axes.set_value(axes)
            self.corrected.emit()
