"""Training: annotated images in, a checkpoint out.

`iter_train` yields what happens and may be stopped, closed, killed and resumed at any
step; `train` runs it to its end. The loop itself is in `napari_unet.nn.training_loop`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from napari_unet.core.events import Note
from napari_unet.core.pixel_size import PixelSize
from napari_unet.core.training_doctor import Finding
from napari_unet.core.training_events import (
    Planned,
    Report,
    TrainingError,
    TrainingEvent,
)
from napari_unet.core.tuning import (
    PLANS,
    TuningPlan,
    object_sizes,
    tune_separation,
    v_rand,
)
from napari_unet.core.tuning_doubt import tempered
from napari_unet.errors import CheckpointError, ImageFileError, SettingsError
from napari_unet.io.atomic import check_writable
from napari_unet.io.pairing import Pairing, find_pairs
from napari_unet.io.training_data import from_arrays, load_pairs
from napari_unet.io.training_image import TrainingImage, with_pixel_size
from napari_unet.nn.checkpoint import Model, load_model, save_model
from napari_unet.nn.device import choose_device
from napari_unet.nn.interrupt import run_to_end
from napari_unet.nn.optimisation import choose_precision
from napari_unet.nn.preparation import Preparation, prepare
from napari_unet.nn.training_loop import Files, Loop, Request, for_images
from napari_unet.nn.training_setup import make_samples, make_state
from napari_unet.nn.training_state import fingerprint, state_path
from napari_unet.nn.validation import Stored, Validator
from napari_unet.settings import Separation
from napari_unet.training_settings import Training

Job = Generator[TrainingEvent, Request, Report]
Data = str | Path | Pairing | Sequence[TrainingImage] | Sequence[tuple[Any, Any]]

TUNING = Note("The best model is scored and its separation tuned.")


@dataclass(frozen=True)
class Options:
    """What training starts from, where it runs, and what it may replace.

    Parameters
    ----------
    model
        To go on from (fine-tuning): a model, a bundled name or a path; None: a new
        network.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"xpu"``.
    resume
        Go on with a training of the same images and settings that was interrupted.
    overwrite
        Replace a checkpoint that exists.
    force
        Train even if the training doctor finds an error in the data.
    pixel_size
        Micrometres per pixel of all images: one number, one per spatial axis, or by
        axis letter. None: what their files say.
    """

    model: Model | str | Path | None = None
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    force: bool = False
    pixel_size: PixelSize | None = None


def train(
    data: Data,
    training: Training | None = None,
    *,
    out: str | Path,
    **options: Any,
) -> Report:
    """Train a network and save the best model, with everything needed to use it.

    The first Ctrl-C ends training early but in order: the best model is tuned and
    reported. The second one ends it at once; `resume` goes on from there.

    Parameters
    ----------
    data
        Pairs of (image, labels) arrays, a folder or a CSV of pairs (see `find_pairs`),
        or what `find_pairs` or `load_pairs` returned.
        Labels: 0 background, -1 not annotated, others one object each (or classes, for
        the semantic target).
    training
        Settings; the defaults train for five minutes.
    out
        The checkpoint, ending in ``.safetensors``.
    **options
        Fields of `Options`: `model`, `device`, `resume`, `overwrite`, `force`,
        `pixel_size`.

    Returns
    -------
    Report
        Path, recipe with tuned separation and scores, history.

    Raises
    ------
    UNetError
        If data, settings and model do not fit, `out` must not be replaced, or training
        diverges; the message says what to do.
    """
    return run_to_end(iter_train(data, out, training=training, **options))


def iter_train(
    data: Data, out: str | Path, *, training: Training | None = None, **options: Any
) -> Job:
    """Train as `train` does, yielding events.

    ``job.send("stop")`` ends training early but in order, with a last validation and
    tuned thresholds. ``job.close()`` ends it at once: the best model so far is there,
    and `resume` goes on from the step that was reached.

    Yields
    ------
    TrainingEvent
        See `napari_unet.core.training_events`.
    """
    check_out(out, **options)
    job = _Job(Path(out), training or Training(), _options(options))
    return job.run(with_pixel_size(as_images(data), job.options.pixel_size))


def check_out(out: str | Path, **options: Any) -> None:
    """Raise `UNetError` if a model must not be trained to `out`.

    Parameters
    ----------
    out
        The checkpoint.
    **options
        Fields of `Options`; `resume` and `overwrite` decide.
    """
    out, given = Path(out), _options(options)
    if out.suffix != ".safetensors":
        raise CheckpointError(
            f"{out.name} is no name for a checkpoint.", "End it with .safetensors."
        )
    check_writable(out)
    begun = state_path(out).exists()
    if given.overwrite or (given.resume and begun):
        return
    if out.exists():
        finished = ", and its training is finished" if given.resume else ""
        raise ImageFileError(
            f"{out} exists already{finished}.", "Choose another name, or overwrite it."
        )
    if begun:
        raise ImageFileError(
            f"A training of {out.name} was interrupted.",
            "Resume it, overwrite it, or choose another name.",
        )


def as_images(data: Data) -> list[TrainingImage]:
    """Return training images from files or from pairs of arrays."""
    if isinstance(data, (str, Path)):
        data = find_pairs(data)
    if isinstance(data, Pairing):
        return load_pairs(data)
    ready = [image for image in data if isinstance(image, TrainingImage)]
    if ready and len(ready) == len(data):
        return ready
    return from_arrays(cast("Sequence[tuple[Any, Any]]", data))


def _options(given: dict[str, Any]) -> Options:
    try:
        return Options(**given)
    except TypeError:
        unknown = sorted(set(given) - set(Options.__dataclass_fields__))
        raise SettingsError(
            f"There is no option {', '.join(unknown)}.",
            f"The options are {', '.join(Options.__dataclass_fields__)}.",
        ) from None


@dataclass
class _Job:
    """One training from images to report."""

    out: Path
    training: Training
    options: Options

    def run(self, images: Sequence[TrainingImage]) -> Job:
        prepared = prepare(images, self.training, self._model(), name=self.out.stem)
        asked = False
        known: list[TrainingEvent] = [*map(Note, prepared.notes), *prepared.findings]
        for event in known:
            asked = (yield event) == "stop" or asked
        self._refuse_errors(prepared.findings)
        loop = self._loop(prepared)
        asked = (yield self._planned(loop)) == "stop" or asked
        if asked:
            loop.ask_stop()
        try:
            yield from loop.run()
        except GeneratorExit:
            loop.leave()
            raise
        yield TUNING
        return self._finish(loop, prepared)

    # -- before ---------------------------------------------------------------------

    def _model(self) -> Model | None:
        model = self.options.model
        return model if isinstance(model, Model) or model is None else load_model(model)

    def _refuse_errors(self, findings: Sequence[Finding]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors and not self.options.force:
            raise TrainingError(errors[0].found, errors[0].remedy)

    def _loop(self, prepared: Preparation) -> Loop:
        start, images = prepared.start, prepared.images
        device = choose_device(self.options.device)
        precision = choose_precision(start.training.precision, device)
        state, file = make_state(start, device, precision), state_path(self.out)
        digest = fingerprint(start.training, images, start.model)
        if self.options.resume and file.exists():
            state.restore(file, digest)
        elif self.options.overwrite:
            file.unlink(missing_ok=True)
        patches, validator = make_samples(images, start, prepared.split, device)
        files = Files(self.out, file, digest)
        loop = Loop(start, state, patches, validator, precision, files)
        loop.write_best()
        return loop

    def _planned(self, loop: Loop) -> Planned:
        network = loop.state.network
        return Planned(
            n_training=len(loop.patches.samples),
            n_validation=len(loop.validator.samples),
            channels=loop.start.objective.channels,
            patch=loop.start.patch,
            n_parameters=sum(p.numel() for p in network.parameters()),
            device=str(loop.device),
            precision=loop.precision,
            step=loop.progress.step,
        )

    # -- after ----------------------------------------------------------------------

    def _finish(self, loop: Loop, prepared: Preparation) -> Report:
        """Tune the best model's separation, score it, and write both into its file."""
        best = load_model(self.out)
        validator, recipe = loop.validator, loop.recipe(loop.progress.best_row)
        probabilities = validator.predict(best.network, "float32")
        plan = PLANS[loop.start.training.tune_for]
        if loop.start.objective.task == "instances":
            found = tune_separation(
                probabilities,
                validator.truth,
                recipe.channels,
                recipe.separation,
                plan,
            ).separation
            start = loop.start.model.recipe.separation
            calm = _calmed(validator, probabilities, found, start, plan)
            recipe = recipe.replace(separation=calm)
        judged = validator.judge(probabilities, recipe.separation)
        scores = judged.scores
        if plan.score is v_rand and loop.start.objective.task == "instances":
            scores = {**scores, "v_rand": v_rand(judged.labels, validator.truth)}
        progress = loop.progress
        summary = {
            **recipe.training,
            "steps": progress.step,
            "stopped": loop.budget.why_over(),
        }
        recipe = recipe.replace(training=summary, scores={"validation": scores})
        recipe = for_images(recipe, loop.start)
        save_model(self.out, best.network, recipe)
        state_path(self.out).unlink(missing_ok=True)
        return Report(
            path=self.out,
            recipe=recipe,
            steps=progress.step,
            seconds=progress.seconds,
            stopped=loop.budget.why_over(),
            history=tuple(progress.history),
            findings=tuple(str(finding) for finding in prepared.findings),
            notes=prepared.notes,
        )


def _calmed(
    validator: Validator,
    probabilities: Sequence[Stored],
    found: Separation,
    start: Separation,
    plan: TuningPlan,
) -> Separation:
    """Return what was found, tempered, unless that would cost half of the score.

    A network that has hardly learned may have no seed above the threshold of the start.
    """
    calm = tempered(
        found,
        start,
        plan,
        n_images=len(validator.truth),
        n_objects=len(object_sizes(validator.truth)),
    )
    if calm == found:  # nothing moved: nothing to separate twice
        return found
    before, after = (
        next(iter(validator.judge(probabilities, each).scores.values()))
        for each in (found, calm)
    )
    return found if after < before / 2 else calm
