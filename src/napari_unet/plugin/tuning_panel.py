"""Tuning panel: the sliders of the separation, and what to do with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.plugin.parts import collapsible
from napari_unet.plugin.segment_form import MORE, separation_forms
from napari_unet.settings import Separation

if TYPE_CHECKING:
    from napari_unet.plugin.outputs import Outputs


class TuningPanel(QGroupBox):
    """Sliders, the number of cells, and three buttons.

    `changed` says that the separation is another one.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Tell cells apart", parent)
        self.setToolTip("The labels follow at once; the network does not run again.")
        self.sliders, self.more = separation_forms()
        self.count = QLabel()
        self.count.setToolTip("Cells found, over all slices and frames.")
        self.reset = QPushButton("Model's own")
        self.reset.setToolTip("Set all of these to what the model was tuned to.")
        self.show_probabilities = QCheckBox("Show probabilities")
        self.show_probabilities.setToolTip(
            "Show what the network sees: interior green, boundary magenta."
        )
        self.verify = QPushButton("Verify")
        self.verify.setToolTip(
            "Compare the visible part in tiles with the same part in one piece."
        )
        self.copy = QPushButton("Copy as Python")
        self.copy.setToolTip(
            "Copy a script that makes exactly these labels again, without napari."
        )
        self._own = Separation()
        self._lay_out()
        for form in (self.sliders, self.more):
            form.changed.connect(self.changed)
        self.reset.clicked.connect(lambda: self.set_value(self._own))

    def _lay_out(self) -> None:
        more = collapsible("More")
        more.setToolTip("Holes, regions without a seed, neighbours, linking.")
        more.addWidget(self.more)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.count, 1)
        first.addWidget(self.reset)
        second.addWidget(self.show_probabilities, 1)
        second.addWidget(self.verify)
        second.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addWidget(self.sliders)
        layout.addWidget(more)
        layout.addLayout(first)
        layout.addLayout(second)

    def value(self) -> Separation:
        """Return the separation, every field set."""
        shown = {**self.sliders.value().model_dump(), **self._more_values()}
        return Separation.parse(shown)

    def set_value(self, separation: Separation) -> None:
        """Show another separation; says `changed` once if it differs."""
        before = self.value()
        for form in (self.sliders, self.more):
            blocked = form.blockSignals(True)
            form.set_value(separation)
            form.blockSignals(blocked)
        if self.value() != before:
            self.changed.emit()

    @property
    def own(self) -> Separation:
        """What the model was tuned to, its sizes in pixels of the image."""
        return self._own

    def set_own(self, separation: Separation) -> None:
        """Show what a model was tuned to, and go back to it on request."""
        self._own = separation
        self._show(separation)

    def follow_own(self, separation: Separation) -> bool:
        """Take sizes for another scale as the model's own; those shown follow.

        What was tuned stays. Returns whether anything shown is another now; labels that
        are there already stay as they are.
        """
        before, shown = self._own.model_dump(), self.value().model_dump()
        self._own = separation
        own = separation.model_dump()
        followed = {n: own[n] if x == before[n] else x for n, x in shown.items()}
        self._show(Separation.parse(followed))
        return followed != shown

    def set_result(self, available: bool) -> None:
        """Enable what needs a result."""
        for button in (self.show_probabilities, self.verify, self.copy):
            button.setEnabled(available)

    def show_result(
        self, outputs: Outputs | None, chosen: object, *, is_counting: bool = False
    ) -> None:
        """Show the number of cells, and of which image unless that is the chosen one.

        The sliders act on the last result, whatever was chosen since; dots say that
        cells are being counted again.
        """
        self.set_result(outputs is not None)
        counted = ""
        if outputs is not None:
            n = outputs.n_cells
            counted = f"{n:,} cell{'s' * (n != 1)}"
            if outputs.source is not chosen:
                counted += f" in {outputs.source.name}"
            counted += " …" * is_counting
        self.count.setText(counted)

    def _show(self, separation: Separation) -> None:
        """Show another separation, and say nothing."""
        blocked = self.blockSignals(True)
        self.set_value(separation)
        self.blockSignals(blocked)

    def _more_values(self) -> dict[str, object]:
        own = self.more.value().model_dump()
        return {name: own[name] for name in MORE}
