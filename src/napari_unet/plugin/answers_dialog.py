"""Answers dialog: what a checkpoint does not say, what was guessed, what may be."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_unet.pipeline.model_card import ModelCard
from napari_unet.pipeline.open_questions import Question
from napari_unet.plugin.question_words import asked, meaning, title

ABOUT = (
    "{name} holds weights, but not all of the network around them. Where you know the "
    "code that it was trained with, answer; what you leave as it is stays {stays}. A "
    "wrong answer gives worse cells, and no error."
)
SIZE = (720, 640)

WHY = {"guess": "Guessed: {}.", "known": "Known.", "choice": "Your answer."}


class AnswersDialog(QDialog):
    """One line for each open question; `choices` are the answers given."""

    def __init__(self, card: ModelCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("What this file does not say")
        self.boxes: dict[str, AnswerBox] = {}
        rows = QVBoxLayout(self)
        guesses = any(question.source == "guess" for question in card.questions)
        stays = "a guess" if guesses else "as it is known"
        rows.addWidget(
            _text(ABOUT.format(name=escape(Path(card.source).name), stays=stays))
        )
        if card.doubt:
            rows.addWidget(_text(f"<i>{escape(card.doubt)}</i>"))
        rows.addWidget(_scrolled(self._table(card.questions)), 1)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        rows.addWidget(buttons)
        self.resize(*SIZE)

    def choices(self) -> dict[str, str]:
        """Return the answers given; what is left to the reader is not among them."""
        given = {name: box.value() for name, box in self.boxes.items()}
        return {name: value for name, value in given.items() if value}

    def _table(self, questions: Sequence[Question]) -> QWidget:
        inside = QWidget()
        table = QGridLayout(inside)
        table.setColumnStretch(0, 2)
        table.setColumnStretch(1, 3)
        table.setVerticalSpacing(2)
        for row, question in enumerate(questions):
            box = self.boxes[question.name] = AnswerBox(question)
            words = f"<b>{title(question.name)}</b><br>{_small(asked(question.name))}"
            label = _text(words)
            label.setToolTip(box.toolTip())
            why = _text(_small(WHY[question.source].format(escape(question.evidence))))
            table.addWidget(label, 3 * row, 0, 2, 1)
            table.addWidget(box, 3 * row, 1)
            table.addWidget(why, 3 * row + 1, 1)
            table.setRowMinimumHeight(3 * row + 2, 8)
        table.setRowStretch(table.rowCount(), 1)
        return inside


class AnswerBox(QComboBox):
    """The answers to one question, with what they mean; the first leaves it open."""

    def __init__(self, question: Question, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(24)
        self.addItem(_left_open(question), "")
        for answer in question.options:
            self.addItem(_told(question.name, answer), answer)
        if question.source == "choice":
            self._choose(question.answer)
        tip = f"{question.name} in choices and --assume."
        if question.example:
            self.setEditable(True)
            self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            tip += f" Another answer can be typed, such as {question.example}."
        self.setToolTip(tip)

    def value(self) -> str:
        """Return the answer; empty: it is left to the reader."""
        index = self.findText(self.currentText())
        return str(self.itemData(index) if index >= 0 else self.currentText().strip())

    def _choose(self, answer: str) -> None:
        if self.findData(answer) < 0:
            self.addItem(answer, answer)
        self.setCurrentIndex(self.findData(answer))


def _left_open(question: Question) -> str:
    """Return the text of the entry that gives no answer."""
    if question.source == "choice":
        return "(no answer)"
    return f"({question.source}) {_told(question.name, question.answer)}"


def _told(question: str, answer: str) -> str:
    means = meaning(question, answer)
    return f"{answer}: {means}" if means else answer


def _small(text: str) -> str:
    """Return text in a smaller size."""
    return f"<small>{text}</small>"


def _text(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def _scrolled(inside: QWidget) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    return scroll
