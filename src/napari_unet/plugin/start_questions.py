"""Start questions: what the model that training goes on from leaves open is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unet.errors import CheckpointError, UNetError
from napari_unet.plugin.answers_button import AnswersButton
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.model_paths import is_there
from napari_unet.plugin.warm_model import read_answered

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard


class StartQuestions(QObject):
    """Reads a file on the worker; its questions are the button's.

    Answers are remembered, and a training takes them from there. `failed` says why a
    file cannot be read.

    Parameters
    ----------
    button
        Shows the questions; they open by themselves where nothing confirms a guess.
    """

    failed = Signal(object)

    def __init__(self, button: AnswersButton, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._button = button
        self._job = EngineJob(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self._on_failed)
        self._error: UNetError | None = None
        self._again: Callable[[], None] = self.cancel

    def read(self, engine: Callable[[], Engine], source: str) -> None:
        """Read what was chosen; a new network or a bundled one asks nothing."""
        self._job.cancel()
        self._error = None
        answers = self._button.answers(source)
        if not source or not is_there(source):
            return
        self._again = functools.partial(self.read, engine, source)
        where = engine()

        def card() -> ModelCard:
            if answers is None:
                return where.card(source)
            return read_answered(where, source, answers)

        self._job.start_on(where, once(card))

    def check(self) -> None:
        """Raise the reason why training must not begin yet.

        A file that could not be read is read again: the worker may be another by now.

        Raises
        ------
        CheckpointError
            If the file is still being read.
        UNetError
            Why it could not be read.
        """
        error = self._error
        if error is not None:
            self._again()
            raise error
        if self._job.engine is not None:
            raise CheckpointError(
                "The model to start from is still being read.", "Wait a moment."
            )

    def cancel(self) -> None:
        """Forget what is being read."""
        self._job.cancel()

    def _on_failed(self, error: UNetError) -> None:
        self._error = error
        self.failed.emit(error)

    def _on_done(self, card: ModelCard) -> None:
        self._button.show_card(card)
        if self._button.is_due:
            self._button.ask()
