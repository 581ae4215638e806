"""Curves: loss and scores of a training as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.training_events import StepDone, Validated
from napari_unet.plugin.card_text import SCORES

if TYPE_CHECKING:
    from pyqtgraph import PlotItem

BACKGROUND, GREY = "#262930", "#909499"
LOSS, SMOOTH, VALIDATION, SCORE, BEST = (
    "#4d6a80",
    "#5ab0ff",
    "#ffa62b",
    "#7bd88f",
    "#ffffff",
)
# More points than pixels show nothing more.
LONGEST = 2000
SMOOTHING = 0.95


class Curves(QWidget):
    """Two plots with one axis of steps: the loss, and the score that chooses the best.

    `losses`, `validation` and `scores` hold the points, as lists of (step, value).
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.losses: list[tuple[int, float]] = []
        self.validation: list[tuple[int, float]] = []
        self.scores: list[tuple[int, float]] = []
        self.best: tuple[int, float] | None = None
        self.score_name = "score"
        self.setToolTip(
            "Above: the loss of each step (blue) and on the validation images "
            "(orange). Below: the score on them; the white point is the model kept."
        )
        self._lines: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

    def _build(self) -> None:
        """Make the plots when the first training begins: few need them, and late."""
        import pyqtgraph

        view = pyqtgraph.GraphicsLayoutWidget()
        view.setBackground(BACKGROUND)
        # Both plots are seen beside the form on a screen of 900 lines.
        view.setFixedHeight(280)
        view.setToolTip(self.toolTip())
        self._loss, self._score = view.addPlot(row=0, col=0), view.addPlot(row=1, col=0)
        for plot, name in ((self._loss, "loss"), (self._score, "score")):
            _style(plot, name)
        self._score.setXLink(self._loss)
        _label(self._score, "bottom", "step")
        self._lines = {
            "raw": self._loss.plot(pen=pyqtgraph.mkPen(LOSS)),
            "smooth": self._loss.plot(pen=pyqtgraph.mkPen(SMOOTH, width=2)),
            "validation": _marked(self._loss, VALIDATION),
            "score": _marked(self._score, SCORE),
            "best": self._score.plot(
                pen=None, symbol="o", symbolSize=11, symbolBrush=BEST, symbolPen=None
            ),
        }
        layout = self.layout()
        if layout is not None:
            layout.addWidget(view)

    def clear(self) -> None:
        """Begin with empty plots."""
        self.losses, self.validation, self.scores = [], [], []
        self.best = None
        self.draw()

    def add_step(self, event: StepDone) -> None:
        """Note the loss of one step; drawn with the next `draw`."""
        self.losses.append((event.step, event.losses["total"]))

    def add_validation(self, event: Validated) -> None:
        """Note a validation, and draw."""
        self.score_name, score = _first(event.scores)
        self.validation.append((event.step, event.loss))
        self.scores.append((event.step, score))
        if event.best:
            self.best = (event.step, score)
        self.draw()

    def draw(self) -> None:
        """Draw all points."""
        if not self._lines:
            self._build()
        name = SCORES.get(self.score_name, self.score_name.replace("_", " "))
        _label(self._score, "left", name)
        steps, losses = _columns(_thinned(self.losses))
        self._lines["raw"].setData(steps, losses)
        self._lines["smooth"].setData(steps, _smooth(losses))
        self._lines["validation"].setData(*_columns(self.validation))
        self._lines["score"].setData(*_columns(self.scores))
        self._lines["best"].setData(*_columns([self.best] if self.best else []))


def _first(scores: Mapping[str, float]) -> tuple[str, float]:
    """Return the score by which the best model is chosen."""
    return next(iter(scores.items()), ("score", 0.0))


def _style(plot: PlotItem, name: str) -> None:
    _label(plot, "left", name)
    plot.showGrid(x=True, y=True, alpha=0.15)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    for side in ("left", "bottom"):
        plot.getAxis(side).setTextPen(GREY)
        plot.getAxis(side).setPen(GREY)
    plot.getAxis("left").setWidth(52)


def _label(plot: PlotItem, side: str, text: str) -> None:
    """Name an axis, whose numbers stay as they are and are not shown in thousandths."""
    plot.setLabel(side, text, color=GREY, siPrefixEnableRanges=())


def _marked(plot: PlotItem, colour: str) -> Any:
    return plot.plot(
        pen={"color": colour, "width": 2},
        symbol="o",
        symbolSize=5,
        symbolBrush=colour,
        symbolPen=None,
    )


def _columns(points: Any) -> tuple[Any, Any]:
    table = np.array(points, float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return points[:: max(1, len(points) // LONGEST)]


def _smooth(values: Any) -> Any:
    """Return a running mean that forgets, without a bias at the beginning."""
    smooth, mean, weight = np.empty_like(values), 0.0, 0.0
    for at, value in enumerate(values):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smooth[at] = mean / weight
    return smooth
