"""Evaluate form: which layers are compared; holds no logic but first guesses."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_unet.errors import UNetError
from napari_unet.plugin.evaluate_choice import (
    EvaluateChoice,
    check_pair,
    guess_objects,
)
from napari_unet.plugin.labels_box import LabelsBox
from napari_unet.plugin.layer_box import LayerBox, output_of
from napari_unet.plugin.layers import own_axes
from napari_unet.plugin.parts import titled

RED = "#e05050"
TRUE_NAMES = ("truth", "ground", "_gt", "manual", "annotation")


class EvaluateForm(QWidget):
    """Labels, truth, image, and whether objects extend over Z.

    `labels_changed` says that other labels were chosen, `changed` anything.
    """

    labels_changed = Signal()
    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        fields = EvaluateChoice.model_fields
        self.labels = LabelsBox(viewer, fields["labels"].description or "")
        self.truth = LabelsBox(viewer, fields["truth"].description or "")
        self.image = LayerBox(viewer)
        self.image.setToolTip(fields["image"].description or "")
        self.objects = QComboBox()
        self.objects.addItem("planes or frames (2-D)", "planes")
        self.objects.addItem("volumes (3-D)", "volumes")
        self.objects.setToolTip(fields["objects"].description or "")
        self.problem = QLabel()
        self.problem.setToolTip("Why these layers cannot be compared.")
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet(f"color: {RED}")
        self.problem.setVisible(False)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._objects_title = titled("Objects are", self.objects)
        for title, field in (
            (titled("Labels", self.labels), self.labels),
            (titled("Truth", self.truth), self.truth),
            (titled("Image", self.image), self.image),
            (self._objects_title, self.objects),
        ):
            rows.addRow(title, field)
        rows.addRow(self.problem)
        self.labels.changed.connect(self._on_labels)
        self.truth.changed.connect(self.changed)
        self.image.changed.connect(self.changed)
        self.objects.currentIndexChanged.connect(lambda _: self.changed.emit())

    def attach(self) -> None:
        """Follow the viewer's layers, and guess which is which."""
        for box in (self.labels, self.truth, self.image):
            box.attach()
        # After the boxes, which list the new layer.
        self._layers.events.inserted.connect(self._on_inserted, position="last")
        self._guess()
        self._on_labels()

    def _guess(self) -> None:
        """Choose what was found as labels, and what was drawn as truth."""
        names = [self.truth.itemText(i) for i in range(self.truth.count())]
        true = [name for name in names if any(n in name.lower() for n in TRUE_NAMES)]
        others = [name for name in names if name not in true]
        layers = {name: self.truth.itemData(i) for i, name in enumerate(names)}
        found = [name for name in others if output_of(layers[name]) is not None]
        drawn = [name for name in others if name not in found]
        if self.labels.value() not in found and (found or self.labels.value() in true):
            self.labels.set_value([*found, *others, ""][0])
        true = true or [name for name in drawn if name != self.labels.value()]
        if true:
            self.truth.set_value(true[0])

    def detach(self) -> None:
        """Stop following."""
        self._layers.events.inserted.disconnect(self._on_inserted)
        for box in (self.labels, self.truth, self.image):
            box.detach()

    def value(self) -> EvaluateChoice:
        """Return what was chosen."""
        return EvaluateChoice.parse(
            {
                "labels": self.labels.value(),
                "truth": self.truth.value(),
                "image": self.image.value(),
                "objects": self.objects.currentData(),
            }
        )

    def set_value(self, choice: EvaluateChoice) -> None:
        """Show another choice.

        Raises
        ------
        SettingsError
            If a layer is not open.
        """
        self.labels.choose(choice.labels)
        self.truth.choose(choice.truth)
        self.image.choose(choice.image)
        self.objects.setCurrentIndex(self.objects.findData(choice.objects))

    def validate(self) -> UNetError | None:
        """Mark what is wrong in its place; return it."""
        problem: UNetError | None = None
        try:
            check_pair(self.labels.layer(), self.truth.layer())
        except UNetError as error:
            problem = error
        self.problem.setText(str(problem or ""))
        self.problem.setVisible(problem is not None)
        mark = f"border: 1px solid {RED}" if problem is not None else ""
        self.truth.setStyleSheet(mark)
        return problem

    def _on_inserted(self, _: object) -> None:
        """Guess again while nothing can be compared with itself."""
        if self.labels.layer() is self.truth.layer():
            self._guess()

    def _on_labels(self) -> None:
        layer = self.labels.layer()
        deep = layer is not None and len(own_axes(layer)) > 2
        if layer is not None:
            blocked = self.objects.blockSignals(True)
            self.objects.setCurrentIndex(self.objects.findData(guess_objects(layer)))
            self.objects.blockSignals(blocked)
        for widget in (self.objects, self._objects_title):
            widget.setVisible(deep)
        self.labels_changed.emit()
        self.changed.emit()
