"""Channel box: which of an image's channels the model sees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QRegularExpression, Qt, Signal
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_unet.core.channels import first_channels
from napari_unet.errors import UNetError
from napari_unet.plugin.layers import LayerImage

COLOURS = ("red", "green", "blue", "alpha")
GREY = "grey of all"
RED = "#e05050"


@dataclass(frozen=True)
class Offer:
    """What there is to choose from.

    Parameters
    ----------
    names
        Of the image's channels; empty where they are not known.
    n_network
        Channels that the model takes.
    rgb
        Whether the image is a colour picture.
    """

    names: tuple[str, ...]
    n_network: int
    rgb: bool

    @property
    def is_mixed(self) -> bool:
        """Whether colour becomes grey if no channel is chosen."""
        return self.rgb and self.n_network == 1 and len(self.names) in (3, 4)

    @property
    def usual(self) -> tuple[int, ...]:
        """What is seen if nothing is chosen; empty: grey, or there are too few."""
        n_image, n = len(self.names), self.n_network
        if self.is_mixed or n > n_image:
            return ()
        return first_channels(n_image, n, rgb=self.rgb) or tuple(range(n))

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.names) > 1 or self.n_network != len(self.names)


def offer_of(layer: Any, image: LayerImage, n_network: int) -> Offer:
    """Return what a layer offers to a model of `n_network` channels."""
    names = channel_names(layer, image.n_channels)
    return Offer(names, n_network, bool(image.rgb))


def channel_names(layer: Any, n_channels: int) -> tuple[str, ...]:
    """Return the names of a layer's channels, empty ones where it does not tell.

    Colours have theirs; readers leave others in the metadata, as ``channel_names`` or
    as OME-Zarr's ``omero``.
    """
    found: list[str] = list(COLOURS[:n_channels]) if layer.rgb else []
    told = layer.metadata.get("channel_names") or _omero_labels(layer.metadata)
    if isinstance(told, (list, tuple)) and len(told) == n_channels:
        found = [str(name) for name in told]
    return tuple(found) if len(found) == n_channels else ("",) * n_channels


def _omero_labels(metadata: Mapping[str, Any]) -> list[str]:
    omero = metadata.get("omero")
    rows = omero.get("channels") if isinstance(omero, Mapping) else None
    rows = rows if isinstance(rows, (list, tuple)) else ()
    return [str(row.get("label", "")) for row in rows if isinstance(row, Mapping)]


class ChannelBox(QWidget):
    """A list for a model of one channel; a line of numbers for one of several.

    `changed` says that the user has chosen; `title` is a label to put beside.
    """

    changed = Signal()

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen: tuple[int, ...] = ()
        self._offer: Offer | None = None
        self._listed: list[tuple[int, ...]] = []
        self.title, self.one, self.several = QLabel(), QComboBox(), QLineEdit()
        self.problem = QLabel()
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet(f"color: {RED}")
        for widget in (self, self.title, self.one, self.several, self.problem):
            widget.setToolTip(tooltip)
        self.one.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.one.setMinimumContentsLength(12)
        letters = QRegularExpression("[0-9, ]*")
        self.several.setValidator(QRegularExpressionValidator(letters, self))
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for widget in (self.one, self.several, self.problem):
            rows.addWidget(widget)
        self.one.activated.connect(lambda at: self._choose(self._listed[at]))
        self.several.textEdited.connect(lambda text: self._choose(numbers_in(text)))
        self._show()

    def value(self) -> tuple[int, ...]:
        """Return what was chosen; empty: nothing was, and the usual is taken."""
        return self._chosen

    def set_value(self, channels: tuple[int, ...]) -> None:
        """Show another choice; `changed` is not emitted."""
        if channels != self._chosen:
            self._chosen = tuple(channels)
            self._show()

    def offer(self, offer: Offer | None) -> None:
        """Show what there is to choose from; None: nothing."""
        if offer != self._offer:
            self._offer = offer
            self._show()

    def show_error(self, error: UNetError) -> None:
        """Mark the choice with the reason."""
        self._mark(str(error))

    def clear(self) -> None:
        """Mark nothing."""
        self._mark("")

    def _mark(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        for field in (self.one, self.several):
            field.setStyleSheet(f"border: 1px solid {RED};" if text else "")

    def _choose(self, channels: tuple[int, ...]) -> None:
        self._chosen = channels
        self.changed.emit()

    def _show(self) -> None:
        offer = self._offer
        is_open = offer is not None and (offer.is_open or bool(self._chosen))
        for widget in (self, self.title):
            widget.setVisible(is_open)
        self._mark("")
        if offer is None:
            return
        is_one = offer.n_network == 1
        self.title.setText("Channel" if is_one else "Channels")
        self.one.setVisible(is_one)
        self.several.setVisible(not is_one)
        if is_one:
            self._fill(offer)
        else:
            self.several.setText(written(self._chosen or offer.usual))
            self.several.setPlaceholderText(written(offer.usual))

    def _fill(self, offer: Offer) -> None:
        """List the channels, and what was chosen even if it is none of them."""
        items: dict[tuple[int, ...], str] = {(): GREY} if offer.is_mixed else {}
        for index, name in enumerate(offer.names):
            items[(index,)] = f"{index}  {name}".rstrip()
        shown = self._chosen or offer.usual
        items.setdefault(shown, written(shown))
        self._listed = list(items)
        self.one.clear()
        self.one.addItems(list(items.values()))
        self.one.setCurrentIndex(self._listed.index(shown))


def numbers_in(text: str) -> tuple[int, ...]:
    """Return the numbers of a line, such as ``"0, 2"``."""
    return tuple(int(number) for number in re.findall(r"\d+", text))


def written(channels: tuple[int, ...]) -> str:
    """Return channels as one types them."""
    return ", ".join(map(str, channels))
