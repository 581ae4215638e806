"""Score the bundled models on test images and write docs/accuracy.md.

    python benchmarks/accuracy.py DATA

DATA is a folder of sets, each with test/images and test/labels (same stems). Test images
are only ever scored, never trained or tuned on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import evidence
import numpy as np

import napari_unet as nu
from napari_unet.io.folders import list_images, pair_by_stem
from napari_unet.io.images import read_image
from napari_unet.nn.checkpoint import bundled_models

TARGET = Path(__file__).parents[1] / "docs" / "accuracy.md"
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


def section(name: str, data: Path) -> list[str]:
    """The card and the scores of one model."""
    model = nu.load_model(name)
    lines = card(name, model) + TABLE
    for folder, options, remark in CASES[name]:
        started = time.perf_counter()
        found = score(data / folder / "test", model, options)
        seconds = time.perf_counter() - started
        print(f"{name}, {folder}: AP@0.5 {found['ap@0.5']:.3f} in {seconds:.0f} s")
        lines.append(
            f"| {folder} ({found['n_images']:.0f}) | {found['n_truth']:.0f} "
            f"| {found['ap@0.5']:.3f} | {found['ap@0.75']:.3f} "
            f"| {found['mean_ap_50_90']:.3f} | {found['seg']:.3f} "
            f"| {found['f1@0.5']:.3f} | {remark} |"
        )
    return [*lines, ""]


def trained_elsewhere() -> list[str]:
    """What trainings on other sets came to, as far as they are measured."""
    found = evidence.tables()
    if not found:
        return []
    return [
        "## From scratch on other people's images",
        "",
        "Trained on the training part for the minutes of the table, on two CPU threads, and",
        "scored once on the test part (`python benchmarks/evidence.py DATA`).",
        "",
        *found,
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
        *trained_elsewhere(),
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
