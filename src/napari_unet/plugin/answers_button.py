"""Answers button: opens the questions of a checkpoint, and keeps what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_unet.plugin.answers_dialog import AnswersDialog
from napari_unet.plugin.remembered_answers import (
    Answers,
    answers_to,
    remember_answers,
)

if TYPE_CHECKING:
    from napari_unet.pipeline.model_card import ModelCard


class AnswersButton(QPushButton):
    """Asks what the chosen file does not say; `answered` when it should be read anew.

    Hidden for files that leave nothing open. For scripts: `give`.
    """

    answered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Answers…", parent)
        self.setToolTip(
            "What the file does not say of its network, what was guessed, and what "
            "else it may be."
        )
        self.dialog: AnswersDialog | None = None
        self._source = ""
        self._card: ModelCard | None = None
        self._said: dict[str, Answers] = {}
        self._asked: set[str] = set()
        self.hide()
        self.clicked.connect(self.ask)

    def answers(self, source: str) -> Answers | None:
        """Return what was said of a file, now or in an earlier session; None: nothing.

        From now on the button belongs to this file.
        """
        if source != self._source:
            self._source, self._card = source, None
            self.hide()
        found = answers_to(source) if source and source not in self._said else None
        if found is not None:
            self._said[source] = found
        return self._said.get(source)

    def choices(self, source: str) -> dict[str, str]:
        """Return the answers to a file's questions, once it was asked for."""
        said = self._said.get(source)
        return {} if said is None else dict(said.choices)

    def give(self, source: str, choices: dict[str, str]) -> None:
        """Answer, for this session."""
        self._said[source] = Answers(choices)

    def show_card(self, card: ModelCard) -> None:
        """Offer what this card leaves open; answers that it was read with are kept."""
        self._card = card
        n_guessed = sum(question.source == "guess" for question in card.questions)
        self.setText(f"Answers… ({n_guessed} guessed)" if n_guessed else "Answers…")
        self.setVisible(bool(card.questions))
        said = self._said.get(self._source)
        if said is None or not said.sha256:
            return
        if said.sha256 == card.sha256:
            remember_answers(self._source, said)
        else:  # of a file that was here before
            del self._said[self._source]

    @property
    def is_due(self) -> bool:
        """Whether the user should be asked: nothing confirms what was guessed."""
        card = self._card
        guessed = card is not None and any(q.source == "guess" for q in card.questions)
        known = self._source in self._said or self._source in self._asked
        return guessed and card is not None and bool(card.doubt) and not known

    def ask(self) -> None:
        """Show the questions; does not wait."""
        if self._card is None:
            return
        self._asked.add(self._source)
        source, card = self._source, self._card
        dialog = self.dialog = AnswersDialog(card, self)
        dialog.accepted.connect(lambda: self._on_accepted(source, card, dialog))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _on_accepted(self, source: str, card: ModelCard, dialog: AnswersDialog) -> None:
        self._said[source] = Answers(dialog.choices(), card.sha256)
        if source == self._source:
            self.answered.emit()
