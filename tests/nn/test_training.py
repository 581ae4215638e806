"""Training as a whole: it learns, repeats itself, stops, resumes and reports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_unet as nu
from napari_unet.core.augment import Sample
from napari_unet.core.events import Note
from napari_unet.core.training_events import (
    Planned,
    Report,
    StepDone,
    TrainingError,
    TrainingEvent,
    Validated,
)
from napari_unet.core.training_facts import Finding
from napari_unet.core.tuning import v_rand
from napari_unet.errors import DeviceError, ImageFileError, SettingsError
from napari_unet.io.training_data import from_arrays
from napari_unet.nn import training as training_module
from napari_unet.nn import training_loop, training_state
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.predict import Predictor
from napari_unet.nn.training_plan import plan_training
from napari_unet.nn.training_state import state_path
from napari_unet.nn.validation import Judgement, Validator
from napari_unet.settings import Separation
from napari_unet.training_settings import Augmentation, Loss, Training

Pairs = list[tuple[Any, Any]]

TINY = Training(
    steps=6,
    base_channels=2,
    depth=2,
    patch=32,
    batch=2,
    precision="float32",
    validate_every=0.5,
)


@pytest.fixture
def pairs(discs: Callable[..., Any]) -> Pairs:
    return [discs(seed) for seed in range(4)]


def events_of(job: Any, stop_after: int | None = None) -> tuple[list[Any], Report]:
    """All events and the report; asks for a stop after a number of steps."""
    events: list[TrainingEvent] = []
    request = None
    while True:
        try:
            events.append(job.send(request))
        except StopIteration as end:
            return events, end.value
        last = events[-1]
        stopping = isinstance(last, StepDone) and last.step == stop_after
        request = "stop" if stopping else None


def weights(path: Path) -> dict[str, torch.Tensor]:
    return nu.load_model(path).network.state_dict()


def assert_same(first: Path, second: Path) -> None:
    """Equal weights and recipes, but for names and times."""
    a, b = weights(first), weights(second)
    assert all(torch.equal(a[name], b[name]) for name in a)
    recipes = [
        json.loads(nu.load_model(p).recipe.model_dump_json()) for p in (first, second)
    ]
    for recipe in recipes:
        del recipe["name"], recipe["training"]["seconds"]
    assert recipes[0] == recipes[1]


def steps_before(job: Any, n: int) -> None:
    """Run a job until `n` steps are done, and close it."""
    for event in job:
        if isinstance(event, StepDone) and event.step == n:
            break
    job.close()


def test_it_overfits_one_image(discs: Callable[..., Any], tmp_path: Path) -> None:
    """The loss falls, and touching discs come apart, in a few seconds."""
    image, labels = discs(0, (96, 96))
    training = TINY.replace(
        steps=80,
        base_channels=6,
        patch=64,
        learning_rate=0.01,
        ema=0.9,
        augmentation=Augmentation.none(),
        validate_every=1.0,
    )
    out = tmp_path / "m.safetensors"
    events, report = events_of(nu.iter_train([(image, labels)], out, training=training))
    losses = [e.losses["total"] for e in events if isinstance(e, StepDone)]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    seg = nu.segment(image, out, device="cpu")
    assert nu.evaluate(seg.labels, labels).summary()["ap@0.5"] >= 0.9
    assert report.steps == 80


def test_sgd_warms_up_follows_the_cosine_and_learns(
    discs: Callable[..., Any], tmp_path: Path
) -> None:
    """The rate of each step is that of the formula, and what the optimiser used."""
    n, warmup, peak = 60, 0.2, 0.02
    training = TINY.replace(
        optimizer="sgd",
        steps=n,
        warmup=warmup,
        learning_rate=peak,
        base_channels=6,
        patch=64,
        augmentation=Augmentation.none(),
        validate_every=0.5,
    )
    out = tmp_path / "m.safetensors"
    used, events = [], []
    for event in nu.iter_train([discs(0, (96, 96))], out, training=training):
        events.append(event)
        if isinstance(event, Validated):  # the state was written just before
            optimizer = torch.load(state_path(out), weights_only=True)["optimizer"]
            used.append([group["lr"] for group in optimizer["param_groups"]])
            first = optimizer["param_groups"][0]
            assert (first["momentum"], first["nesterov"]) == (0.99, True)
            assert all("momentum_buffer" in s for s in optimizer["state"].values())
    steps = [event for event in events if isinstance(event, StepDone)]
    rates = np.array([event.learning_rate for event in steps])
    middle = (np.arange(n) + 0.5) / n  # of each step, as a part of the budget
    rising = peak * middle / warmup
    falling = peak / 2 * (1 + np.cos(np.pi * (middle - warmup) / (1 - warmup)))
    expected = np.where(middle < warmup, rising, falling)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert rates.argmax() == round(warmup * n)
    assert (np.diff(rates[:12]) > 0).all()
    assert (np.diff(rates[12:]) < 0).all()
    assert used == [[rates[n // 2 - 1]] * 2, [rates[-1]] * 2]
    losses = [event.losses["total"] for event in steps]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_the_order_of_events_and_what_they_say(pairs: Pairs, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    events, report = events_of(nu.iter_train(pairs, out, training=TINY))
    kinds = [type(event) for event in events]
    start = kinds.index(Planned)
    assert set(kinds[:start]) <= {Note, Finding}
    assert "1 of 4 images are kept for validation." in report.notes
    after = [kind for kind in kinds[start + 1 :] if kind is not Finding]
    half = [StepDone] * 3 + [Validated]
    assert after == [*half, *half, Note]
    planned = events[start]
    assert (planned.n_training, planned.n_validation) == (3, 1)
    assert planned.channels == ("background", "interior", "boundary")
    assert (planned.patch, planned.device, planned.precision) == (
        (32, 32),
        "cpu",
        "float32",
    )
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4, 5, 6]
    assert [e.progress for e in steps] == pytest.approx([i / 6 for i in range(1, 7)])
    for event in steps:
        parts = sum(v for name, v in event.losses.items() if name != "total")
        assert event.losses["total"] == pytest.approx(parts, rel=1e-5)
    example = [e for e in events if isinstance(e, Validated)][-1].example
    assert example.probabilities.shape == (3, *example.truth.shape)
    assert example.labels.shape == example.truth.shape == example.image.shape[1:]
    assert [row["step"] for row in report.history] == [3, 6]


def test_the_checkpoint_holds_all_that_is_needed(pairs: Pairs, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    report = nu.train(pairs, TINY, out=out)
    recipe = nu.load_model(out).recipe
    assert recipe == report.recipe
    assert recipe.name == "mine"
    assert recipe.architecture.in_channels == 1
    assert recipe.training["steps"] == 6
    assert recipe.training["settings"] == TINY.model_dump(mode="json")
    assert "mean_ap_50_90" in recipe.scores["validation"]
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for _, labels in pairs])
    assert recipe.diameter == pytest.approx(np.median(2 * np.sqrt(areas / np.pi)))
    assert recipe.versions["torch"] == torch.__version__
    assert not state_path(out).exists()
    json.dumps(report.to_dict())
    with pytest.raises(ImageFileError, match="exists already"):
        nu.train(pairs, TINY, out=out)


def test_same_seed_same_weights(pairs: Pairs, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        nu.train(pairs, TINY.replace(random_seed=seed), out=path)
    assert_same(files[0], files[1])
    one, other = weights(files[0]), weights(files[2])
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("n", [1, 3, 5])
def test_closed_and_resumed_is_uninterrupted(
    pairs: Pairs, tmp_path: Path, n: int
) -> None:
    """Before, at and after the first validation."""
    whole, parts = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    nu.train(pairs, TINY, out=whole)
    steps_before(nu.iter_train(pairs, parts, training=TINY), n)
    assert parts.exists()
    nu.load_model(parts)
    events, _ = events_of(nu.iter_train(pairs, parts, training=TINY, resume=True))
    (planned,) = [e for e in events if isinstance(e, Planned)]
    assert planned.step == n
    assert_same(whole, parts)


def test_a_finished_or_foreign_training_is_not_resumed(
    pairs: Pairs, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    steps_before(nu.iter_train(pairs, out, training=TINY), 2)
    with pytest.raises(ImageFileError, match="exists already"):
        nu.train(pairs, TINY, out=out)
    for changed in (
        {"training": TINY.replace(batch=1)},
        {"data": [(image + 1, labels) for image, labels in pairs]},
        {"data": [(image, labels * 2) for image, labels in pairs]},
    ):
        given = {"data": pairs, "training": TINY, **changed}
        with pytest.raises(TrainingError, match="other images, settings"):
            nu.train(given["data"], given["training"], out=out, resume=True)
    state_path(out).write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="damaged"):
        nu.train(pairs, TINY, out=out, resume=True)
    # More steps are another budget, not another training.
    steps_before(nu.iter_train(pairs, out, training=TINY, overwrite=True), 2)
    assert nu.train(pairs, TINY.replace(steps=7), out=out, resume=True).steps == 7
    with pytest.raises(ImageFileError, match="is finished"):
        nu.train(pairs, TINY, out=out, resume=True)


def test_a_stop_ends_in_order(pairs: Pairs, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    job = nu.iter_train(pairs, out, training=TINY.replace(steps=100))
    events, report = events_of(job, stop_after=2)
    told = [e for e in events if not isinstance(e, (Finding, Note))]
    assert isinstance(told[-1], Validated)
    assert report.steps == 2
    assert report.stopped == "It was stopped on request."
    assert nu.load_model(out).recipe.training["stopped"] == report.stopped
    assert not state_path(out).exists()


def test_a_stop_before_the_first_step_ends_in_order(
    pairs: Pairs, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    job = nu.iter_train(pairs, out, training=TINY)
    assert not isinstance(next(job), StepDone)
    job.send("stop")
    _, report = events_of(job)
    assert (report.steps, report.stopped) == (0, "It was stopped on request.")
    assert nu.load_model(out).recipe.scores
    assert not state_path(out).exists()


def test_who_resumes_after_a_stop_goes_on(pairs: Pairs, tmp_path: Path) -> None:
    """A stop is asked for, and then the process dies before it is carried out."""
    out = tmp_path / "m.safetensors"
    job = nu.iter_train(pairs, out, training=TINY)
    while not isinstance(next(job), StepDone):
        pass
    assert isinstance(job.send("stop"), Validated)
    job.close()
    report = nu.train(pairs, TINY, out=out, resume=True)
    assert (report.steps, report.stopped) == (6, "The budget was used up.")


def scripted(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Let validations find these scores, one after the other; the last one stays."""
    left = list(scores)

    def judge(self: Validator, probabilities: Any, separation: Any) -> Judgement:
        score = left.pop(0) if len(left) > 1 else left[0]
        return Judgement({"mean_ap_50_90": score}, self.truth, 0.2)

    monkeypatch.setattr(Validator, "judge", judge)
    monkeypatch.setattr(Validator, "loss", lambda *_: 1.0)


