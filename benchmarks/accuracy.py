"""Write docs/accuracy.md: the bundled models' scores, and what trainings came to.

    python benchmarks/accuracy.py DATA

DATA is a folder of sets, each with test/images and test/labels (same stems). Test images
are only ever scored, never trained or tuned on. A bundled model is scored again when its
file has changed; its rows lie in benchmarks/results/models. The rows of few_images.py and
evidence.py are taken as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import evidence_page
import few_images
import numpy as np

import napari_unet as nu
from napari_unet.io.folders import list_images, pair_by_stem
from napari_unet.io.images import read_image
from napari_unet.nn.checkpoint import bundled_models

TARGET = Path(__file__).parents[1] / "docs" / "accuracy.md"
RESULTS = Path(__file__).parent / "results" / "models"
SCORES = ("ap@0.5", "ap@0.75", "mean_ap_50_90", "seg", "f1@0.5")
INVERTED = {"normalization": nu.Normalization(invert=True)}
LINKED = {"separation": nu.Separation(link="Z", link_overlap=0.1)}
OWN = "the model's own kind of image, split by sorted id"
ABROAD = "another microscope, not trained on"
CONTROL = "stained tissue in colour, turned to grey and inverted: a negative control"
# For each model: set, options of `segment`, what is to be kept in mind when reading.
NUCLEI = (
    ("dsb2018_fluo", {}, OWN),
    ("ctc_n2dl_hela", {}, ABROAD),
    ("dsb2018_brightfield", INVERTED, CONTROL),
    ("bbbc050_mouse_embryo_3d", LINKED, "3-D by a 2-D model, slices linked by overlap"),
)
CASES = {
    "nuclei": NUCLEI,
    "nuclei-fast": NUCLEI,
    "nuclei-3d": (
        (
            "bbbc050_mouse_embryo_3d",
            {},
            "real volumes; the model has seen simulated ones",
        ),
    ),
}
TABLE = [
    "| set (test images) | objects | AP@0.5 | AP@0.75 | mean AP | SEG | F1@0.5 | remark |",
    "|---|---|---|---|---|---|---|---|",
]


def score(folder: Path, model: nu.Model, options: dict) -> dict[str, float]:
    """Segment and score one set."""
    pairs = pair_by_stem(
        list_images([folder / "images"]), list_images([folder / "labels"])
    )
    labels, truth = [], []
    for image, true in pairs:
        source = read_image(image)
        found = nu.segment(
            source.data, model, axes=source.axes, rgb=source.rgb, **options
        )
        labels.append(found.labels)
        truth.append(np.asarray(read_image(true).data))
    return nu.evaluate(labels, truth).summary()


def card(name: str, model: nu.Model) -> list[str]:
    """Describe a model: purpose, limits, data, licence, budget."""
    recipe, training = model.recipe, model.recipe.training
    size = (Path(nu.__file__).parent / "models" / f"{name}.safetensors").stat().st_size
    numbers = sum(p.numel() for p in model.network.parameters())
    return [
        f"## `{name}`",
        "",
        f"{recipe.description} {training.get('limits', '')}".strip(),
        "",
        f"- Network: {recipe.architecture.ndim}-D, depth {recipe.architecture.depth}, base "
        f"{recipe.architecture.base_channels}, {numbers / 1e6:.2f} million parameters, "
        f"{size / 1e6:.1f} MB.",
        f"- Trained on: {training['data']} ({training['data_licence']}).",
        f"- Budget: {training['budget']}. Licence of the weights: {recipe.licence}.",
        "",
    ]


def scored(name: str, model: nu.Model, data: Path) -> dict[str, dict[str, float]]:
    """Return the scores of a bundled model by set; from disk if it is the same file."""
    record = RESULTS / f"{name}.json"
    if record.exists():
        known = json.loads(record.read_text())
        if known["sha256"] == model.sha256:
            return known["sets"]
    sets = {}
    for folder, options, _ in CASES[name]:
        started = time.perf_counter()
        found = score(data / folder / "test", model, options)
        seconds = time.perf_counter() - started
        print(f"{name}, {folder}: AP@0.5 {found['ap@0.5']:.3f} in {seconds:.0f} s")
        kept = ("n_images", "n_truth", *SCORES)
        sets[folder] = {key: float(found[key]) for key in kept}
    record.parent.mkdir(parents=True, exist_ok=True)
    known = {"sha256": model.sha256, "sets": sets}
    record.write_text(json.dumps(known, indent=1) + "\n")
    return sets


def section(name: str, data: Path) -> list[str]:
    """The card and the scores of one model."""
    model = nu.load_model(name)
    lines = card(name, model) + TABLE
    sets = scored(name, model, data)
    for folder, _, remark in CASES[name]:
        found = sets[folder]
        cells = [f"{folder} ({found['n_images']:.0f})", f"{found['n_truth']:.0f}"]
        cells += [f"{found[key]:.3f}" for key in SCORES]
        lines.append("| " + " | ".join([*cells, remark]) + " |")
    return [*lines, ""]


def few() -> list[str]:
    """Nuclei from a few images, beside others."""
    found = few_images.tables()
    return [
        "## From scratch on a few images",
        "",
        "`python benchmarks/few_images.py DATA/dsb2018_fluo --stardist PYTHON`: training",
        "images drawn at random, the same for all, scored on the 27 test images. *Touching*",
        "is the share of pairs of touching nuclei of which both are found. To reach: ahead",
        "of all others at every number of images. Minutes on two cores are a thousand",
        "steps, far from what any of these methods would do with hours (StarDist's own",
        "default is 40,000 steps): this is who learns fastest, not who ends best.",
        "",
        "Ours on 5 and 16 images in five minutes, of three and two classes, was measured",
        "after [decision 13](decisions/0013-few-objects-and-the-seed-threshold.md), which a",
        "first round of these rows led to; ours on more images, and in ten minutes, before.",
        "Other work was done beside, so steps differ from row to row.",
        "",
        *(found or ["Not measured yet.", ""]),
    ]


def elsewhere() -> list[str]:
    """Trainings on other people's images, with how to read them."""
    rows = evidence_page.measured() | few_images.means(few_images.rows())
    return [
        "## From scratch on other people's images",
        "",
        "Each trained on the training part alone, thresholds tuned on images kept of it,",
        "and scored once on the test part. One training a row: a difference of a point or",
        "two may be chance. Scores of classes are pooled over all pixels; these rows were",
        "trained before the validation split kept rare classes on both sides.",
        "",
        *evidence_page.page(rows),
    ]


def main() -> None:
    """Score every bundled model and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    bundled = [name for name in bundled_models() if name in CASES]
    lines = [
        "# Accuracy",
        "",
        "Written by `python benchmarks/accuracy.py DATA`. AP is TP/(TP+FP+FN), pooled over",
        "the images of a set, as for the Data Science Bowl 2018; the mean runs over IoU 0.5",
        "to 0.9 in steps of 0.05. SEG is that of the Cell Tracking Challenge.",
        "",
        *(line for name in bundled for line in section(name, arguments.data)),
        *few(),
        *elsewhere(),
        "## For orientation",
        "",
        "Published on another split of the DSB2018 images: StarDist 0.864 and 0.598,",
        "three-class U-Net 0.806 and 0.594, Mask R-CNN 0.832 and 0.606 (AP@0.5 and mean AP;",
        "Schmidt et al. 2018). Otsu's threshold with a distance transform, without",
        "learning, reaches AP@0.5 0.644 on our dsb2018_fluo, 0.526 on ctc_n2dl_hela and",
        "0.351 on bbbc050_mouse_embryo_3d.",
    ]
    TARGET.write_text("\n".join(lines) + "\n")
    print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
