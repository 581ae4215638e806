"""Form: a settings class as labelled fields, with its own descriptions as tooltips.

The form holds no numbers and no defaults: they are the class's.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_unet.settings import Settings

Chosen = TypeVar("Chosen", bound=Settings)

STEP = 0.01
LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Field:
    """One editor: the widget, how it is read and set, and what tells of a change."""

    widget: QWidget
    get: Callable[[], Any]
    put: Callable[[Any], None]
    changed: Any


class SettingsForm(QWidget, Generic[Chosen]):
    """A form for some fields of one settings class.

    Parameters
    ----------
    kind
        The settings class.
    labels
        Name of each field shown, by its name in the class, in this order.
    sliders
        Integer fields that get a slider, with its largest value.
    """

    changed = Signal()

    def __init__(
        self,
        kind: type[Chosen],
        labels: Mapping[str, str],
        *,
        sliders: Mapping[str, int] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._base: Chosen = kind()
        self._fields: dict[str, Field] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, label in labels.items():
            field = make_field(kind, name, largest=(sliders or {}).get(name))
            self._fields[name] = field
            title = QLabel(label)
            title.setToolTip(field.widget.toolTip())
            layout.addRow(title, field.widget)
            field.changed.connect(self._on_changed)
        self.set_value(self._base)

    def value(self) -> Chosen:
        """Return the settings; fields that are not shown stay as they were set."""
        found = {name: field.get() for name, field in self._fields.items()}
        return type(self._base).parse({**self._base.model_dump(), **found})

    def set_value(self, value: Chosen) -> None:
        """Show other settings; says `changed` once if they differ."""
        before = self.value() if self._fields else None
        self._base = value
        for name, field in self._fields.items():
            blocked = field.widget.blockSignals(True)
            field.put(getattr(value, name))
            field.widget.blockSignals(blocked)
        if before is not None and self.value() != before:
            self.changed.emit()

    def field(self, name: str) -> QWidget:
        """Return the editor of one field."""
        return self._fields[name].widget

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()


def make_field(kind: type[Settings], name: str, *, largest: int | None = None) -> Field:
    """Return an editor for one field of a settings class.

    Raises
    ------
    TypeError
        If the field is neither a choice, a switch, an integer nor a fraction.
    """
    info = kind.model_fields[name]
    choices = typing.get_args(info.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        field = _choice(choices)
    elif info.annotation is bool:
        field = _switch()
    elif info.annotation is int:
        field = _integer(*_range(info.metadata, step=1), largest=largest)
    elif info.annotation is float:
        field = _fraction(*_range(info.metadata, step=STEP))
    else:
        raise TypeError(f"{kind.__name__}.{name} has no editor")
    field.widget.setToolTip(info.description or "")
    field.widget.setObjectName(name)
    return field


def _range(metadata: Sequence[Any], *, step: float) -> tuple[float, float]:
    """Return the smallest and the largest value that a field's constraints allow.

    What is bounded by a number that is not allowed itself begins one step beyond.
    """
    low, high = 0.0, float(LARGEST_NUMBER)
    for part in metadata:
        if isinstance(part, Ge):
            low = float(typing.cast("float", part.ge))
        elif isinstance(part, Gt):
            low = float(typing.cast("float", part.gt)) + step
        elif isinstance(part, Le):
            high = float(typing.cast("float", part.le))
        elif isinstance(part, Lt):
            high = float(typing.cast("float", part.lt)) - step
    return low, high


def _choice(choices: Sequence[str]) -> Field:
    box = QComboBox()
    for choice in choices:
        box.addItem(choice or "none", choice)

    def put(value: str) -> None:
        box.setCurrentIndex(box.findData(value))

    return Field(box, box.currentData, put, box.currentIndexChanged)


def _switch() -> Field:
    box = QCheckBox()
    return Field(box, box.isChecked, box.setChecked, box.toggled)


def _integer(low: float, high: float, *, largest: int | None) -> Field:
    if largest is None:
        box = QSpinBox()
        box.setRange(int(low), int(min(high, LARGEST_NUMBER)))
        return Field(box, box.value, box.setValue, box.valueChanged)
    slider = QLabeledSlider(Qt.Orientation.Horizontal)
    slider.setRange(int(low), largest)

    def put(value: int) -> None:
        slider.setMaximum(max(largest, value))
        slider.setValue(value)

    return Field(slider, slider.value, put, slider.valueChanged)


def _fraction(low: float, high: float) -> Field:
    slider: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setDecimals(2)
    slider.setSingleStep(STEP)

    def get() -> float:
        return round(float(slider.value()), 3)

    return Field(slider, get, slider.setValue, slider.valueChanged)
