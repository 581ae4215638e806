"""Warm model: the chosen model read on the worker, and made ready before Run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unet.engine import worker_tasks
from napari_unet.engine.worker_tasks import NetworkUse
from napari_unet.errors import CheckpointError, UNetError
from napari_unet.plugin.job import Job, once
from napari_unet.settings import Prediction

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard


class WarmModel(QObject):
    """The card of the chosen model; `loaded` carries it, `failed` the reason.

    Reading starts when a model is chosen. The first tile's costs (kernels, compilation)
    are paid on the worker right after, while the user still looks at the card.
    """

    loaded = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.card: ModelCard | None = None
        self.error: UNetError | None = None
        self._expected = self.is_asked = False
        self._job = Job(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self._on_failed)

    @property
    def is_loading(self) -> bool:
        """Whether neither a card nor an error is there yet."""
        return self._expected and self.card is None and self.error is None

    def expect(self) -> None:
        """Say that a model will be read in a moment."""
        self._expected, self.is_asked = True, False
        self.card = self.error = None

    def require(self) -> ModelCard:
        """Return the card.

        Raises
        ------
        UNetError
            The reason why there is none.
        """
        if self.card is None:
            raise self.error or CheckpointError(
                "The model is not read yet.", "Wait a moment."
            )
        return self.card

    def load(self, engine: Engine, source: str, device: str = "auto") -> None:
        """Read another model; an empty source: none."""
        self.expect()
        self.is_asked = True
        if not source:
            self.cancel()
            return

        def read() -> ModelCard:
            card = engine.card(source)
            use = NetworkUse.of(card, Prediction(), device)
            engine.start(worker_tasks.warm_up, use)
            return card

        self._job.start(once(read))

    def cancel(self) -> None:
        """Forget what is being read."""
        self._expected = False
        self._job.cancel()

    def _on_done(self, card: ModelCard) -> None:
        self.card = card
        self.loaded.emit(card)

    def _on_failed(self, error: UNetError) -> None:
        self.error = error
        self.failed.emit(error)
