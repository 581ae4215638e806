"""Chosen model: what the form names is read on the worker, and shown in the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_unet.plugin.model_chooser import NO_MODEL
from napari_unet.plugin.preferences import read_preferences
from napari_unet.plugin.trust import Untrusted, ask
from napari_unet.plugin.warm_model import WarmModel

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard
    from napari_unet.plugin.segment_form import SegmentForm


class ChosenModel(WarmModel):
    """The model of a form; its card, or why there is none, is shown beneath.

    Parameters
    ----------
    form
        Where it is chosen, and what its file leaves open is answered.
    parent
        Owner; asks whether code in a file may run.
    """

    def __init__(self, form: SegmentForm, parent: QWidget) -> None:
        super().__init__(parent)
        self._form, self._widget = form, parent
        self.question: Any = None
        self.loaded.connect(self._show)
        self.failed.connect(form.model.show_error)
        self.untrusted.connect(self._ask)

    @property
    def is_none(self) -> bool:
        """Whether the image holds probabilities, and no model is needed."""
        return self._form.model.value() == NO_MODEL

    def read(self, engine: Engine) -> None:
        """Read what is chosen now; `loaded` or `failed` follows, if it is a model."""
        form, source = self._form, "" if self.is_none else self._form.model.value()
        device = read_preferences().device
        self.load(engine, source, device, form.answers.answers(source))
        if source:
            form.model.show_loading()
        else:
            form.model.show_card(None)

    def _show(self, card: ModelCard) -> None:
        self._form.model.show_card(card)
        self._form.answers.show_card(card)

    def _ask(self, found: Untrusted) -> None:
        self.question = ask(self._widget, found, self._trust)

    def _trust(self, found: Untrusted) -> None:
        self._form.model.show_loading()
        self.trust(found)
