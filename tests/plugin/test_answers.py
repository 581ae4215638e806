"""What a checkpoint does not say is asked, and the answers reach all that is made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qtpy.QtWidgets import QLabel

import napari_unet as nu
from napari_unet.nn.formats.families import FAMILIES
from napari_unet.pipeline.model_card import card_of
from napari_unet.pipeline.open_questions import Question
from napari_unet.plugin.answers_dialog import AnswerBox
from napari_unet.plugin.question_words import QUESTIONS, meaning
from napari_unet.plugin.remembered_answers import (
    Answers,
    answers_to,
    remember_answers,
)
from napari_unet.plugin.segment_choice import SegmentChoice

pytestmark = pytest.mark.gui

PATIENCE = 60_000
CHOICES = {"padding": "reflect", "pooling": "average"}


def network(n_out: int = 3) -> torch.nn.Module:
    """A U-Net of one level, without anything that would confirm a guess."""
    torch.manual_seed(0)

    def block(a: int, b: int) -> torch.nn.Sequential:
        first, second = (torch.nn.Conv2d(n, b, 3, padding=1) for n in (a, b))
        relu = torch.nn.ReLU()
        return torch.nn.Sequential(first, relu, second, relu)

    parts = {
        "enc": block(1, 4),
        "deep": block(4, 8),
        "up": torch.nn.ConvTranspose2d(8, 4, 2, stride=2),
        "dec": block(8, 4),
        "out": torch.nn.Conv2d(4, n_out, 1),
    }
    return torch.nn.ModuleDict(parts)


@pytest.fixture
def foreign(tmp_path):
    """The path of its weights."""
    path = tmp_path / "theirs.pth"
    torch.save(network().state_dict(), path)
    return path


def choose(widget, qtbot, path) -> None:
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.form.model.set_value(str(path))


def answer(widget, qtbot, choices) -> None:
    """Pick in the dialog that is open, and accept it."""
    dialog = widget.form.answers.dialog
    for name, value in choices.items():
        box = dialog.boxes[name]
        box.setCurrentIndex(box.findData(value))
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        dialog.accept()


def test_answers_reach_the_labels_the_script_and_the_next_session(
    open_widget, run_widget, qtbot, nuclei, foreign
):
    _, widget = open_widget(nuclei)
    button = widget.form.answers
    assert button.isHidden(), "our own models leave nothing open"
    choose(widget, qtbot, foreign)
    assert button.dialog.isVisible(), "nothing in the file confirms a guess"
    padding = button.dialog.boxes["padding"]
    assert padding.currentText().startswith("(guess) same: zeros")
    said = [label.text() for label in button.dialog.findChildren(QLabel)]
    assert any("Guessed: weights agree by" in text for text in said)
    assert padding.findText("reflect: the image, mirrored") > 0
    answer(widget, qtbot, CHOICES)
    assert dict(widget.card.choices) == CHOICES
    assert widget.value().choices == CHOICES
    assert "padding reflect" in widget.form.model.card.text()
    outputs = run_widget(widget)
    model = nu.load_model(foreign, choices=CHOICES)
    expected = nu.segment(nuclei, model, axes="YX")
    np.testing.assert_array_equal(outputs.probabilities, expected.probabilities)
    assert f"choices={CHOICES}" in widget.copy_as_python()

    _, later = open_widget(nuclei)
    choose(later, qtbot, foreign)
    assert dict(later.card.choices) == CHOICES
    assert later.form.answers.dialog is None, "asked once"
    later.form.answers.click()
    boxes = later.form.answers.dialog.boxes
    assert later.form.answers.dialog.choices() == CHOICES
    boxes["padding"].setCurrentIndex(0)
    answer(later, qtbot, {})
    assert dict(later.card.choices) == {"pooling": "average"}


def test_who_does_not_know_leaves_the_guesses(open_widget, qtbot, nuclei, foreign):
    _, widget = open_widget(nuclei)
    choose(widget, qtbot, foreign)
    widget.form.answers.dialog.reject()
    assert widget.card.choices == ()
    assert "confirm what was assumed" in widget.form.model.card.text()
    widget.form.answers.dialog = None
    choose(widget, qtbot, "nuclei-fast")
    choose(widget, qtbot, foreign)
    assert widget.form.answers.dialog is None, "asked once"
    assert answers_to(str(foreign)) is None


def test_an_answer_that_does_not_fit_is_told_and_can_be_changed(
    open_widget, qtbot, nuclei, foreign
):
    _, widget = open_widget(nuclei)
    choose(widget, qtbot, foreign)
    button = widget.form.answers
    button.dialog.boxes["activation"].setEditText("leaky_relu_0.3.1")
    with qtbot.waitSignal(widget.failed, timeout=PATIENCE):
        button.dialog.accept()
    assert "no answer to activation" in widget.form.model.card.text()
    assert answers_to(str(foreign)) is None
    button.click()
    button.dialog.boxes["activation"].setEditText("leaky_relu_0.3")
    answer(widget, qtbot, {})
    assert dict(widget.card.choices) == {"activation": "leaky_relu_0.3"}


def test_a_script_answers_and_is_not_asked(open_widget, qtbot, nuclei, foreign):
    _, widget = open_widget(nuclei)
    choice = SegmentChoice(layer="image", model=str(foreign), choices=CHOICES)
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.set_value(choice)
    assert dict(widget.card.choices) == CHOICES
    assert widget.form.answers.dialog is None
    with qtbot.waitSignal(widget.ready, timeout=PATIENCE):
        widget.set_value(choice.replace(choices={"padding": "valid"}))
    assert dict(widget.card.choices) == {"padding": "valid"}


def test_run_at_once_is_not_held_up(open_widget, qtbot, nuclei, foreign):
    _, widget = open_widget(nuclei)
    with qtbot.waitSignal(widget.stopped, timeout=PATIENCE):
        widget.form.model.set_value(str(foreign))
        widget.run()
    assert widget.form.answers.dialog is None
    assert "11 guessed" in widget.form.answers.text()


def test_answers_are_not_given_to_another_file(open_widget, qtbot, nuclei, foreign):
    _, widget = open_widget(nuclei)
    for choices in (CHOICES, {"padding": "never"}):
        remember_answers(str(foreign), Answers(choices, "of another file"))
        choose(widget, qtbot, foreign)
        assert widget.card.choices == ()
        assert widget.value().choices == {}
        assert widget.form.answers.dialog.isVisible(), "this one is asked"
        widget.form.answers.dialog.reject()
        choose(widget, qtbot, "nuclei-fast")
        widget.form.answers._asked.clear()


def test_train_asks_what_its_start_leaves_open(
    make_napari_viewer, qtbot, one_worker, foreign
):
    from napari_unet.engine.training_tasks import load_start
    from napari_unet.plugin.train_choice import start_of
    from napari_unet.plugin.train_widget import TrainWidget

    viewer = make_napari_viewer()
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    button, read = widget.form.answers, widget._questions._job.stopped
    assert button.isHidden(), "a new network leaves nothing open"
    with qtbot.waitSignal(read, timeout=PATIENCE):
        widget.form.choose_start(str(foreign))
    widget._questions.check()
    assert not button.isHidden()
    assert button.dialog.isVisible(), "nothing in the file confirms a guess"
    for name, value in CHOICES.items():
        box = button.dialog.boxes[name]
        box.setCurrentIndex(box.findData(value))
    with qtbot.waitSignal(read, timeout=PATIENCE):
        button.dialog.accept()
    start = start_of(widget.value())
    expected = nu.load_model(foreign, choices=CHOICES)
    assert (dict(start.choices), start.sha256) == (CHOICES, expected.sha256)
    assert load_start(start).recipe.architecture == expected.recipe.architecture
    widget.form.choose_start("nuclei")
    assert button.isHidden()
    button.dialog = None
    with qtbot.waitSignal(read, timeout=PATIENCE):
        widget.form.choose_start(str(foreign))
    assert button.dialog is None, "asked once"


def test_every_answer_says_what_it_means(foreign):
    model = nu.load_model(foreign)
    card = card_of(model, str(foreign))
    asked = {question.name: question.options for question in card.questions}
    for family in FAMILIES:
        for name, options in family.open.items():
            asked[name] = {*asked.get(name, ()), *options}
    assert len(asked) > 9
    assert asked.keys() <= QUESTIONS.keys()
    bare = [
        (q, a) for q, options in asked.items() for a in options if not meaning(q, a)
    ]
    assert bare == []


def test_a_question_that_is_new_is_still_asked(qtbot):
    box = AnswerBox(Question("dilation", ("1", "2"), "2", "choice"))
    qtbot.addWidget(box)
    assert box.value() == "2"
    box.setCurrentIndex(0)
    assert box.value() == ""


def test_training_does_not_begin_when_its_start_cannot_be_read(
    qtbot, one_worker, tmp_path
):
    from napari_unet.plugin.answers_button import AnswersButton
    from napari_unet.plugin.start_questions import StartQuestions

    button = AnswersButton()
    qtbot.addWidget(button)
    questions = StartQuestions(button)
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no model")
    with qtbot.waitSignal(questions.failed, timeout=PATIENCE) as said:
        questions.read(lambda: one_worker, str(path))
    qtbot.waitUntil(lambda: questions._job.engine is None, timeout=PATIENCE)
    # It is read again: what was wrong may be right by now.
    with (
        qtbot.waitSignal(questions.failed, timeout=PATIENCE),
        pytest.raises(type(said.args[0])) as raised,
    ):
        questions.check()
    assert raised.value is said.args[0]
    qtbot.waitUntil(lambda: questions._job.engine is None, timeout=PATIENCE)
    questions.read(lambda: one_worker, "")
    questions.check()
