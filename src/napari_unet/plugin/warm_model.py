"""Warm model: the chosen model read on the worker, and made ready before Run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unet.engine import worker_tasks
from napari_unet.engine.worker_tasks import NetworkUse
from napari_unet.errors import (
    CheckpointError,
    DeviceError,
    UNetError,
    UntrustedError,
)
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.remembered_answers import Answers
from napari_unet.plugin.trust import Untrusted, look_into
from napari_unet.settings import Prediction

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard


class WarmModel(QObject):
    """The card of the chosen model; `loaded` carries it, `failed` the reason.

    `untrusted` carries an `Untrusted`, after `failed`: with `trust` it is read again.

    Reading starts when a model is chosen. The first tile's costs (kernels, compilation)
    are paid on the worker right after, while the user still looks at the card.
    """

    loaded = Signal(object)
    failed = Signal(object)
    untrusted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.card: ModelCard | None = None
        self.error: UNetError | None = None
        self._expected = self.is_asked = False
        self._trusted: dict[str, str] = {}
        self._job = EngineJob(self)
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

    def load(
        self,
        engine: Engine,
        source: str,
        device: str = "auto",
        answers: Answers | None = None,
    ) -> None:
        """Read another model, with answers to what it leaves open.

        An empty source: none.
        """
        self.expect()
        self.is_asked = True
        if not source:
            self.cancel()
            return

        def read() -> ModelCard | Untrusted:
            try:
                card = self._read(engine, source, answers)
            except UntrustedError as error:
                if engine.compute.address:
                    raise
                return engine.call(look_into, source, error)
            _check_device(engine, device)
            use = NetworkUse.of(card, Prediction(), device)
            engine.start(worker_tasks.warm_up, use)
            return card

        self._again = functools.partial(self.load, engine, source, device, answers)
        self._job.start_on(engine, once(read))

    def trust(self, found: Untrusted) -> None:
        """Read a file again, whose own code may run now, until napari is closed."""
        self._trusted[found.source] = found.sha256
        self._again()

    def _read(self, engine: Engine, source: str, answers: Answers | None) -> ModelCard:
        if source in self._trusted:
            return engine.call(
                worker_tasks.describe_trusted, source, self._trusted[source]
            )
        if answers is None:
            return engine.card(source)
        return read_answered(engine, source, answers)

    def cancel(self) -> None:
        """Forget what is being read."""
        self._expected = False
        self._job.cancel()

    def _on_done(self, found: ModelCard | Untrusted) -> None:
        if isinstance(found, Untrusted):
            self._on_failed(found.error)
            self.untrusted.emit(found)
            return
        self.card = found
        self.loaded.emit(found)

    def _on_failed(self, error: UNetError) -> None:
        self.error = error
        self.failed.emit(error)


def _check_device(engine: Engine, device: str) -> None:
    """Raise before Run if the device of the preferences is not there."""
    if device == "auto":
        return
    try:
        engine.call(worker_tasks.check_device, device)
    except DeviceError as error:
        raise DeviceError(
            error.problem,
            "Choose another one in Preferences; Doctor says why a GPU is not seen.",
        ) from None


def read_answered(engine: Engine, source: str, answers: Answers) -> ModelCard:
    """Read a model with what was said of it, unless the file is another by now."""
    try:
        card = engine.card(source, choices=answers.choices)
        if answers.sha256 in ("", card.sha256):
            return card
    except CheckpointError:
        if not answers.sha256 or engine.card(source).sha256 == answers.sha256:
            raise
    return engine.card(source)
