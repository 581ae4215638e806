"""Segment widget: choose, run, tune.

The widget only connects: what is chosen is a `SegmentChoice`, what is done is a plan
that the pipeline makes and a worker carries out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_unet.errors import UNetError
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.verifying import Verification, verify
from napari_unet.plugin.brought import Brought
from napari_unet.plugin.chosen_image import ChosenImage
from napari_unet.plugin.chosen_model import ChosenModel
from napari_unet.plugin.docked import DockedWidget
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.job import once
from napari_unet.plugin.model_drop import ModelDrop
from napari_unet.plugin.outputs import Outputs
from napari_unet.plugin.parts import column, told
from napari_unet.plugin.preferences import Preferences, folder_note, read_preferences
from napari_unet.plugin.preferences_watch import PreferencesWatch
from napari_unet.plugin.progress_row import ProgressRow
from napari_unet.plugin.script import as_python, copied_note, copy_text
from napari_unet.plugin.segment_choice import SegmentChoice
from napari_unet.plugin.segment_form import SegmentForm
from napari_unet.plugin.segment_plan import plan_for, scaled_note
from napari_unet.plugin.segment_run import Order, SegmentRun
from napari_unet.plugin.shared_engine import borrow_engine
from napari_unet.plugin.tuning_panel import TuningPanel
from napari_unet.plugin.view import chosen_part, part_or_hint, visible_region
from napari_unet.plugin.warming import Warming

if TYPE_CHECKING:
    import napari

    from napari_unet.engine.client import Engine
    from napari_unet.pipeline.model_card import ModelCard


class SegmentWidget(DockedWidget):
    """Segment an image with a U-Net, and tune how its cells are told apart.

    For scripts: `value`, `set_value`, `run`, `cancel`, `verify`, `copy_as_python`; the
    signals say when something is there.

    Parameters
    ----------
    viewer
        napari's.
    """

    ready = Signal()  # the model is read
    finished = Signal(object)  # a Segmentation
    tuned = Signal()  # all labels are those of a full run with the sliders' settings
    verified = Signal(object)  # a Verification
    failed = Signal(object)  # a UNetError
    stopped = Signal()  # comes last, after cancel too

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer, self._waiting = viewer, False
        self.form = SegmentForm(viewer)
        self.progress, self.tuning = ProgressRow(), TuningPanel()
        self._brought = Brought(self.tuning, self.form.invert)
        self._run, self._check = SegmentRun(viewer, self), EngineJob(self)
        self._image, self._model = (
            ChosenImage(self.form, self),
            ChosenModel(self.form, self),
        )
        self._warming = Warming(viewer.layers, self)
        self._preferences = PreferencesWatch(self)
        self._drop = ModelDrop(self, self.form.model.set_value)
        column(self, (self.form, self.progress, self.tuning))
        self.setMinimumWidth(320)
        self.tuning.set_result(False)
        self._connect()
        self.attach()

    def value(self) -> SegmentChoice:
        """Return all that is chosen."""
        return self.form.value(self.tuning.value())

    def set_value(self, choice: SegmentChoice) -> None:
        """Choose; a model brings its own separation and contrast, if none is given.

        Raises
        ------
        SettingsError
            If there is no such layer.
        """
        before = self.value()
        self.form.set_value(choice)
        card = None if self._model.is_loading else self._model.card
        self._brought.choose(choice, before, card)

    @property
    def outputs(self) -> Outputs | None:
        """The layers of the last run."""
        return self._run.outputs

    @property
    def card(self) -> ModelCard | None:
        """The model's card, once it is read."""
        return self._model.card

    def run(self) -> None:
        """Segment; `finished` or `failed` follows, then `stopped`."""
        self._preferences.look()
        if self._model.is_loading:
            self._waiting = True
            self.progress.show_running("Reading the model…")
            return
        with told(self._on_failed, self.stopped.emit):
            plan = self._make_plan(self._part())
            backend, engine = self._backend(plan), self._engine()
            order = Order(plan, backend, engine, self._image.layer, self._model.is_none)
            self.tuning.set_result(False)
            self.progress.show_running("Measuring intensities…")
            self._run.start(order)

    def cancel(self) -> None:
        """Stop; what is finished stays."""
        if self._waiting:
            self._waiting = False
            self._on_stopped()
        elif self._run.is_running:
            self.progress.show_cancelling()
            self._run.cancel()

    def verify(self) -> None:
        """Compare tiled with untiled on what is visible; `verified` or `failed`."""
        with told(self._on_failed):
            image = self._image
            visible = visible_region(self._viewer, image.layer, image.read().axes)
            plan = self._make_plan({"region": visible})
            backend = self._backend(plan)
            self.progress.say("Verifying what is visible…")
            self._check.start_on(self._engine(), once(lambda: verify(plan, backend)))

    def copy_as_python(self) -> str:
        """Put a script that makes these labels again on the clipboard; return it.

        Raises
        ------
        SettingsError
            If there is no finished result.
        """
        outputs = self._run.require()
        script = as_python(outputs.labels, outputs.source)
        copy_text(script)
        self.progress.say(copied_note(outputs.labels))
        return script

    def _part(self) -> dict[str, Any]:
        choice = self.form.region.currentText()
        card, axes = self._model.card, self._image.read().axes
        is_3d = bool(card and card.recipe.architecture.ndim == 3)
        is_3d = is_3d and not self._model.is_none
        layer = self._image.layer
        return chosen_part(choice, self._viewer, layer, axes, is_3d=is_3d)

    def _make_plan(self, part: dict[str, Any]) -> Plan:
        """Return the plan for what is chosen; raise `UNetError` where it is wrong."""
        card = None if self._model.is_none else self._model.require()
        plan = plan_for(self.value(), self._image.read(), card, part)
        if card is not None and self.tuning.follow_own(plan.own_separation):
            plan = plan_for(self.value(), self._image.read(), card, part)
        return plan

    def _validate(self) -> None:
        """Plan without working: mark what is wrong where it is, and disable Run."""
        if self._run.is_running or self._waiting:
            return
        self.form.clear()
        self.progress.say("")
        problem: UNetError | None = None
        try:
            image = self._image.read()
            if not self._model.is_loading:
                card = None if self._model.is_none else self._model.card
                self._image.offer_channels(card)
                part, hint = part_or_hint(self._part, image.axes)
                plan = self._make_plan(part)
                self.form.axes.show_mapping(plan.axes, plan.channels)
                self.progress.say(hint or scaled_note(plan) or folder_note())
        except UNetError as error:
            problem = error
            if not self.form.show_error(error) and self._model.error is not error:
                self.progress.show_error(error)
        self.progress.set_enabled(problem is None)

    def _on_image(self) -> None:
        self._image.look()
        self._validate()

    def _engine(self) -> Engine:
        return borrow_engine(self._user, read_preferences().compute)

    def _backend(self, plan: Plan) -> Any:
        card: Any = plan.model
        return self._engine().backend(card, plan.options)

    def _load_model(self) -> None:
        self._model.read(self._engine())
        self._validate()

    def _on_card(self, card: ModelCard) -> None:
        is_asked = self.form.answers.is_due and not self._waiting
        self._brought.bring(card, self.form.model.value(), is_final=not is_asked)
        self.ready.emit()
        if is_asked:
            self.form.answers.ask()
        self._go_on()

    def _on_no_card(self, error: UNetError) -> None:
        self.failed.emit(error)
        if self._waiting:
            self._waiting = False
            self.progress.say("")
            self._on_stopped()
        self._validate()

    def _go_on(self) -> None:
        """Run if that was asked for while the model was read."""
        waiting, self._waiting = self._waiting, False
        if waiting:
            self.progress.show_idle()
            self.run()
        else:
            self._validate()

    def _on_finished(self, result: object) -> None:
        self.progress.say(self._run.end_note())
        self.finished.emit(result)

    def _on_failed(self, error: UNetError) -> None:
        self._show_result()
        self.progress.show_error(error)
        self.failed.emit(error)

    def _on_stopped(self) -> None:
        news = self.progress.said()
        self.progress.show_idle()
        self.progress.set_enabled(True)
        self._validate()  # another image may have been chosen meanwhile
        self.progress.repeat(news)
        self._show_result()
        if self._run.was_cancelled:
            self.progress.say("Cancelled; what was finished stays.")
        self.stopped.emit()

    def _on_verified(self, found: Verification) -> None:
        self.progress.say(f"Verified: {found}")
        self.verified.emit(found)

    def _on_tuning(self) -> None:
        self._run.separate(self.tuning.value())
        self._show_result()
        self.progress.take_back("Verified")  # that was of other settings

    def _on_tuned(self) -> None:
        self._show_result()
        self.tuned.emit()

    def _show_result(self, _: object = None) -> None:
        if not self._run.is_running:
            shown, layer = self._run.on_screen(), self._image.layer
            self.tuning.show_result(shown, layer, is_counting=self._run.is_tuning)

    def _show_probabilities(self, visible: bool) -> None:
        self._run.show_probabilities = visible
        if self.outputs is not None:
            self.outputs.show_probabilities(visible)

    def _copy(self) -> None:
        with told(self._on_failed):
            self.copy_as_python()

    def _connect(self) -> None:
        self.form.image_changed.connect(self._on_image)
        self._image.switched.connect(self._show_result)
        self._image.corrected.connect(self._validate)
        self.form.model_changed.connect(self._load_model)
        self.form.changed.connect(self._validate)
        self.form.export.serve(self._model.require, self._engine, self.progress)
        self.progress.run.connect(self.run)
        self.progress.cancel.connect(self.cancel)
        self.tuning.changed.connect(self._on_tuning)
        self.tuning.show_probabilities.toggled.connect(self._show_probabilities)
        self.tuning.verify.clicked.connect(self.verify)
        self.tuning.copy.clicked.connect(self._copy)
        self._model.loaded.connect(self._on_card)
        self._model.failed.connect(self._on_no_card)
        self._run.progress.connect(self.progress.show_progress)
        self._run.noted.connect(self.progress.say)
        self._run.finished.connect(self._on_finished)
        self._run.failed.connect(self._on_failed)
        self._run.stopped.connect(self._on_stopped)
        self._run.tuned.connect(self._on_tuned)
        self._warming.ready.connect(self._on_ready)
        self._preferences.changed.connect(self._on_preferences)
        self._check.done.connect(self._on_verified)
        self._check.failed.connect(self._on_failed)

    def follow(self) -> None:
        """Follow the viewer, and get ready."""
        self._model.expect()
        self._image.attach()
        self._viewer.dims.events.current_step.connect(self._run.show_step)
        self._viewer.layers.events.removed.connect(self._show_result)
        self._on_image()
        self._warming.start()

    def let_go(self) -> None:
        """Stop following, and end all work."""
        self._waiting = False
        self._image.detach()
        self._viewer.dims.events.current_step.disconnect(self._run.show_step)
        self._viewer.layers.events.removed.disconnect(self._show_result)
        for work in (self._model, self._check, self._warming, self.form.export):
            work.cancel()
        self._preferences.stop()
        self._run.close()

    def _on_ready(self) -> None:
        """List the user's models, and read the chosen one."""
        if self._attached:
            self._preferences.follow()
            self.form.model.list_own()
            if not self._model.is_asked:
                self._load_model()

    def _on_preferences(self, before: Preferences, now: Preferences) -> None:
        """List other models; where work goes elsewhere, read the chosen one there."""
        self.form.model.list_own()
        if (before.compute, before.device) != (now.compute, now.device):
            self._load_model()
        else:
            self._validate()
