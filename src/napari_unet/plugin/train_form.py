"""Train form: the fields of the Train widget; holds no logic."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_unet.plugin.answers_button import AnswersButton
from napari_unet.plugin.model_chooser import BUNDLED
from napari_unet.plugin.model_paths import title_of
from napari_unet.plugin.own_models import ModelBox, OwnModels
from napari_unet.plugin.pairs_panel import PairsPanel
from napari_unet.plugin.parts import collapsible, titled
from napari_unet.plugin.paths import exists
from napari_unet.plugin.preferences import check_device_name, read_preferences
from napari_unet.plugin.settings_form import SettingsForm
from napari_unet.plugin.train_choice import NEW, TrainChoice
from napari_unet.training_settings import LOSSES, Training

NETWORK = {
    "scale_to": "Scale images to",
    "depth": "Depth",
    "base_channels": "Channels",
    "batch": "Batch",
    "optimizer": "Optimizer",
    "precision": "Precision",
    "tune_for": "Thresholds for",
    "random_seed": "Random seed",
}
# Systems refuse names of more than 255 bytes; a letter may have four.
LONGEST_NAME = 40


class TrainForm(QWidget):
    """Data, start, budget, loss, augmentation, network and file."""

    changed = Signal()
    weights_changed = Signal()
    start_changed = Signal(str)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pairs = PairsPanel(viewer)
        self.start, self.answers = ModelBox(), AnswersButton()
        self.minutes, self.steps = QDoubleSpinBox(), QSpinBox()
        self.minutes.setRange(0.1, 10000)
        self.minutes.setSuffix(" min")
        self.steps.setRange(0, 10**7)
        self.steps.setSpecialValueText("by time")
        self.out, self.browse = QLineEdit(), QPushButton("…")
        self.browse.setToolTip("Choose where the model is written.")
        self.loss, self.augmentation = _names("loss"), _names("augmentation")
        self.w0, self.sigma = _slider(0.0, 100.0), _slider(0.5, 30.0)
        self.show_weights = QCheckBox("Show weights")
        self.show_weights.setToolTip(
            "Show as a layer how much each pixel counts; it follows the sliders."
        )
        self.ignore_label = QSpinBox()
        self.ignore_label.setRange(0, 2**31 - 1)
        self.ignore_label.setSpecialValueText("only -1")
        self.planes = QCheckBox()
        self.network = SettingsForm(Training, NETWORK)
        self._describe()
        self.is_complete = False
        self._own = OwnModels(self.start, self._list)
        self._suggested = ""
        # What a script answered, and of which model.
        self._answered: tuple[str, dict[str, str]] = ("", {})
        self.start.addItem(NEW, "")
        for path in sorted(BUNDLED.glob("*.safetensors")):
            self._list(path.stem)
        self._lay_out()
        self._connect()
        self.set_value(TrainChoice())

    def attach(self) -> None:
        """Follow the viewer's layers."""
        self.pairs.attach()

    def complete(self) -> None:
        """Fill in what stands in the preferences: own models, and a file's folder."""
        if not self.is_complete:
            self.is_complete = True
            self._own.update()
        if not self.out.text():
            self.suggest_file()

    def list_own(self) -> None:
        """List the models of the user's folder again."""
        self._own.update()

    def move_file(self) -> None:
        """Suggest a file in another folder, unless the user has chosen one."""
        if self.out.text() == self._suggested:
            self.suggest_file()

    def suggest_file(self) -> None:
        """Fill in a new file for the model."""
        self._suggested = str(free_name(self.pairs.image.value()))
        self.out.setText(self._suggested)

    def detach(self) -> None:
        """Stop following."""
        self.pairs.detach()

    def check(self) -> None:
        """Raise what no value tells: a kept layer is gone, or the device is none.

        Raises
        ------
        SettingsError
            With what to do.
        """
        self.pairs.check()
        check_device_name()

    def value(self) -> TrainChoice:
        """Return what was chosen."""
        return TrainChoice.parse(
            {
                "pairs": self.pairs.pairs(),
                "folder": self.pairs.folder_value(),
                "ignore_label": self.ignore_label.value(),
                "planes": self.planes.isChecked(),
                "start": self.start.currentData(),
                "choices": self._choices(),
                "minutes": self.minutes.value(),
                "steps": self.steps.value(),
                "loss": self.loss.currentText(),
                "w0": round(self.w0.value(), 2),
                "sigma": round(self.sigma.value(), 2),
                "augmentation": self.augmentation.currentText(),
                "network": self.network.value(),
                "out": self.out.text().strip(),
            }
        )

    def set_value(self, choice: TrainChoice) -> None:
        """Show another choice."""
        self.pairs.set_value(choice.pairs, choice.folder)
        self.ignore_label.setValue(choice.ignore_label)
        self.planes.setChecked(choice.planes)
        self._answered = (choice.start, dict(choice.choices))
        if choice.choices:
            self.answers.give(choice.start, dict(choice.choices))
        self.choose_start(choice.start)
        self.minutes.setValue(choice.minutes)
        self.steps.setValue(choice.steps)
        self.loss.setCurrentText(choice.loss)
        self._set_border(choice.w0, choice.sigma)
        self.augmentation.setCurrentText(choice.augmentation)
        self.network.set_value(choice.network)
        if choice.out:
            self.out.setText(choice.out)

    def _choices(self) -> dict[str, str]:
        source, choices = self._answered
        return dict(choices) if source == self.start.currentData() else {}

    def _forget_answers(self) -> None:
        """Let what the user has answered count, not what a script said before."""
        self._answered = ("", {})

    def choose_start(self, source: str) -> None:
        """Go on from a model by name or path; it is listed if it is new."""
        self._list(source)
        self.start.setCurrentIndex(self.start.findData(source))

    def _list(self, source: str) -> None:
        if self.start.findData(source) < 0:
            self.start.addItem(title_of(source), source)

    def _on_preset(self) -> None:
        """Show the constants of a preset."""
        preset = LOSSES[self.loss.currentText()]()
        self._set_border(preset.w0, preset.sigma)
        self.weights_changed.emit()

    def _set_border(self, w0: float, sigma: float) -> None:
        """Move both sliders, and say so only once."""
        for slider, value in ((self.w0, w0), (self.sigma, sigma)):
            blocked = slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(blocked)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Write the model to", self.out.text(), "*.safetensors"
        )
        if path:
            is_named = path.endswith(".safetensors")
            self.out.setText(path if is_named else f"{path}.safetensors")

    def _describe(self) -> None:
        """Give every field the description of the choice as its tooltip."""
        for name, info in TrainChoice.model_fields.items():
            field = getattr(self, name, None)
            if isinstance(field, QWidget) and name not in ("pairs", "network"):
                field.setToolTip(info.description or "")

    def _lay_out(self) -> None:
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        file = QHBoxLayout()
        file.addWidget(self.out, 1)
        file.addWidget(self.browse)
        rows.addRow(self.pairs)
        rows.addRow(titled("Start from", self.start), self.start)
        rows.addRow("", self.answers)
        rows.addRow(titled("Time", self.minutes), self.minutes)
        rows.addRow(titled("Model file", self.out), file)
        self.weights_part = weights = collapsible("Border weights")
        weights.setToolTip("How much the gaps between cells count.")
        inside, more = QWidget(), QWidget()
        table = QFormLayout(inside)
        table.addRow(titled("Preset", self.loss), self.loss)
        table.addRow(titled("w0", self.w0), self.w0)
        table.addRow(titled("sigma", self.sigma), self.sigma)
        table.addRow(self.show_weights)
        weights.addWidget(inside)
        extra = QFormLayout(more)
        extra.addRow(titled("Augmentation", self.augmentation), self.augmentation)
        extra.addRow(titled("Not annotated", self.ignore_label), self.ignore_label)
        extra.addRow(titled("2-D from planes", self.planes), self.planes)
        extra.addRow(titled("Steps", self.steps), self.steps)
        extra.addRow(self.network)
        rest = collapsible("More")
        rest.setToolTip("Augmentation, sparse labels, network and optimiser.")
        rest.addWidget(more)
        rows.addRow(weights)
        rows.addRow(rest)

    def _connect(self) -> None:
        self.start.opening.connect(self._own.update)
        for signal in (
            self.pairs.changed,
            self.start.currentIndexChanged,
            self.minutes.valueChanged,
            self.steps.valueChanged,
            self.out.textChanged,
            self.augmentation.currentIndexChanged,
            self.network.changed,
            self.planes.toggled,
            self.ignore_label.valueChanged,
        ):
            signal.connect(lambda *_: self.changed.emit())
        for told in (self.start.currentIndexChanged, self.answers.answered):
            told.connect(lambda *_: self.start_changed.emit(self.start.currentData()))
        self.answers.answered.connect(self._forget_answers)
        self.loss.currentIndexChanged.connect(lambda _: self._on_preset())
        for slider in (self.w0, self.sigma):
            slider.valueChanged.connect(lambda _: self.weights_changed.emit())
        self.show_weights.toggled.connect(lambda _: self.weights_changed.emit())
        self.browse.clicked.connect(self._ask)


def _slider(low: float, high: float) -> Any:
    slider: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setDecimals(1)
    slider.setSingleStep(0.5)
    return slider


def _names(field: str) -> QComboBox:
    """Return a box with the names that a field of the choice takes."""
    box = QComboBox()
    names = typing.get_args(TrainChoice.model_fields[field].annotation)
    box.addItems(names)
    return box


def free_name(image: str) -> Path:
    """Return a file for the model of an image that does not exist yet."""
    folder = Path(read_preferences().model_folder or Path.home())
    stem = "".join(c if c.isalnum() else "-" for c in image)[:LONGEST_NAME].strip("-")
    stem = stem or "cells"
    numbers = ("", *(f"-{number}" for number in range(2, 10**4)))
    names = (f"{stem}{number}.safetensors" for number in numbers)
    return next(path for name in names if not exists(path := folder / name))
