"""What the U-Net learns from other people's images, from scratch, in minutes.

    python benchmarks/evidence.py DATA [--only NAME,NAME] [--pictures FOLDER]

DATA holds the sets, each with train and test. Every row of evidence_rows.py trains on
`train`, for as many minutes as it says, and is scored once on `test`. Rows lie in
benchmarks/results and are not measured again, unless they start from a bundled model
that has changed; a training that was interrupted goes on. benchmarks/accuracy.py puts
them into docs/accuracy.md. `--pictures` draws what was found in the test images (red)
over the truth (green), into a folder outside of this repository: the images are not
ours. `--minutes 0.2` tries all of it out and keeps nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evidence_rows import ROWS, Images, Row, Step
from skimage.segmentation import find_boundaries
from write_docs import processor

import napari_unet as nu
from napari_unet.core.training_events import Report
from napari_unet.io.overlay import write_picture
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import load_pairs
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.training import Job, iter_train
from napari_unet.nn.training_state import state_path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RUNS = Path("runs/evidence")
FOUND, TRUE = (255, 40, 40), (60, 230, 60)


@dataclass(frozen=True)
class Places:
    """Where things lie.

    Parameters
    ----------
    data
        The sets.
    runs
        Models and interrupted trainings.
    pictures
        For the test images; None: none are drawn.
    """

    data: Path
    runs: Path
    pictures: Path | None = None


def read(folder: Path, steps: tuple[Step, ...]) -> Images:
    """Images of a folder, by name."""
    images = load_pairs(find_pairs(folder / "images", folder / "labels"))
    images.sort(key=lambda image: image.name)
    for step in steps:
        images = step(images)
    return images


def judged(folder: Path, row: Row) -> Images:
    """The test images that count."""
    images = read(folder / "test", row.prepare)
    if not row.gold:
        return images
    with (folder / "manifest.csv").open(newline="") as file:
        kinds = {line["name"]: line["label_kind"] for line in csv.DictReader(file)}
    return [image for image in images if kinds[image.name] == "gold"]


def trained(name: str, row: Row, places: Places) -> tuple[Model, dict[str, Any]]:
    """Train, go on, or take what is finished; return the model and what it took."""
    start = row.start() if row.start else None
    if row.training is None:
        return start, {"images": 0, "minutes": 0.0, "steps": 0, "curve": []}
    out = places.runs / f"{name}.safetensors"
    finished = out.with_suffix(".json")
    asked = {"start": _start(row), "settings": row.training.model_dump(mode="json")}
    if finished.exists():
        known = json.loads(finished.read_text())
        if known["asked"] == asked:
            return nu.load_model(out), known["facts"]
    images = read(places.data / row.data / "train", (*row.prepare, *row.choose))
    begun = state_path(out).exists()
    how = {"training": row.training, "resume": begun, "overwrite": not begun}
    report = _report(iter_train(images, out, model=start, **how))
    facts = {"images": len(images), **_facts(report)}
    finished.write_text(json.dumps({"asked": asked, "facts": facts}))
    return nu.load_model(out), facts


def _report(job: Job) -> Report:
    """Run to the end; Ctrl-C leaves a training that can be resumed, and no row."""
    with contextlib.closing(job):
        while True:
            try:
                next(job)
            except StopIteration as end:
                return end.value


def _facts(report: Report) -> dict[str, Any]:
    """What a training took, and its score on the validation images meanwhile."""
    (scores,) = report.recipe.scores.values()
    first = next(iter(scores))
    return {
        **_accelerator(report.recipe.training["device"]),
        "minutes": round(report.seconds / 60, 1),
        "steps": report.steps,
        "validated_by": first,
        "curve": [round(float(line[first]), 3) for line in report.history],
    }


def _accelerator(device: str) -> dict[str, str]:
    """Name the accelerator; nothing if it was the processor."""
    if not device.startswith("cuda"):
        return {}
    return {"accelerator": torch.cuda.get_device_name(device)}


def measure(name: str, row: Row, places: Places) -> dict[str, Any]:
    """Train and score one row."""
    model, facts = trained(name, row, places)
    test = judged(places.data / row.data, row)
    found = [_segment(image, model, row) for image in test]
    if places.pictures is not None:
        draw(found, test, places.pictures / name)
    scores = row.metric(found, [i.labels for i in test], model.recipe.channels)
    return {
        "data": row.data,
        "method": row.method,
        "start": _start(row),
        **facts,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "test_images": len(test),
        **scores,
    }


def _start(row: Row) -> str:
    """Which model a row starts from; nothing for a new network."""
    return row.start().sha256[:12] if row.start else ""


def _segment(image: TrainingImage, model: Model, row: Row) -> Any:
    options = {"pixel_size": image.pixel_size or None, **row.options}
    result = nu.segment(image.image, model, axes=image.axes, rgb=image.rgb, **options)
    return result.labels


def draw(found: list[Any], test: Images, folder: Path) -> None:
    """Draw outlines of what was found over the truth, the middle plane of volumes."""
    folder.mkdir(parents=True, exist_ok=True)
    for labels, image in zip(found, test, strict=True):
        pixels, true = image.image.astype(np.float32), image.labels
        if true.ndim == 3:
            middle = len(true) // 2
            pixels, labels, true = pixels[:, middle], labels[middle], true[middle]
        low, high = np.percentile(pixels, (1, 99.8))
        grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
        colour = grey if len(grey) == 3 else grey[:1].repeat(3, axis=0)
        picture = np.moveaxis(colour, 0, -1).astype(np.uint8)
        picture[find_boundaries(np.maximum(true, 0), mode="inner")] = TRUE
        picture[find_boundaries(labels, mode="inner")] = FOUND
        write_picture(folder / f"{image.name}.png", picture)


def is_measured(record: Path, row: Row) -> bool:
    """Whether a row is there, and what it started from has not changed."""
    if not record.exists():
        return False
    return json.loads(record.read_text())["start"] == _start(row)


def try_out(name: str, places: Places, minutes: float) -> None:
    """Do all of it in a short time; keep nothing but pictures."""
    row = ROWS[name]
    if row.training is not None:
        row = replace(row, training=row.training.replace(minutes=minutes))
    with tempfile.TemporaryDirectory() as folder:
        print(name, measure(name, row, replace(places, runs=Path(folder))), flush=True)


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pictures", type=Path, help="outside of this repository")
    parser.add_argument("--minutes", type=float, help="to try it out; nothing is kept")
    arguments = parser.parse_args()
    places = Places(arguments.data, arguments.runs, arguments.pictures)
    if places.pictures and places.pictures.resolve().is_relative_to(HERE.parent):
        parser.error("--pictures: a folder outside of this repository, please")
    for name in arguments.only.split(","):
        if arguments.minutes is not None:
            try_out(name, places, arguments.minutes)
            continue
        record = arguments.results / f"{name}.json"
        if not is_measured(record, ROWS[name]):
            arguments.runs.mkdir(parents=True, exist_ok=True)
            arguments.results.mkdir(parents=True, exist_ok=True)
            row = measure(name, ROWS[name], places)
            record.write_text(json.dumps(row, indent=1) + "\n")
        print(name, record.read_text(), flush=True)


if __name__ == "__main__":
    main()
