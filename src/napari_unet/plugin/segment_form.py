"""Segment form: the fields of the Segment widget; holds no logic."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QWidget,
)

from napari_unet.errors import AxesError, ChannelsError, UNetError
from napari_unet.plugin.answers_button import AnswersButton
from napari_unet.plugin.axes_row import AxesRow
from napari_unet.plugin.channel_box import ChannelBox
from napari_unet.plugin.export_button import ExportButton
from napari_unet.plugin.layer_box import LayerBox
from napari_unet.plugin.model_chooser import ModelChooser
from napari_unet.plugin.parts import collapsible, titled
from napari_unet.plugin.segment_choice import SegmentChoice
from napari_unet.plugin.settings_form import SettingsForm
from napari_unet.plugin.view import CHOICES
from napari_unet.settings import Prediction, Separation

SLIDERS = {
    "seed_threshold": "Seeds above",
    "mask_threshold": "Cells above",
    "min_seed_size": "Smallest seed",
    "min_size": "Smallest cell",
}
MORE = {
    "fill_holes": "Fill holes",
    "keep_unseeded": "Keep without seed",
    "connectivity": "Connectivity",
    "link": "Link over",
    "link_overlap": "Link above IoU",
}


class SegmentForm(QWidget):
    """Image, axes, model and region.

    `image_changed` says that another layer or other axes were chosen, `model_changed`
    another model, `changed` anything else that a plan depends on.
    """

    image_changed = Signal()
    model_changed = Signal(str)
    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layer = LayerBox(viewer)
        self.axes = AxesRow(self)
        about = SegmentChoice.model_fields["channels"].description or ""
        self.channels = ChannelBox(about)
        self.model = ModelChooser()
        self.answers = AnswersButton()
        self.export = ExportButton()
        self.region = QComboBox()
        self.region.addItems(CHOICES)
        self.region.setToolTip(
            "What is segmented. Parts are cut from the same tiles and the same "
            "intensities as everything, so their cells are the same. Outside of a "
            "selected polygon, ellipse or path (its ends are joined) is background; "
            "of a rectangle along the axes, cells that cross its edge are whole."
        )
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(0.0, 10000.0)
        self.diameter.setSpecialValueText("as it is")
        self.diameter.setSuffix(" px")
        self.invert = QCheckBox()
        for field, name in ((self.diameter, "diameter"), (self.invert, "invert")):
            info = SegmentChoice.model_fields[name]
            field.setToolTip(info.description or "")
        self.prediction = SettingsForm(
            Prediction, {"precision": "Precision", "test_time_averaging": "Averaging"}
        )
        self._lay_out()
        self.layer.changed.connect(self.image_changed)
        self.axes.changed.connect(lambda _: self.image_changed.emit())
        self.model.changed.connect(self.model_changed)
        self.answers.answered.connect(
            lambda: self.model.changed.emit(self.model.value())
        )
        for signal in (
            self.channels.changed,
            self.region.currentIndexChanged,
            self.diameter.valueChanged,
            self.invert.toggled,
            self.prediction.changed,
        ):
            signal.connect(lambda *_: self.changed.emit())

    def _lay_out(self) -> None:
        rows = QGridLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setColumnStretch(1, 1)
        for title, field in (
            ("Image", self.layer),
            ("Axes", self.axes.edit),
            ("", self.axes.drawing),
            (self.channels.title, self.channels),
            ("Model", self.model),
            ("", self.model.card),
            ("", self.answers),
            ("", self.export),
            ("Region", self.region),
        ):
            row = rows.rowCount()
            if title:
                name = titled(title, field) if isinstance(title, str) else title
                rows.addWidget(name, row, 0)
            rows.addWidget(field, row, 1)
        more, inside = collapsible("More"), QWidget()
        more.setToolTip("Object size, contrast, precision and averaging.")
        extra = QFormLayout(inside)
        extra.addRow(titled("Diameter", self.diameter), self.diameter)
        extra.addRow(titled("Dark cells", self.invert), self.invert)
        extra.addRow(self.prediction)
        more.addWidget(inside)
        rows.addWidget(more, rows.rowCount(), 0, 1, 2)

    def value(self, separation: Separation) -> SegmentChoice:
        """Return what was chosen, with the separation of the tuning form."""
        return SegmentChoice.parse(
            {
                "layer": self.layer.value(),
                "axes": self.axes.value(),
                "channels": self.channels.value(),
                "model": self.model.value(),
                "choices": self.answers.choices(self.model.value()),
                "region": self.region.currentText(),
                "diameter": self.diameter.value(),
                "invert": self.invert.isChecked(),
                "prediction": self.prediction.value(),
                "separation": separation,
            }
        )

    def set_value(self, choice: SegmentChoice) -> None:
        """Show another choice."""
        self.layer.choose(choice.layer)
        if choice.axes:
            self.axes.set_value(choice.axes)
            self.image_changed.emit()
        self._set_model(choice.model, choice.choices)
        self.region.setCurrentText(choice.region)
        self.diameter.setValue(choice.diameter)
        self.invert.setChecked(choice.invert)
        self.prediction.set_value(choice.prediction)
        if choice.channels != self.channels.value():
            self.channels.set_value(choice.channels)
            self.changed.emit()

    def clear(self) -> None:
        """Mark nothing, and draw nothing."""
        self.axes.clear()
        self.channels.clear()

    def show_error(self, error: UNetError) -> bool:
        """Mark the field that is wrong; return whether it is one of the image's."""
        if isinstance(error, ChannelsError):
            self.channels.show_error(error)
        elif isinstance(error, AxesError):
            self.axes.show_error(error)
        return isinstance(error, AxesError)

    def _set_model(self, source: str, choices: dict[str, str]) -> None:
        """Choose a model, and answer what it leaves open; it is read once."""
        is_new = choices and choices != self.answers.choices(source)
        if is_new:
            self.answers.give(source, choices)
        if source != self.model.value():
            self.model.set_value(source)
        elif is_new:
            self.model_changed.emit(source)


def separation_forms() -> tuple[SettingsForm[Separation], SettingsForm[Separation]]:
    """Return the sliders, and the rest of the separation's settings."""
    sizes = {"min_seed_size": 100, "min_size": 500}
    return SettingsForm(Separation, SLIDERS, sliders=sizes), SettingsForm(
        Separation, MORE
    )
