"""Train widget: a few painted cells in, a model for Segment out.

The widget only connects: what is chosen is a `TrainChoice`, what is done is an order
that a worker carries out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unet.core.training_events import Planned, Report, StepDone, Validated
from napari_unet.engine.training import check_data
from napari_unet.errors import UNetError
from napari_unet.plugin.annotate_next import AnnotateNext
from napari_unet.plugin.annotated import (
    channels_note,
    check_choice,
    check_free,
    is_begun,
    make_order,
    settle_axes,
)
from napari_unet.plugin.card_text import SCORES
from napari_unet.plugin.check_panel import CheckPanel
from napari_unet.plugin.curves import Curves
from napari_unet.plugin.docked import DockedWidget
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.parts import column, told
from napari_unet.plugin.preferences import Preferences, read_preferences, remember
from napari_unet.plugin.preferences_watch import PreferencesWatch
from napari_unet.plugin.shared_engine import borrow_engine
from napari_unet.plugin.start_questions import StartQuestions
from napari_unet.plugin.train_choice import TrainChoice
from napari_unet.plugin.train_form import TrainForm
from napari_unet.plugin.train_row import TrainRow
from napari_unet.plugin.train_run import TrainPreview, TrainRun, visible_scene
from napari_unet.plugin.use_model import use_in_segment
from napari_unet.plugin.warming import Warming
from napari_unet.plugin.weights_view import WeightsView

if TYPE_CHECKING:
    import napari

    from napari_unet.core.uncertainty import Region
    from napari_unet.engine.client import Engine


class TrainWidget(DockedWidget):
    """Train a U-Net on layers or files, watch it learn, and use it in Segment.

    For scripts: `value`, `set_value`, `run`, `resume`, `stop`, `abort`, `check`,
    `annotate_next`.

    Parameters
    ----------
    viewer
        napari's.
    """

    validated = Signal(object)  # a Validated
    previewed = Signal(object)  # the labels layer of the preview
    weighted = Signal(object)  # the image layer of the weights
    checked = Signal(object)  # a Check
    moved = Signal(object)  # a Region
    finished = Signal(object)  # a Report
    failed = Signal(object)  # a UNetError
    stopped = Signal()  # comes last

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._stopping = False
        self._score, self._out = "", ""
        self.form = TrainForm(viewer)
        self.check_panel, self.row, self.curves = CheckPanel(), TrainRow(), Curves()
        self.next_button = QPushButton("Annotate next")
        self.next_button.setToolTip(
            "Go to the region that the network knows least about; it needs the "
            "probabilities of a run of Segment."
        )
        self._run, self._preview = TrainRun(self), TrainPreview(viewer, self)
        self._weights = WeightsView(viewer, self)
        self._next = AnnotateNext(viewer, self)
        self._check = EngineJob(self)
        self._warming = Warming(viewer.layers, self, "pyqtgraph")
        self._preferences = PreferencesWatch(self)
        self._questions = StartQuestions(self.form.answers, self)
        self.curves.setVisible(False)
        parts = (self.form, self.check_panel, self.row, self.curves, self.next_button)
        column(self, parts)
        self.setMinimumWidth(340)
        self._connect()
        self.attach()

    def value(self) -> TrainChoice:
        """Return all that is chosen."""
        self.form.complete()
        return self.form.value()

    def set_value(self, choice: TrainChoice) -> None:
        """Choose."""
        self.form.set_value(choice)

    def run(self) -> None:
        """Train; `finished` or `failed` follows, then `stopped`."""
        self._start(resume=False)

    def resume(self) -> None:
        """Go on with the training of the chosen file that was interrupted."""
        self._start(resume=True)

    def stop(self) -> None:
        """End in order: a last validation, and tuned thresholds."""
        if self._questions.is_awaited:
            self.row.say("")
            self._questions.give_up()
        elif self._run.is_running:
            self._stopping = True
            self.row.show_stopping()
            self._run.ask_stop()

    def abort(self) -> None:
        """End at once; the best model stays, and `resume` goes on."""
        if self._run.is_running:
            self.row.show_cancelling()
            self._run.abort()

    def check(self) -> None:
        """Ask the training doctor; `checked` or `failed` follows."""
        with told(self._on_failed):
            choice, layers = self._checked(), self._viewer.layers
            engine = self._engine()
            self.row.say("Looking at the data…")
            self._check.start_on(
                engine, once(lambda: check_data(engine, make_order(choice, layers)))
            )

    def annotate_next(self) -> None:
        """Look at the most uncertain region; `moved` or `failed` follows."""
        with told(self._on_failed):
            pairs = self.form.pairs
            image, labels = pairs.chosen()
            shapes = pairs.shapes.layer() if pairs.inside.isChecked() else None
            self._next.next(image, labels, shapes)

    def _start(self, *, resume: bool) -> None:
        with told(self._on_failed, self.stopped.emit):
            choice, layers = self._checked(), self._viewer.layers
            self._questions.check()
            if self._questions.when_read(lambda: self._go_on(resume=resume)):
                self.row.show_running("Reading the model to start from…")
                return
            settle_axes(choice, layers)
            device, self._out = read_preferences().device, choice.out
            self._stopping, self._score = False, ""
            self.curves.clear()
            self.curves.setVisible(True)
            self.check_panel.show_findings([])
            self.row.show_running("Preparing the data…")

            def make() -> Any:
                return make_order(choice, layers, device=device, resume=resume)

            self._run.start(self._engine(), make)

    def _go_on(self, *, resume: bool) -> None:
        """Train what is chosen, now that the model to start from is read."""
        self.row.show_idle()
        self._start(resume=resume)

    def _checked(self) -> TrainChoice:
        """Return what is chosen, or raise why it cannot be trained."""
        choice = self.value()
        self.form.check()
        check_choice(choice, self._viewer.layers)
        return choice

    def _validate(self) -> None:
        """Mark what is wrong, and disable Train until it is right."""
        if self.row.is_running or not self.form.is_complete:
            return
        problem: UNetError | None = None
        out = self.form.out.text().strip()
        self.row.again.setVisible(is_begun(out))
        try:
            self._checked()
            check_free(out)
        except UNetError as error:
            problem = error
        if problem is not None:
            self.row.show_error(problem)
        else:
            self.row.say(channels_note(self.value(), self._viewer.layers))
        self.row.set_enabled(problem is None)

    def _show_weights(self) -> None:
        if not self.form.show_weights.isChecked():
            self._weights.hide()
            return
        with told(self._on_failed):
            image, _ = self.form.pairs.chosen()
            choice = self.value()
            # The pair in the boxes is the last.
            choice = choice.replace(pairs=choice.pairs[-1:], folder="")
            order = make_order(choice, self._viewer.layers, blank=True)
            self._weights.show(self._engine(), order, image)

    def _forget_findings(self) -> None:
        """Drop what was said of other labels."""
        if not self.row.is_running:
            self.check_panel.show_findings([])

    def _on_planned(self, plan: Planned) -> None:
        size = " x ".join(map(str, plan.patch))
        self.row.say(
            f"{plan.n_training} for training, {plan.n_validation} for validation · "
            f"patches of {size} · {plan.n_parameters / 1e6:.1f} M weights · "
            f"{plan.device}, {plan.precision}"
        )

    def _on_step(self, event: StepDone) -> None:
        self.curves.add_step(event)
        if not self._stopping:
            self.row.show_step(event, self._score)

    def _on_validated(self, event: Validated) -> None:
        self.curves.add_validation(event)
        name, value = next(iter(event.scores.items()), ("score", 0.0))
        self._score = f" · {SCORES.get(name, name)} {value:.3f}"
        if event.best:
            self._show_preview()
        self.validated.emit(event)

    def _show_preview(self) -> None:
        """Show what the best model so far makes of what is on screen."""
        source = self.form.pairs.image.layer()
        if source is None:
            return
        device = read_preferences().device
        scene = visible_scene(self._viewer, source, self._out, device)
        self._preview.show(self._run.engine or self._engine(), scene)

    def _on_finished(self, report: Report) -> None:
        path = str(report.path)
        remember(path)
        is_used = use_in_segment(self._viewer, path)
        where = "the model in Segment now" if is_used else "trained"
        # Training goes on from what was learned, to a file of its own.
        self.form.choose_start(path)
        self.form.suggest_file()
        scores = self._score.removeprefix(" · ")
        self.row.say(f"{report.path.name} is {where}. {report.stopped} {scores}")
        self.finished.emit(report)

    def _on_checked(self, check: Any) -> None:
        self.row.say("")
        self.check_panel.show_check(check)
        self.checked.emit(check)

    def _on_moved(self, region: Region) -> None:
        self.row.say(f"Uncertainty here: {region.uncertainty:.2f} of 1.")
        self.moved.emit(region)

    def _on_failed(self, error: UNetError) -> None:
        self.row.show_error(error)
        self.failed.emit(error)

    def _on_stopped(self) -> None:
        news = self.row.said()
        self.row.show_idle()
        self.curves.draw()
        self._validate()
        # What has just happened is news; what the next training lacks can wait.
        self.row.repeat(news)
        self.stopped.emit()

    def _cancel(self) -> None:
        (self.abort if self._stopping else self.stop)()

    def _engine(self) -> Engine:
        return borrow_engine(self._user, read_preferences().compute)

    def _connect(self) -> None:
        self._warming.ready.connect(self._on_ready)
        self._preferences.changed.connect(self._on_preferences)
        self.form.changed.connect(self._validate)
        for other in (self.form.pairs.changed, self.form.pairs.labels.edited):
            other.connect(self._forget_findings)
        self.form.weights_changed.connect(self._show_weights)
        self.form.start_changed.connect(
            lambda start: self._questions.read(self._engine, start)
        )
        self._questions.failed.connect(self._on_failed)
        self._questions.given_up.connect(self._on_stopped)
        self.check_panel.button.clicked.connect(self.check)
        self.next_button.clicked.connect(self.annotate_next)
        self.row.run.connect(self.run)
        self.row.cancel.connect(self._cancel)
        self.row.resume.connect(self.resume)
        run = self._run
        run.planned.connect(self._on_planned)
        run.stepped.connect(self._on_step)
        run.validated.connect(self._on_validated)
        run.found.connect(self.check_panel.add_finding)
        run.finished.connect(self._on_finished)
        run.failed.connect(self._on_failed)
        run.stopped.connect(self._on_stopped)
        self._preview.shown.connect(self.previewed)
        self._preview.failed.connect(lambda error: self.row.say(str(error)))
        self._weights.shown.connect(self.weighted)
        self._weights.failed.connect(self._on_failed)
        self._next.moved.connect(self._on_moved)
        self._next.failed.connect(self._on_failed)
        self._check.done.connect(self._on_checked)
        self._check.failed.connect(self._on_failed)

    def follow(self) -> None:
        """Follow the viewer."""
        self.form.attach()
        self._warming.start()

    def _on_ready(self) -> None:
        if self._attached:
            self._preferences.follow()
            self.form.complete()
            self._validate()

    def _on_preferences(self, before: Preferences, now: Preferences) -> None:
        self.give_back(before, now)
        self.form.list_own()
        in_use = self._run.is_running or is_begun(self.form.out.text().strip())
        if before.model_folder != now.model_folder and not in_use:
            self.form.move_file()
        self._validate()

    def let_go(self) -> None:
        """Stop following; a training ends at once, and can be resumed."""
        self.check_panel.close_sheet()
        self._run.abort()
        waits = (self._preview, self._next, self._check, self._questions)
        for work in (*waits, self._warming):
            work.cancel()
        self._preferences.stop()
        self._weights.hide()
        self.form.detach()
