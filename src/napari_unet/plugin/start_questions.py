"""Start questions: what the model that training goes on from leaves open is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unet.errors import UNetError
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
    file cannot be read; `given_up`, that what waited for it will not come.

    Parameters
    ----------
    button
        Shows the questions; they open by themselves where nothing confirms a guess.
    """

    failed = Signal(object)
    given_up = Signal()

    def __init__(self, button: AnswersButton, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._button = button
        self._job = EngineJob(self)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self._on_failed)
        self._error: UNetError | None = None
        self._reading = False
        self._then: Callable[[], None] | None = None
        self._again: Callable[[], None] = self.cancel

    def read(self, engine: Callable[[], Engine], source: str) -> None:
        """Read what was chosen; a new network or a bundled one asks nothing."""
        self._job.cancel()
        self._error, self._reading = None, False
        answers = self._button.answers(source)
        if not source or not is_there(source):
            self._go_on()
            return
        self._again = functools.partial(self.read, engine, source)
        where, self._reading = engine(), True

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
        UNetError
            Why the file could not be read.
        """
        error = self._error
        if error is not None:
            self._again()
            raise error

    @property
    def is_awaited(self) -> bool:
        """Whether something waits until the file is read."""
        return self._then is not None

    def when_read(self, go_on: Callable[[], None]) -> bool:
        """Call `go_on` as soon as the file is read.

        Returns False, and does nothing, where nothing is being read. Who waits is asked
        nothing: guesses count.
        """
        if self._reading:
            self._then = go_on
        return self._reading

    def give_up(self) -> None:
        """Let nothing wait any more; the file is still read."""
        waited, self._then = self.is_awaited, None
        if waited:
            self.given_up.emit()

    def cancel(self) -> None:
        """Forget what is being read, and who waits for it."""
        self._reading, self._then = False, None
        self._job.cancel()

    def _go_on(self) -> None:
        go_on, self._then = self._then, None
        if go_on is not None:
            go_on()

    def _on_failed(self, error: UNetError) -> None:
        self._error, self._reading = error, False
        self.failed.emit(error)
        self.give_up()

    def _on_done(self, card: ModelCard) -> None:
        self._reading = False
        self._button.show_card(card)
        if self._button.is_due and not self.is_awaited:
            self._button.ask()
        self._go_on()
