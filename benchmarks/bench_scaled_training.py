"""Does scaling images before training help? Prints the table of decision 14.

    python benchmarks/bench_scaled_training.py [--steps 60] [--dic DATA/ctc_dic_hela]

Cells three times as large as the model knows, and images of three magnifications, all
simulated; and DIC cells of the Cell Tracking Challenge, of whose training part the first
eight images are trained on and the last eight scored. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import from_arrays, load_pairs
from napari_unet.io.training_image import TrainingImage
from napari_unet.training_settings import Training

Images = list[TrainingImage]
MODEL = "nuclei-fast"
# Micrometres per pixel, and the diameter of nuclei of 15 micrometres in it.
MAGNIFICATIONS = {1.0: 15.0, 0.5: 30.0, 0.25: 60.0}


def simulated(diameter: float, seeds: range, pixel_size: float | None = None) -> Images:
    """Images of 512 x 512 px."""
    pairs = [simulate(Simulation(diameter=diameter, random_seed=s)) for s in seeds]
    size = {} if pixel_size is None else {"Y": pixel_size, "X": pixel_size}
    return [replace(image, pixel_size=size) for image in from_arrays(pairs)]


def large() -> tuple[Images, Images]:
    """Nuclei of 62 px; the model knows 20 px."""
    return simulated(62, range(6)), simulated(62, range(100, 108))


def mixed() -> tuple[Images, Images]:
    """The same nuclei at three magnifications."""
    train, test = [], []
    for number, (size, diameter) in enumerate(MAGNIFICATIONS.items()):
        first = 10 * number
        train += simulated(diameter, range(first, first + 3), size)
        test += simulated(diameter, range(100 + first, 103 + first), size)
    return train, test


def dic(folder: Path) -> tuple[Images, Images]:
    """Cells of 116 px without fluorescence."""
    images = load_pairs(find_pairs(folder / "train"))
    return images[:8], images[-8:]


def measure(
    train: Images, test: Images, training: Training, model: str | None
) -> dict[str, float]:
    """Train, and score images that were not seen."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "m.safetensors"
        report = nu.train(train, training, out=out, model=model, force=True)
        began = time.perf_counter()
        found = [
            nu.segment(i.image, out, axes=i.axes, pixel_size=i.pixel_size or None)
            for i in test
        ]
        seconds = time.perf_counter() - began
        recipe = nu.load_model(out).recipe
    scores = nu.evaluate([seg.labels for seg in found], [i.labels for i in test])
    return {
        **scores.summary(),
        "steps": report.steps,
        "seconds": seconds / len(test),
        "scale": recipe.scale,
    }


def main() -> None:
    """Print one row a variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="Row to begin with.")
    parser.add_argument("--every", type=int, default=1, help="Of how many rows.")
    parser.add_argument("--dic", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = Training(steps=arguments.steps)
    to_diameter = base.replace(scale_to="diameter")
    rows = [
        ("nuclei of 62 px", large, "as they are", base, MODEL),
        ("nuclei of 62 px", large, "scale_to diameter", to_diameter, MODEL),
        ("three magnifications", mixed, "as they are", base, None),
        (
            "three magnifications",
            mixed,
            "scale_to pixel_size",
            base.replace(scale_to="pixel_size"),
            None,
        ),
    ]
    if arguments.dic is not None:

        def cells() -> tuple[Images, Images]:
            return dic(arguments.dic)

        half = base.replace(image_scale=0.5)
        rows += [
            ("DIC cells of 116 px", cells, "as they are", base, MODEL),
            ("DIC cells of 116 px", cells, "scale_to diameter", to_diameter, MODEL),
            ("DIC cells of 116 px", cells, "image_scale 0.5", half, MODEL),
        ]
    print("| images | scaled | from | steps | AP@0.5 | mean AP | a test image |")
    print("|---|---|---|---|---|---|---|")
    for name, load, how, training, model in rows[arguments.first :: arguments.every]:
        row = measure(*load(), training, model)
        print(
            f"| {name} | {how} ({row['scale']:.2f}) | {model or 'nothing'} "
            f"| {row['steps']} | {row['ap@0.5']:.3f} | {row['mean_ap_50_90']:.3f} "
            f"| {row['seconds']:.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