def test_the_best_model_is_saved_and_a_worse_one_is_not(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.1, 0.8, 0.3])
    out, averages = tmp_path / "m.safetensors", []
    keep = training_loop.Loop.validate

    def validate(self: training_loop.Loop) -> Validated:
        averages.append(
            {k: v.clone() for k, v in self.state.average.state_dict().items()}
        )
        return keep(self)

    monkeypatch.setattr(training_loop.Loop, "validate", validate)
    training = TINY.replace(validate_every=1 / 3)
    events, report = events_of(nu.iter_train(pairs, out, training=training))
    assert [e.best for e in events if isinstance(e, Validated)] == [True, True, False]
    saved = weights(out)
    assert all(torch.equal(saved[k], v) for k, v in averages[1].items())
    assert report.recipe.training["step"] == 4
    assert report.recipe.training["steps"] == 6


def test_each_validation_is_scored_and_saved_with_thresholds_that_suit_it(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of two states is the one that is better when both are well cut."""
    # Interior of the first state is faint: it needs a lower threshold than usual.
    faint, good = (
        Separation(seed_threshold=seeds, mask_threshold=0.3) for seeds in (0.2, 0.6)
    )
    found = iter([faint, good])
    score_of = {faint.seed_threshold: 0.4, good.seed_threshold: 0.7}

    def judge(self: Validator, probabilities: Any, separation: Separation) -> Judgement:
        score = score_of.get(separation.seed_threshold, 0.0)
        return Judgement({"mean_ap_50_90": score}, self.truth, 0.2)

    monkeypatch.setattr(Validator, "tune", lambda *_: next(found))
    monkeypatch.setattr(Validator, "judge", judge)
    out, seen = tmp_path / "m.safetensors", []
    job = nu.iter_train(pairs, out, training=TINY)
    for event in job:
        if isinstance(event, Validated):
            saved = nu.load_model(out).recipe
            thresholds = (
                saved.separation.seed_threshold,
                saved.separation.mask_threshold,
            )
            seen.append((event.best, thresholds, saved.scores["validation"]))
    assert seen == [
        (True, (0.2, 0.3), {"mean_ap_50_90": 0.4}),
        (True, (0.6, 0.3), {"mean_ap_50_90": 0.7}),
    ]


def test_the_thresholds_of_a_validation_are_found_on_its_images(pairs: Pairs) -> None:
    start = plan_training(from_arrays(pairs), TINY)
    validator = Validator(
        start.model, start.objective, ["pair"], [], [], torch.device("cpu")
    )
    truth = np.zeros((40, 40), np.int32)
    truth[4:16, 4:19], truth[4:16, 19:34] = 1, 2
    interior = np.full(truth.shape, 0.02)
    interior[truth > 0] = 0.95
    interior[4:16, 18:20] = 0.84  # a bridge between the two
    stored = np.stack([1 - interior, interior, np.zeros_like(interior)])
    validator.__dict__["truth"] = [truth]
    tuned = validator.tune([np.rint(stored * 65535).astype(np.uint16)], Separation())
    assert tuned.seed_threshold == 0.9


def test_where_memory_is_full_validation_goes_on_in_smaller_tiles(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = plan_training(from_arrays(pairs), TINY)
    pixels = np.random.default_rng(3).random((1, 512, 512), np.float32)
    sample = Sample(pixels, np.zeros((512, 512), np.uint8), np.ones((512, 512)))
    validator = Validator(
        start.model, start.objective, ["large"], [sample], [], torch.device("cpu")
    )
    limit, reads = [2**30], []
    whole = validator.predict(start.model.network.eval(), "float32")
    keep = Predictor.values

    def full(self: Predictor, tile: Any) -> torch.Tensor:
        reads.append(tile[0].size)
        if tile[0].size > limit[0]:
            raise MemoryError
        return keep(self, tile)

    monkeypatch.setattr(Predictor, "values", full)
    limit[0] = 2**17
    found = validator.predict(start.model.network.eval(), "float32")
    assert reads[0] > limit[0]
    # Stored values may round the other way where sums are added in another order.
    assert np.abs(found[0].astype(int) - whole[0]).max() <= 1
    limit[0] = 0
    with pytest.raises(DeviceError, match="too small for validation"):
        validator.predict(start.model.network.eval(), "float32")


def test_where_nothing_is_found_yet_the_loss_decides(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.0])
    losses = [3.0, 2.0, float("nan"), 2.5]
    monkeypatch.setattr(Validator, "loss", lambda *_: losses.pop(0))
    training = TINY.replace(steps=4, validate_every=0.25)
    events, _ = events_of(
        nu.iter_train(pairs, tmp_path / "m.safetensors", training=training)
    )
    best = [e.best for e in events if isinstance(e, Validated)]
    assert best == [True, True, False, False]


def test_patience_ends_training(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [0.5, 0.6, 0.4, 0.4, 0.9])
    training = TINY.replace(steps=10, validate_every=0.1, patience=2)
    report = nu.train(pairs, training, out=tmp_path / "m.safetensors")
    assert (report.steps, report.stopped) == (4, "The score did not rise any more.")


def test_tuned_separation_is_stored(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = nu.Separation(seed_threshold=0.3, min_size=7)
    seen: dict[str, Any] = {}

    def tune(
        probabilities: Any, truth: Any, channels: Any, start: Any, plan: Any
    ) -> Any:
        shapes = [p.shape[1:] for p in probabilities]
        seen.update(shapes=shapes, truth=truth, score=plan.score)
        return type("Tuned", (), {"separation": found})

    monkeypatch.setattr(training_module, "tune_separation", tune)
    out = tmp_path / "m.safetensors"
    nu.train(pairs, TINY.replace(tune_for="rand"), out=out)
    assert nu.load_model(out).recipe.separation == found
    assert seen["score"] is v_rand
    (truth,) = seen["truth"]
    assert seen["shapes"] == [truth.shape]
    assert any(np.array_equal(truth, labels) for _, labels in pairs)


@pytest.mark.parametrize("by", ["value", "path"])
def test_fine_tuning_starts_from_the_model(
    pairs: Pairs, tmp_path: Path, make_model: Callable[..., Model], by: str
) -> None:
    first = tmp_path / "first.safetensors"
    nu.train(pairs, TINY.replace(normalization=nu.Normalization(high=97)), out=first)
    origin = nu.load_model(first)
    out = tmp_path / "second.safetensors"
    # A rate of nearly nothing leaves the weights where they were.
    training = TINY.replace(steps=1, learning_rate=1e-12, depth=3)
    start = origin if by == "value" else first
    nu.train(pairs, training, out=out, model=start)
    tuned = nu.load_model(out)
    assert tuned.recipe.architecture == origin.recipe.architecture
    assert tuned.recipe.normalization == nu.Normalization(high=97)
    assert tuned.recipe.training["from"] == {"name": "first", "sha256": origin.sha256}
    for name, value in origin.network.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(tuned.network.state_dict()[name], value)
    # The model that was given is not the one that learnt.
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            origin.network.parameters(),
            nu.load_model(first).network.parameters(),
            strict=True,
        )
    )


def test_another_target_gets_a_new_last_layer(pairs: Pairs, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    nu.train(pairs, TINY, out=first)
    training = TINY.replace(steps=1, loss=Loss(target="distance"))
    report = nu.train(pairs, training, out=second, model=first)
    assert report.recipe.channels[-1] == "distance"
    assert any("last layer starts afresh" in note for note in report.notes)


def test_errors_in_the_data_stop_before_training(pairs: Pairs, tmp_path: Path) -> None:
    masks = [(image, (labels > 0) * 255) for image, labels in pairs]
    out = tmp_path / "m.safetensors"
    with pytest.raises(TrainingError, match="mask of 0 and 255"):
        nu.train(masks, TINY, out=out)
    assert not out.exists()
    report = nu.train(masks, TINY.replace(steps=1), out=out, force=True)
    assert any("mask of 0 and 255" in finding for finding in report.findings)


def test_no_error_is_swallowed(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the network, not from a thread that makes patches."""

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a shape is wrong")

    out = tmp_path / "m.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "take_step", fails)
        with pytest.raises(RuntimeError, match="a shape is wrong"):
            nu.train(pairs, TINY, out=out)
    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.nn.batches.apply_patch", fails)
        with pytest.raises(RuntimeError, match="a shape is wrong"):
            nu.train(pairs, TINY, out=out)


def test_a_full_memory_is_named(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training_loop, "take_step", fails)
    with pytest.raises(DeviceError, match="too small for this batch"):
        nu.train(pairs, TINY, out=tmp_path / "m.safetensors")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_disk_that_fills_up_is_named_and_nothing_is_left(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replacing = training_state.replacing

    @contextlib.contextmanager
    def full(path: Path) -> Iterator[Path]:
        with replacing(path) as temporary:
            temporary.symlink_to("/dev/full")
            yield temporary

    monkeypatch.setattr(training_state, "replacing", full)
    with pytest.raises(ImageFileError, match="No space left on device"):
        nu.train(pairs, TINY, out=tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_before_the_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise ImageFileError(f"{path} cannot be written.", "Choose another file.")

    monkeypatch.setattr(training_module, "check_writable", refuse)
    with pytest.raises(ImageFileError, match="cannot be written"):
        nu.train(tmp_path / "no data", TINY, out=tmp_path / "m.safetensors")


def test_divergence_keeps_the_best_model(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = training_loop.take_step

    def diverges(state: Any, *arguments: Any, **options: Any) -> Any:
        if state.progress.step == 4:
            return None
        return step(state, *arguments, **options)

    monkeypatch.setattr(training_loop, "take_step", diverges)
    out = tmp_path / "m.safetensors"
    with pytest.raises(TrainingError, match=r"diverged at step 5.*best model so far"):
        nu.train(pairs, TINY, out=out)
    assert nu.load_model(out).recipe.training["step"] == 3


def test_unknown_options_are_named(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no option speed"):
        nu.train(pairs, TINY, out=tmp_path / "m.safetensors", speed=3)


def test_five_arrays_to_a_model_that_segments(
    discs: Callable[..., Any], tmp_path: Path
) -> None:
    """The main job in Python: train, segment what is new, evaluate."""
    pairs = [discs(seed) for seed in range(5)]
    out = tmp_path / "mine.safetensors"
    training = TINY.replace(steps=60, base_channels=6, learning_rate=0.01, ema=0.9)
    report = nu.train(pairs, training, out=out)
    image, truth = discs(99)
    seg = nu.segment(image, out, device="cpu")
    found = nu.evaluate(seg.labels, truth).summary()
    untrained = nu.train(pairs, TINY.replace(steps=1), out=tmp_path / "raw.safetensors")
    chance = nu.segment(image, untrained.path, device="cpu")
    assert found["ap@0.5"] >= 0.7
    assert nu.evaluate(chance.labels, truth).summary()["ap@0.5"] < 0.2
    assert report.scores["validation"]["ap@0.5"] >= 0.7
