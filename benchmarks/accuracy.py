"""Score the bundled models on test images and write docs/accuracy.md.

    python benchmarks/accuracy.py DATA

DATA is a folder of sets, each with test/images and test/labels (same stems). Test images
are only ever scored, never trained or tuned on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import napari_unet as nu
from napari_unet.io.folders import list_images, pair_by_stem
from napari_unet.io.images import read_image

TARGET = Path(__file__).parents[1] / "docs" / "accuracy.md"
# Set, options of `segment`, and what is to be kept in mind when reading the score.
CASES = (
    ("dsb2018_fluo", {}, "the model's own kind of image, split by sorted id"),
    ("ctc_n2dl_hela", {}, "another microscope, not trained on"),
    (
        "dsb2018_brightfield",
        {"normalization": nu.Normalization(invert=True)},
        "stained tissue in colour, turned to grey and inverted: a negative control",
    ),
    (
        "bbbc050_mouse_embryo_3d",
        {"separation": nu.Separation(link="Z", link_overlap=0.1)},
        "3-D by a 2-D model, slices linked by overlap",
    ),
)


def score(folder: Path, options: dict) -> tuple[dict[str, float], float]:
    """Segment and score one set; also the seconds it took."""
    pairs = pair_by_stem(
        list_images([folder / "images"]), list_images([folder / "labels"])
    )
    model = nu.load_model("nuclei")
    labels, truth = [], []
    started = time.perf_counter()
    for image, true in pairs:
        source = read_image(image)
        found = nu.segment(
            source.data, model, axes=source.axes, rgb=source.rgb, **options
        )
        labels.append(found.labels)
        truth.append(np.asarray(read_image(true).data))
    seconds = time.perf_counter() - started
    return nu.evaluate(labels, truth).summary(), seconds


def main() -> None:
    """Score every set and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    model = nu.load_model("nuclei")
    lines = [
        "# Accuracy",
        "",
        "Written by `python benchmarks/accuracy.py DATA`. AP is TP/(TP+FP+FN), pooled over",
        "the images of a set, as for the Data Science Bowl 2018; the mean runs over IoU 0.5",
        "to 0.9 in steps of 0.05. SEG is that of the Cell Tracking Challenge.",
        "",
        "## `nuclei`",
        "",
        f"{model.recipe.description} Trained on {model.recipe.training['data']} "
        f"({model.recipe.training['data_licence']}); budget: "
        f"{model.recipe.training['budget']}.",
        "",
        "| set (test images) | objects | AP@0.5 | AP@0.75 | mean AP | SEG | F1@0.5 | remark |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, options, remark in CASES:
        found, seconds = score(arguments.data / name / "test", options)
        print(f"{name}: AP@0.5 {found['ap@0.5']:.3f} in {seconds:.0f} s")
        lines.append(
            f"| {name} ({found['n_images']:.0f}) | {found['n_truth']:.0f} "
            f"| {found['ap@0.5']:.3f} | {found['ap@0.75']:.3f} "
            f"| {found['mean_ap_50_90']:.3f} | {found['seg']:.3f} "
            f"| {found['f1@0.5']:.3f} | {remark} |"
        )
    lines += [
        "",
        "Published on another split of the DSB2018 images, for orientation only: StarDist",
        "0.864 and 0.598, three-class U-Net 0.806 and 0.594, Mask R-CNN 0.832 and 0.606",
        "(AP@0.5 and mean AP; Schmidt et al. 2018). Otsu's threshold with a distance",
        "transform, without learning, reaches AP@0.5 0.644 on our dsb2018_fluo, 0.526 on",
        "ctc_n2dl_hela and 0.351 on bbbc050_mouse_embryo_3d.",
    ]
    TARGET.write_text("\n".join(lines) + "\n")
    print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
