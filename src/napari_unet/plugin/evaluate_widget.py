"""Evaluate widget: score labels against a truth, see every error, correct, measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.errors import UNetError
from napari_unet.plugin.correct_panel import CorrectPanel
from napari_unet.plugin.docked import DockedWidget
from napari_unet.plugin.error_view import ErrorView, iter_showable, write_features
from napari_unet.plugin.errors_panel import ErrorsPanel
from napari_unet.plugin.evaluate_choice import (
    EvaluateChoice,
    compared_pixels,
    n_leading,
    sample_in_view,
)
from napari_unet.plugin.evaluate_form import RED, EvaluateForm
from napari_unet.plugin.evaluate_run import EvaluateRun
from napari_unet.plugin.labels_watch import LabelsWatch
from napari_unet.plugin.measure_panel import MeasurePanel
from napari_unet.plugin.measuring import iter_measurements, rows_at, save_table
from napari_unet.plugin.object_finder import ObjectFinder
from napari_unet.plugin.parts import column, sentence
from napari_unet.plugin.preferences import read_preferences
from napari_unet.plugin.preferences_watch import PreferencesWatch
from napari_unet.plugin.scores_panel import ScoresPanel
from napari_unet.plugin.scoring import Findings
from napari_unet.plugin.shared_engine import borrow_engine
from napari_unet.plugin.warm_evaluate import WarmEvaluate
from napari_unet.plugin.work_button import WorkButton

if TYPE_CHECKING:
    import napari

    from napari_unet.core.object_errors import ObjectRow
    from napari_unet.core.tables import Table
    from napari_unet.engine.client import Engine


class EvaluateWidget(DockedWidget):
    """Score labels against a truth, walk through the errors, correct and measure.

    For scripts: `value`, `set_value`, `run`, `cancel`, `measure`, `cancel_measuring`,
    `save`; `findings` and `table` hold the results.

    Parameters
    ----------
    viewer
        napari's.
    """

    scored = Signal(object)  # Findings
    measured = Signal(object)  # a table of columns
    looked = Signal()  # the error that was chosen is in view
    failed = Signal(object)  # a UNetError
    stopped = Signal()  # scoring has ended, after cancel too
    measuring_stopped = Signal()  # so has measuring

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._view: ErrorView | None = None
        self.findings: Findings | None = None
        self.form = EvaluateForm(viewer)
        self.button = WorkButton(
            "Evaluate",
            "Score the labels against the truth, and list errors.",
            "Stop; the scores of before stay.",
        )
        self.button.setMinimumHeight(32)
        self.text = sentence("What was done last, or why it could not be done.")
        self.scores, self.errors = ScoresPanel(), ErrorsPanel()
        self.correct = CorrectPanel(viewer)
        self.measuring = MeasurePanel()
        self._score, self._measure = EvaluateRun(self), EvaluateRun(self)
        self._finder = ObjectFinder(viewer, self)
        self._warm = WarmEvaluate(self._engine, self)
        self._watch, self._preferences = LabelsWatch(self), PreferencesWatch(self)
        self._result = QWidget()
        self._lay_out()
        self._connect()
        self.attach()

    @property
    def table(self) -> Table | None:
        """What was measured last: columns, one row per object."""
        return self.measuring.table

    def value(self) -> EvaluateChoice:
        """Return all that is chosen."""
        return self.form.value()

    def set_value(self, choice: EvaluateChoice) -> None:
        """Choose."""
        self.form.set_value(choice)

    def run(self) -> None:
        """Score; `scored` or `failed` follows, then `stopped`."""
        problem = self.form.validate()
        if problem is not None:
            self._on_failed(problem)
            self.stopped.emit()
            return
        labels, truth = self.form.labels.layer(), self.form.truth.layer()
        view = self._view
        if view is None or (view.labels, view.truth) != (labels, truth):
            self._forget()
            self._view = ErrorView(labels, truth)
        lead = n_leading(self.value(), labels)
        engine = self._engine()
        if self.findings is None:
            self._say("Scoring…")
        self.button.show_running(True)
        pixels = compared_pixels(labels, truth)
        self._score.start_look(
            engine, labels, lead, lambda: iter_showable(engine, *pixels, lead)
        )

    def cancel(self) -> None:
        """Stop scoring; the scores of before stay."""
        if self._score.is_running:
            self._say("Cancelled.")
            self._score.cancel()

    def measure(self) -> None:
        """Measure every object of the labels.

        `measured` or `failed` follows, then `measuring_stopped`.
        """
        labels, image = self.form.labels.layer(), self.form.image.layer()
        if labels is None:
            return
        lead = n_leading(self.value(), labels)
        engine = self._engine()
        if self.table is None:
            self._say("Measuring…")
        self.measuring.button.show_running(True)
        self._measure.start_look(
            engine, labels, lead, lambda: iter_measurements(engine, labels, image, lead)
        )

    def cancel_measuring(self) -> None:
        """Stop measuring; the table and the features of before stay."""
        if self._measure.is_running:
            self._say("Cancelled.")
            self._measure.cancel()

    def save(self, path: str) -> None:
        """Write the table of measurements as CSV.

        Parameters
        ----------
        path
            A file that is there is replaced.
        """
        if self.table is None:
            return
        try:
            save_table(path, self.table, self.findings)
        except UNetError as error:
            self._on_failed(error)
        else:
            self._say(f"Written: {path}")

    def _engine(self) -> Engine:
        compute = read_preferences().compute
        self._preferences.follow()  # the page has been read: this is quick now
        return borrow_engine(self._user, compute)

    def _show(self) -> None:
        """Show features and colours of the sample that is looked at."""
        labels = self.form.labels.layer()
        if labels is None:
            return
        lead = n_leading(self.value(), labels)
        position = sample_in_view(self._viewer, labels, lead)
        if self._view is not None and self.findings is not None:
            coloured = self.errors.colour.isChecked()
            self._view.show(self.findings, position, coloured=coloured)
        if self.table is not None:
            write_features(labels, rows_at(self.table, position))

    def _on_scored(self, found: tuple[int, Findings]) -> None:
        if self._view is None or not self._holds(self._view):
            self._say("")
            return
        print_, findings = found
        self._watch.know(print_)
        self.findings = findings
        self.scores.show_scores(findings.scores)
        self.errors.show_findings(findings)
        self._result.setVisible(True)
        counts = findings.counts()
        n_errors = sum(counts.values()) - counts["matched"]
        text = f"{counts['matched']} of {findings.scores.n_truth} objects found"
        self._say(f"{text}, {n_errors} error{'s' * (n_errors != 1)}.")
        self._show()
        self.scored.emit(findings)

    def _on_measured(self, found: tuple[int, Table]) -> None:
        print_, table = found
        self._watch.know(print_)
        self.measuring.set_table(table)
        n = len(table["label"])
        self._say(f"{n} object{'s' * (n != 1)} measured; see the layer's features.")
        self._show()
        self.measured.emit(table)

    def _on_chosen(self, row: ObjectRow) -> None:
        """Look at an object."""
        if self._view is None or self.findings is None:
            return
        position = self.findings.positions[row.image]
        self._finder.show(self._view, row.side, position, row.id)
        in_labels = row.id if row.side == "prediction" else next(iter(row.partners), 0)
        if in_labels:
            self._view.labels.selected_label = in_labels
        self._viewer.layers.selection.active = self._view.labels

    def _on_corrected(self, text: str) -> None:
        self._say(text)
        self._watch.look_soon()

    def _on_other_pixels(self) -> None:
        """Score again what has been scored before, measure what has been measured."""
        if self.findings is not None and self.form.validate() is None:
            self.run()
        if self.table is not None:
            self.measure()

    def _on_labels(self) -> None:
        """Follow the layer that is chosen now; results of another one are gone."""
        layer = self.form.labels.layer()
        self._watch.follow(layer)
        if self._measure.is_running:
            self._measure.cancel()
            self._say("")
        self.measuring.set_table(None)
        self.measuring.button.allow(layer is not None)

    def _on_changed(self) -> None:
        layer = self.form.labels.layer()
        lead = 0 if layer is None else n_leading(self.value(), layer)
        self.correct.set_layer(layer, lead)
        problem = self.form.validate()
        self.button.allow(problem is None)
        pair = (layer, self.form.truth.layer())
        if problem is None:
            self._warm.begin(*pair)
        if self._view is not None and (self._view.labels, self._view.truth) != pair:
            self._forget()

    def _forget(self) -> None:
        """Drop the scores of other layers, which get their own look back."""
        if self._score.is_running or self.findings is not None:
            self._score.cancel()
            self._say("")
        self._finder.cancel()
        if self._view is not None:
            self._view.restore()
        self._view = self.findings = None
        self._result.setVisible(False)

    def _holds(self, view: ErrorView) -> bool:
        layers = self._viewer.layers
        return view.labels in layers and view.truth in layers

    def _on_step(self, _: Any = None) -> None:
        layer = self.form.labels.layer()
        if layer is not None and n_leading(self.value(), layer):
            self._show()

    def _on_progress(self, n_done: int, n_all: int) -> None:
        if self.findings is None:  # a line that is read is not taken away
            self._say(f"Scored {n_done} of {n_all}.")

    def _on_measuring(self, n_done: int, n_all: int) -> None:
        if self.table is None:
            self._say(f"Measured {n_done} of {n_all}.")

    def _on_stopped(self) -> None:
        self.button.show_running(False)
        self.stopped.emit()

    def _on_measuring_stopped(self) -> None:
        self.measuring.button.show_running(False)
        self.measuring_stopped.emit()

    def _on_failed(self, error: UNetError) -> None:
        self._say(str(error), colour=RED)
        self.failed.emit(error)

    def _say(self, text: str, *, colour: str = "") -> None:
        self.text.setText(text)
        self.text.setStyleSheet(f"color: {colour}" if colour else "")

    def _lay_out(self) -> None:
        result = QVBoxLayout(self._result)
        result.setContentsMargins(0, 0, 0, 0)
        result.addWidget(self.scores)
        result.addWidget(self.errors)
        self._result.setVisible(False)
        upper = (self.form, self.button, self.text)
        column(self, (*upper, self._result, self.correct, self.measuring))
        self.setMinimumWidth(340)

    def _connect(self) -> None:
        self.form.labels_changed.connect(self._on_labels)
        self.form.changed.connect(self._on_changed)
        self.button.run.connect(self.run)
        self.button.cancel.connect(self.cancel)
        self.measuring.button.run.connect(self.measure)
        self.measuring.button.cancel.connect(self.cancel_measuring)
        self.measuring.saved_as.connect(self.save)
        self.errors.chosen.connect(self._on_chosen)
        self.errors.coloured.connect(lambda _: self._show())
        self.correct.corrected.connect(self._on_corrected)
        self.correct.failed.connect(self._on_failed)
        self._watch.changed.connect(self._on_other_pixels)
        self._preferences.changed.connect(self.give_back)
        self._score.progress.connect(self._on_progress)
        self._score.done.connect(self._on_scored)
        self._score.stopped.connect(self._on_stopped)
        self._measure.progress.connect(self._on_measuring)
        self._measure.done.connect(self._on_measured)
        self._measure.stopped.connect(self._on_measuring_stopped)
        for run in (self._score, self._measure):
            run.failed.connect(self._on_failed)
        self._finder.shown.connect(self.looked)
        self._finder.failed.connect(self._on_failed)

    def follow(self) -> None:
        """Follow the viewer."""
        self._viewer.dims.events.current_step.connect(self._on_step)
        self.form.attach()

    def let_go(self) -> None:
        """Stop following; the layers get their own look back."""
        self.correct.choose("")
        self._forget()
        for work in (self._warm, self._score, self._measure):
            work.cancel()
        self._preferences.stop()
        self._watch.follow(None)
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self.form.detach()
