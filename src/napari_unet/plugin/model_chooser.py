"""Model chooser: bundled, recent and own models, any file; the chosen one's card."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_unet.errors import UNetError
from napari_unet.pipeline.model_card import ModelCard
from napari_unet.plugin.card_text import card_text
from napari_unet.plugin.model_paths import is_there, source_at, title_of
from napari_unet.plugin.own_models import ModelBox, OwnModels
from napari_unet.plugin.preferences import remember

BUNDLED = Path(__file__).parents[1] / "models"
FILES = (
    "Models (*.safetensors *.pt *.pth *.zip *.ckpt *.onnx rdf.yaml bioimageio.yaml "
    "plans.json);;All files (*)"
)

# The layer holds probabilities already: there is nothing to predict.
NO_MODEL = "(none: the image holds probabilities)"

RED, GREY = "#e05050", "#909499"


class ModelChooser(QWidget):
    """A list of models with a button for a file; `card` is a label to put beneath.

    `changed` carries the source: a bundled name or a path; `NO_MODEL` for none.
    """

    changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = ModelBox()
        self.box.setToolTip(
            "The network: one that comes with the plugin, one of your folder "
            "(Preferences), one opened before, or any file or model folder, which may "
            "be dropped here."
        )
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setMinimumContentsLength(12)
        self.setToolTip(self.box.toolTip())
        self.button = QPushButton("Open…")
        self.button.setToolTip(
            "Open a checkpoint: .safetensors, .pt, .pth, .onnx, a bioimage.io package "
            "(.zip or folder), or a model folder of nnU-Net."
        )
        menu = QMenu(self)
        menu.addAction("File…", self.ask_for_file)
        menu.addAction("Folder…", self.ask_for_folder)
        self.button.setMenu(menu)
        self.card = QLabel()
        self.card.setTextFormat(Qt.TextFormat.PlainText)
        self.card.setWordWrap(True)
        self.card.setToolTip("What the file says of itself.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.button)
        for source in (*_bundled(), NO_MODEL):
            self._list(source, self.box.count())
        self._own = OwnModels(
            self.box, lambda source: self._list(source, self.box.count() - 1)
        )
        self.box.opening.connect(self.list_own)
        self.box.currentIndexChanged.connect(self._on_chosen)

    def value(self) -> str:
        """Return the bundled name or the path; `NO_MODEL` for none."""
        return str(self.box.currentData())

    def set_value(self, source: str) -> None:
        """Choose a model, and list it if it is new."""
        index = self.box.findData(source)
        if index < 0:
            self._list(source, 0)
            index = 0
        if index == self.box.currentIndex():
            return
        self.box.setCurrentIndex(index)

    def show_loading(self) -> None:
        """Say that the model is being read."""
        self._say("Reading the model…")

    def show_card(self, card: ModelCard | None) -> None:
        """Show what is known of the model."""
        self._say("" if card is None else card_text(card))

    def show_error(self, error: UNetError) -> None:
        """Mark the choice with the reason why it cannot be used."""
        self._say(str(error), colour=RED)

    def _say(self, text: str, colour: str = "") -> None:
        self.card.setText(text)
        self.card.setVisible(bool(text))
        self.card.setStyleSheet(f"color: {colour or GREY}")

    def list_own(self) -> None:
        """List the user's own models, and those opened before, after the bundled."""
        self._own.update()

    def _list(self, source: str, at: int) -> None:
        self.box.insertItem(at, title_of(source), source)
        self.box.setItemData(at, source, 3)  # the tooltip: the whole path

    def _on_chosen(self) -> None:
        source = self.value()
        if is_there(source):
            remember(source)
        self.changed.emit(source)

    def ask_for_file(self) -> None:
        """Show a file dialog, and choose what was picked."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", FILES)
        if path:
            self.set_value(source_at(path))

    def ask_for_folder(self) -> None:
        """Show a dialog for the folder of a package, and choose what was picked."""
        path = QFileDialog.getExistingDirectory(self, "Open a model folder")
        if path:
            self.set_value(path)


def _bundled() -> list[str]:
    return sorted(path.stem for path in BUNDLED.glob("*.safetensors"))
