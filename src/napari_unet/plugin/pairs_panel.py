"""Pairs panel: which open layers, or which folder, a training learns from."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QTabWidget,
    QWidget,
)

from napari_unet.errors import SettingsError, UNetError
from napari_unet.io.pairing import find_pairs
from napari_unet.io.pairs import Pairing
from napari_unet.plugin.corrections import axes_corrected
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.kept_pairs import KeptPairs
from napari_unet.plugin.labels_box import LabelsBox
from napari_unet.plugin.layer_box import LayerBox
from napari_unet.plugin.layers import add_empty_labels
from napari_unet.plugin.parts import titled
from napari_unet.plugin.train_choice import PairChoice, TrainChoice

SHOWN = 6
RED, GREY = "#e05050", "#909499"


class PairsPanel(QTabWidget):
    """One tab for open layers, one for a folder.

    The pair in the boxes counts; *Add* keeps it, so that another one can be chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        fields = PairChoice.model_fields
        self._viewer = viewer
        self.image = LayerBox(viewer)
        self.image.setToolTip(fields["image"].description or "")
        self.labels = LabelsBox(viewer, fields["labels"].description or "", drawn=True)
        self.paint = QPushButton("New")
        self.paint.setToolTip(
            "Add empty labels over the image, and take the brush: one number per cell."
        )
        self.inside = QCheckBox("only inside")
        self.shapes = LayerBox(viewer, "Shapes")
        for widget in (self.inside, self.shapes):
            widget.setToolTip(fields["annotated"].description or "")
        self.add, self.drop = QPushButton("Add another pair"), QPushButton("Remove")
        self.add.setToolTip("Keep this pair, and choose one more.")
        self.drop.setToolTip("Leave out the selected pair.")
        self.kept = QListWidget()
        self.kept.setToolTip("Pairs that are learned from, beside the one above.")
        self.kept.setMaximumHeight(70)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("none")
        self.folder.setToolTip(TrainChoice.model_fields["folder"].description or "")
        self.browse = QPushButton("Folder…")
        self.browse.setToolTip("Choose the folder.")
        self.found = QLabel()
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        self.found.setToolTip("Which image belongs to which labels, and why.")
        self.found.setWordWrap(True)
        self._pairs = KeptPairs(viewer, self)
        self._look = Job(self)
        self._lay_out()
        self._connect()
        self._show_kept()

    def attach(self) -> None:
        """Follow the viewer's layers."""
        for box in (self.image, self.labels, self.shapes):
            box.attach()
        self._pairs.attach()
        axes_corrected.connect(self._tell)

    def detach(self) -> None:
        """Stop following."""
        self._look.cancel()
        for box in (self.image, self.labels, self.shapes):
            box.detach()
        self._pairs.detach()
        axes_corrected.disconnect(self._tell)

    def _tell(self, _: object = None) -> None:
        self.changed.emit()

    def check(self) -> None:
        """Raise if a layer of a kept pair is gone.

        Raises
        ------
        SettingsError
            With its name.
        """
        if not self.folder_value():
            self._pairs.check()

    def pairs(self) -> tuple[PairChoice, ...]:
        """Return the pairs that were kept and the one in the boxes."""
        kept, current = self._pairs.values(), self._current()
        more = () if current is None or current in kept else (current,)
        return (*kept, *more)

    def chosen(self) -> tuple[Any, Any]:
        """Return the layers in the boxes.

        Raises
        ------
        SettingsError
            If there are none.
        """
        image, labels = self.image.layer(), self.labels.layer()
        if image is None or labels is None:
            raise SettingsError(
                "There is no image with labels.",
                "Open an image, and add a Labels layer to paint in.",
            )
        return image, labels

    def folder_value(self) -> str:
        """Return the folder; empty if layers are learned from."""
        return self.folder.text().strip() if self.currentIndex() == 1 else ""

    def set_value(self, pairs: tuple[PairChoice, ...], folder: str) -> None:
        """Show other pairs, the last of them in the boxes, or a folder."""
        self._pairs.replace(pairs[:-1])
        if pairs:
            last = pairs[-1]
            self.image.choose(last.image)
            self.labels.choose(last.labels)
            self.shapes.choose(last.annotated)
            self.inside.setChecked(bool(last.annotated))
        self.folder.setText(folder)
        self.setCurrentIndex(int(bool(folder)))
        self._look_into_folder()

    def _current(self) -> PairChoice | None:
        if not self.image.value() or not self.labels.value():
            return None
        annotated = self.shapes.value() if self.inside.isChecked() else ""
        values = {
            "image": self.image.value(),
            "labels": self.labels.value(),
            "annotated": annotated,
        }
        return PairChoice.parse(values)

    def _paint(self) -> None:
        """Let the user paint cells over the image."""
        image = self.image.layer()
        if image is not None:
            layer = add_empty_labels(self._viewer, image)
            self.labels.set_value(layer.name)

    def _keep(self) -> None:
        current = self._current()
        if current is not None and current not in self._pairs.values():
            self._pairs.add(current)

    def _leave_out(self) -> None:
        if self.kept.currentRow() >= 0:
            self._pairs.drop(self.kept.currentRow())

    def _show_kept(self) -> None:
        """List the pairs; the selected row stays, and what is gone is marked."""
        selected, pairs = self.kept.currentRow(), self._pairs.values()
        self.kept.clear()
        for index, pair in enumerate(pairs):
            inside = f", inside {pair.annotated}" if pair.annotated else ""
            gone = self._pairs.gone(index)
            told = f" ({gone} is gone)" if gone else ""
            self.kept.addItem(f"{pair.image} ← {pair.labels}{inside}{told}")
            if gone:
                self.kept.item(index).setForeground(QColor(RED))
        self.kept.setCurrentRow(min(selected, len(pairs) - 1))
        for widget in (self.kept, self.drop):
            widget.setVisible(bool(pairs))
        self.changed.emit()

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Images and labels")
        if path:
            self.folder.setText(path)
            self._look_into_folder()

    def _look_into_folder(self) -> None:
        path = self.folder.text().strip()
        self.found.clear()
        if path:
            self._look.start(once(lambda: find_pairs(path)))
        self.changed.emit()

    def _show_found(self, pairing: Pairing) -> None:
        self.found.setStyleSheet(f"color: {GREY}")
        self.found.setText(pairing.describe(most=SHOWN))

    def _show_problem(self, error: UNetError) -> None:
        self.found.setStyleSheet(f"color: {RED}")
        self.found.setText(str(error))

    def _lay_out(self) -> None:
        layers, folder = QWidget(), QWidget()
        rows = QFormLayout(layers)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow(titled("Image", self.image), self.image)
        painted = QHBoxLayout()
        painted.addWidget(self.labels, 1)
        painted.addWidget(self.paint)
        rows.addRow(titled("Labels", self.labels), painted)
        rows.addRow(self.inside, self.shapes)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add, 1)
        buttons.addWidget(self.drop)
        rows.addRow(self.kept)
        rows.addRow(buttons)
        line = QHBoxLayout()
        line.addWidget(self.folder, 1)
        line.addWidget(self.browse)
        below = QFormLayout(folder)
        below.addRow(line)
        below.addRow(self.found)
        self.addTab(layers, "Open layers")
        self.addTab(folder, "A folder")
        self.setTabToolTip(0, "Learn from layers of this viewer.")
        self.setTabToolTip(1, "Learn from pairs of files, in the field's conventions.")

    def _connect(self) -> None:
        for box in (self.image, self.labels, self.shapes):
            box.changed.connect(self.changed)
        self._pairs.changed.connect(self._show_kept)
        self.inside.toggled.connect(lambda _: self.changed.emit())
        self.inside.toggled.connect(self.shapes.setEnabled)
        self.shapes.setEnabled(False)
        self.currentChanged.connect(lambda _: self.changed.emit())
        self.paint.clicked.connect(self._paint)
        self.add.clicked.connect(self._keep)
        self.drop.clicked.connect(self._leave_out)
        self.browse.clicked.connect(self._ask)
        self.folder.editingFinished.connect(self._look_into_folder)
        self._look.done.connect(self._show_found)
        self._look.failed.connect(self._show_problem)
