"""What the U-Net learns from other people's images, from scratch, in minutes.

    python benchmarks/evidence.py DATA [--only NAME,NAME]

DATA holds the sets, each with train and test. Every row trains on `train`, for as many
minutes as the table says, and is scored once on `test`. Rows lie in benchmarks/results
and are not measured again; a training that was interrupted goes on. benchmarks/accuracy.py
puts the tables into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.segmentation import expand_labels

import napari_unet as nu
from napari_unet.core.semantic_metrics import semantic_scores
from napari_unet.core.touching import touching_recall
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import TrainingImage, as_planes, load_pairs
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.training import iter_train
from napari_unet.nn.training_state import state_path
from napari_unet.nn.unet import UNet, ronneberger2015
from napari_unet.settings import Recipe
from napari_unet.training_settings import Augmentation, Loss, Training

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/evidence")
Images = list[TrainingImage]
Scores = dict[str, float]
NO_WEIGHTS = Loss(w0=0.0)
SEMANTIC = Loss(target="semantic")


def valid_network() -> Model:
    """The valid-convolution network of 2015, a quarter as wide."""
    architecture = ronneberger2015(base_channels=16)
    recipe = Recipe(architecture=architecture, channels=("background", "interior"))
    torch.manual_seed(0)
    return Model(UNet(architecture), recipe)


def as_is(images: Images) -> Images:
    """The images, unchanged."""
    return images


def planes(images: Images) -> Images:
    """All planes of all volumes."""
    return [plane for image in images for plane in as_planes(image)]


def without(*values: int) -> Callable[[Images], Images]:
    """Return a function that marks classes as not annotated."""

    def mark(images: Images) -> Images:
        return [
            replace(i, labels=np.where(np.isin(i.labels, values), -1, i.labels))
            for i in images
        ]

    return mark


def spaced(images: Images) -> Images:
    """Volumes of embryos: Z is coarser, which their files do not say."""
    size = {"Z": 2.19, "Y": 1.0, "X": 1.0}
    return [replace(image, pixel_size=size) for image in images]


def first_five(images: Images) -> Images:
    """Five images, spread over all of them."""
    return [images[round(i * (len(images) - 1) / 4)] for i in range(5)]


def objects(found: list[Any], truth: list[Any], n_classes: int) -> Scores:
    """Scores of instances."""
    del n_classes
    scores = nu.evaluate(found, truth).summary()
    hit, pairs = touching_recall(found, truth)
    names = ("ap@0.5", "ap@0.75", "mean_ap_50_90", "seg")
    return {name: float(scores[name]) for name in names} | {
        "touching": hit / pairs if pairs else float("nan")
    }


def membranes(found: list[Any], truth: list[Any], n_classes: int) -> Scores:
    """Adapted Rand error, V_Rand and V_Info within the true cells, borders thinned.

    Arganda-Carreras et al. 2015: with p_ij the share of pixels in segment i and cell j,
    V_Rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2), V_Info = 2 I / (H_s + H_t).
    """
    del n_classes
    rows = []
    for labels, true in zip(found, truth, strict=True):
        grown = expand_labels(labels, distance=max(labels.shape))
        kept = true > 0
        _, pairs = np.unique(
            np.stack([grown[kept], true[kept]]), axis=1, return_inverse=True
        )
        p = np.bincount(pairs.ravel()) / kept.sum()
        s, t = (
            np.unique(side[kept], return_counts=True)[1] / kept.sum()
            for side in (grown, true)
        )
        rand = (p**2).sum() / ((s**2).sum() + (t**2).sum()) * 2
        h_s, h_t, h = (-(x * np.log(x)).sum() for x in (s, t, p))
        rows.append((1 - rand, rand, 2 * (h_s + h_t - h) / (h_s + h_t)))
    error, rand, info = np.mean(rows, axis=0)
    return {"rand_error": float(error), "v_rand": float(rand), "v_info": float(info)}


def classes(found: list[Any], truth: list[Any], n_classes: int) -> Scores:
    """Mean IoU and accuracy, and the IoU and Dice of each class."""
    scores = semantic_scores(found, truth, n_classes=n_classes, ignore=(-1, 255))
    kept = {f"iou_{c}": value for c, value in scores["iou"].items()}
    kept |= {f"dice_{c}": value for c, value in scores["dice"].items()}
    return {"mean_iou": scores["mean_iou"], **kept}


@dataclass(frozen=True)
class Row:
    """One training and its score.

    Parameters
    ----------
    data, method
        Set, and what is done with it.
    training
        Settings.
    metric
        Scores of labels and truth.
    prepare, choose
        What is done to all images; to those for training as well.
    options
        Of `segment`.
    start
        Where training starts; None: from scratch.
    gold
        Whether only images with gold truth are scored.
    """

    data: str
    method: str
    training: Training = field(default_factory=Training)
    metric: Callable[[list[Any], list[Any], int], Scores] = objects
    prepare: Callable[[Images], Images] = as_is
    choose: Callable[[Images], Images] = as_is
    options: Mapping[str, Any] = field(default_factory=dict)
    start: Callable[[], Model] | None = None
    gold: bool = False


def nuclei() -> Model:
    """The bundled model."""
    return nu.load_model("nuclei")


def minutes(n: float, **settings: Any) -> Training:
    """Return the defaults, for `n` minutes."""
    return Training(minutes=n, **settings)


LINKED = {"separation": nu.Separation(link="Z", link_overlap=0.1)}
INVERTED = {"normalization": nu.Normalization(invert=True)}
EMBRYO = Augmentation(scale=(0.8, 1.25), elastic=4.0)
ROWS = {
    "dic": Row("ctc_dic_hela", "default", minutes(20), gold=True),
    "dic-no-weights": Row(
        "ctc_dic_hela", "w0 = 0", minutes(20, loss=NO_WEIGHTS), gold=True
    ),
    "n2dl": Row("ctc_n2dl_hela", "default", minutes(10)),
    "n2dl-no-weights": Row("ctc_n2dl_hela", "w0 = 0", minutes(10, loss=NO_WEIGHTS)),
    "em-valid": Row(
        "isbi2012_em",
        "valid convolutions, 2015",
        minutes(20, loss=Loss.ronneberger2015(), batch=1, patch=(444,)),
        membranes,
        start=valid_network,
    ),
    "em": Row("isbi2012_em", "default", minutes(20), membranes),
    "embryo": Row(
        "bbbc050_mouse_embryo_3d",
        "3-D, anisotropic pooling",
        minutes(20, base_channels=8, depth=3, batch=2, augmentation=EMBRYO),
        prepare=spaced,
    ),
    "embryo-2d": Row(
        "bbbc050_mouse_embryo_3d",
        "2-D, linked over Z",
        minutes(20, base_channels=8),
        choose=planes,
        options=LINKED,
    ),
    "tumour": Row("mri_brain_tumour", "default", minutes(10, loss=SEMANTIC), classes),
    "camvid": Row(
        "camvid", "default", minutes(15, loss=SEMANTIC), classes, without(11)
    ),
    "tiles": Row("magnetic_tile", "plain", minutes(10, loss=SEMANTIC), classes),
    "tiles-weighted": Row(
        "magnetic_tile",
        "class weights and focal 2",
        minutes(10, loss=SEMANTIC.replace(class_weights="balance", focal=2.0)),
        classes,
    ),
    "dubai": Row(
        "dubai_aerial", "default", minutes(15, loss=SEMANTIC), classes, without(255)
    ),
    "tissue": Row("dsb2018_brightfield", "default", minutes(10)),
    "n2dl-abroad": Row("ctc_n2dl_hela", "nuclei as it is", start=nuclei),
    "n2dl-tuned": Row(
        "ctc_n2dl_hela",
        "nuclei, fine-tuned on 5 images",
        minutes(3),
        choose=first_five,
        start=nuclei,
    ),
    "tissue-abroad": Row(
        "dsb2018_brightfield", "nuclei as it is", start=nuclei, options=INVERTED
    ),
    "tissue-tuned": Row(
        "dsb2018_brightfield",
        "nuclei, fine-tuned on 5 images",
        minutes(3, normalization=nu.Normalization(invert=True)),
        choose=first_five,
        start=nuclei,
    ),
}


def read(folder: Path, row: Row) -> Images:
    """Images of a folder, by name."""
    found = sorted(
        load_pairs(find_pairs(folder / "images", folder / "labels")),
        key=lambda image: image.name,
    )
    return row.prepare(found)


def judged(folder: Path, row: Row) -> Images:
    """The test images that count."""
    images = read(folder / "test", row)
    if not row.gold:
        return images
    with (folder / "manifest.csv").open(newline="") as file:
        kinds = {line["name"]: line["label_kind"] for line in csv.DictReader(file)}
    return [image for image in images if kinds[image.name] == "gold"]


def trained(name: str, row: Row, images: Images, runs: Path) -> Model:
    """Train, or go on; return the model."""
    start = row.start() if row.start else None
    if start is not None and name.endswith("-abroad"):
        return start
    out = runs / f"{name}.safetensors"
    begun = state_path(out).exists()
    training, flags = row.training, {"resume": begun, "overwrite": not begun}
    for _ in iter_train(images, out, training=training, model=start, **flags):
        pass
    return nu.load_model(out)


def measure(
    name: str, data: Path, runs: Path, budget: float | None = None
) -> dict[str, Any]:
    """Train and score one row."""
    row = ROWS[name]
    if budget is not None:
        row = replace(row, training=row.training.replace(minutes=budget))
    images = row.choose(read(data / row.data / "train", row))
    began = time.perf_counter()
    model = trained(name, row, images, runs)
    seconds = time.perf_counter() - began
    test = judged(data / row.data, row)
    found = [_segment(image, model, row) for image in test]
    n_classes = len(model.recipe.channels)
    facts = model.recipe.training if seconds > 1 and row.start is not nuclei else {}
    return {
        "data": row.data,
        "method": row.method,
        "images": len(images) if "-abroad" not in name else 0,
        "minutes": round(seconds / 60, 1),
        "steps": int(facts.get("step", 0)),
        "threads": torch.get_num_threads(),
        "classes": list(model.recipe.channels),
        **row.metric(found, [image.labels for image in test], n_classes),
    }


def _segment(image: TrainingImage, model: Model, row: Row) -> Any:
    sizes = image.pixel_size or None
    options = dict(row.options)
    if sizes and not options:
        options["pixel_size"] = sizes
    return nu.segment(
        image.image, model, axes=image.axes, rgb=image.rgb, **options
    ).labels


COLUMNS = {
    objects: ("ap@0.5", "mean_ap_50_90", "seg", "touching"),
    membranes: ("rand_error", "v_rand", "v_info"),
    classes: ("mean_iou",),
}


def tables(results: Path = RESULTS) -> list[str]:
    """Return what is measured so far, a table for each kind of score."""
    lines: list[str] = []
    for metric, columns in COLUMNS.items():
        names = [name for name, row in ROWS.items() if row.metric is metric]
        rows = [
            json.loads((results / f"{name}.json").read_text())
            for name in names
            if (results / f"{name}.json").exists()
        ]
        if not rows:
            continue
        head = ["set", "method", "images", "minutes", *columns]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in rows:
            cells = [row["data"], row["method"], row["images"], row["minutes"]]
            cells += [f"{row[column]:.3f}" for column in columns]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        lines.append("")
    return lines


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--minutes", type=float, help="to try it out; nothing is kept")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.only.split(","):
        record = arguments.results / f"{name}.json"
        if arguments.minutes is not None:
            with tempfile.TemporaryDirectory() as folder:
                print(
                    name, measure(name, arguments.data, Path(folder), arguments.minutes)
                )
            continue
        if not record.exists():
            row = measure(name, arguments.data, arguments.runs)
            record.write_text(json.dumps(row, indent=1) + "\n")
        print(name, record.read_text(), flush=True)


if __name__ == "__main__":
    main()
