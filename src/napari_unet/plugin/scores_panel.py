"""Scores panel: the numbers of an evaluation, the main ones large."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.core.metrics import Scores
from napari_unet.plugin.parts import collapsible

COLUMNS = {
    "IoU": "Overlap from which an object counts as found.",
    "AP": "TP / (TP + FP + FN), the average precision of DSB2018 and StarDist.",
    "F1": "2 TP / (2 TP + FP + FN).",
    "PQ": "Panoptic quality: F1 times the mean overlap of what was found.",
    "Precision": "Part of the objects that are right.",
    "Recall": "Part of the true objects that were found.",
}
CARDS = {
    "AP 0.5": "Average precision where half of an object must overlap.",
    "AP mean": "Mean of the average precision over IoU 0.5, 0.55, ... 0.95.",
    "SEG": "Mean overlap with the true objects, as in the Cell Tracking Challenge.",
    "Dice": "Agreement of all foreground pixels, whatever object they belong to.",
}


class ScoresPanel(QWidget):
    """Four large numbers, and the table over all thresholds folded away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {name: _card(tip) for name, tip in CARDS.items()}
        self.table = _table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QGridLayout()
        for at, (name, card) in enumerate(self.cards.items()):
            title = QLabel(name)
            title.setAlignment(Qt.AlignmentFlag.AlignCenter)
            title.setToolTip(CARDS[name])
            title.setStyleSheet("color: #909499")
            row.addWidget(card, 0, at)
            row.addWidget(title, 1, at)
        layout.addLayout(row)
        more = collapsible("All thresholds")
        more.setToolTip("The scores at every IoU from 0.5 to 0.95.")
        more.addWidget(self.table)
        layout.addWidget(more)

    def show_scores(self, scores: Scores) -> None:
        """Show the scores of an evaluation."""
        large = {
            "AP 0.5": scores.ap[0],
            "AP mean": scores.mean_ap_50_95,
            "SEG": scores.seg,
            "Dice": scores.dice,
        }
        for name, value in large.items():
            self.cards[name].setText(f"{value:.3f}")
        columns = (
            scores.thresholds,
            scores.ap,
            scores.f1,
            scores.pq,
            scores.precision,
            scores.recall,
        )
        self.table.setRowCount(len(scores.thresholds))
        for at, values in enumerate(columns):
            for row, value in enumerate(values):
                text = f"{value:.2f}" if at == 0 else f"{value:.3f}"
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, at, item)


def _card(tooltip: str) -> QLabel:
    card = QLabel("-")
    card.setToolTip(tooltip)
    card.setAlignment(Qt.AlignmentFlag.AlignCenter)
    card.setStyleSheet("font-size: 20px; font-weight: 600")
    return card


def _table() -> QTableWidget:
    table = QTableWidget(0, len(COLUMNS))
    table.setHorizontalHeaderLabels(list(COLUMNS))
    for at, tooltip in enumerate(COLUMNS.values()):
        header = table.horizontalHeaderItem(at)
        if header is not None:
            header.setToolTip(tooltip)
    table.setToolTip("Scores at each IoU, pooled over all slices and frames.")
    table.verticalHeader().setVisible(False)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setMinimumHeight(230)
    mode = QHeaderView.ResizeMode.Stretch
    table.horizontalHeader().setSectionResizeMode(mode)
    return table
